"""When two answers, or two databases, count as the same; every exception says why it is one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from orlop import Database
from orlop.bolt.tools.dump import dump
from orlop.schema import names

if TYPE_CHECKING:
    from pathlib import Path

    Answer = dict[str, Any]

REFUSED_WITHOUT_A_KIND: Final = {
    "key required": "docs/differences.md, Names and values: an empty key",
    "bucket name required": "the same, where the key names a record",
    "key too large": "the same: an overlong key",
    "incompatible value": "the same: a namespace called version; the deletion of an empty name",
    "lease id must be provided": "the same: an empty lease id",
    "Truncate: unsupported size": "only 0 is supported by both; containerd's error has no kind",
}
"""What containerd refuses with an error of no kind, and Orlop as an invalid argument, or as not
found where something without a name is to be deleted."""

REFUSED_BEFORE_A_LOOK: Final = ("must not be empty", "bytes long")
"""What Orlop says of empty and overlong keys, before it looks at what else is wrong with a call:
containerd names what it meets first. docs/differences.md, Names and values."""

_TIMES: Final = frozenset({b"createdat", b"updatedat", b"expireat"})
_SANDBOX_ID: Final = names.SANDBOX_ID


def differ(ours: Answer, theirs: Answer) -> bool:
    """Return whether two answers differ in more than their messages."""
    if "error" in ours and "error" in theirs:
        return ours["error"] != theirs["error"] and not _is_refused_by_both(ours, theirs)
    if "error" in ours or "error" in theirs:
        return True
    if isinstance(ours["ok"], list) and any(_is_answer(one) for one in ours["ok"]):
        if len(ours["ok"]) != len(theirs["ok"]):
            return True
        return any(differ(*pair) for pair in zip(ours["ok"], theirs["ok"], strict=True))
    return bool(ours["ok"] != theirs["ok"])


def _is_refused_by_both(ours: Answer, theirs: Answer) -> bool:
    if ours["error"] == "not found":
        return '""' in ours["message"] and theirs["message"] == "incompatible value"
    if ours["error"] == "failed precondition":
        # The native snapshotter of 1.6.20 measures a view, which has no files, before it refuses.
        return "is view" in ours["message"] and theirs["message"].startswith("lstat ")
    if ours["error"] != "invalid argument":
        return False
    if any(text in ours["message"] for text in REFUSED_BEFORE_A_LOOK):
        return True
    return theirs["error"] == "none" and any(
        text in theirs["message"] for text in REFUSED_WITHOUT_A_KIND
    )


def _is_answer(value: object) -> bool:
    return isinstance(value, dict) and ("ok" in value or "error" in value)


def contents(path: Path) -> dict[str, Any]:
    """Return all that a `meta.db` holds, but for times, which are only there or not."""
    with Database.open_file(path, read_only=True) as database, database.view() as transaction:
        tree = json.loads("".join(dump(transaction)))
    return _readable(tree)


def _readable(bucket: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"sequence": bucket["sequence"]}
    for item in bucket["items"]:
        key = bytes.fromhex(item["key"])
        if "bucket" in item:
            found[repr(key)] = _readable(item["bucket"])
        elif key in _TIMES:
            found[repr(key)] = "a time"
        elif key == _SANDBOX_ID and not item["value"]:
            continue  # containers of the newer containerd have it; 1.6.20 passes over it
        else:
            found[repr(key)] = bytes.fromhex(item["value"])
    return found
