"""Writes JSON as Go's encoder does, byte for byte: digests of documents depend on it.

Source: documentation of Go's encoding/json, Marshal.
"""

from __future__ import annotations

import json
import re

_SPECIAL = re.compile("\\\\.|[<>&\u2028\u2029\ud800-\udfff]", re.DOTALL)
_SHORT = {r"\b": r"\u0008", r"\f": r"\u000c"}


def encode(document: object) -> bytes:
    """Return `document` without white space, keys in their order, HTML's characters escaped."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return _SPECIAL.sub(_escape, text).encode()


def _escape(match: re.Match[str]) -> str:
    found = match[0]
    if len(found) > 1:
        return _SHORT.get(found, found)
    if "\ud800" <= found <= "\udfff":
        # Half of a pair stands for no character; Go reads it as the replacement character.
        return "\ufffd"
    return f"\\u{ord(found):04x}"
