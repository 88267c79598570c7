"""Unquoting, with the escapes of Go's string literals.

Escapes may name single bytes, so the text is put together as bytes. Those that are no UTF-8
in the end become lone surrogates, as everywhere in Python.
"""

from __future__ import annotations

import re
from typing import Final

_ESCAPE: Final = re.compile(
    r"\\(?:x(?P<byte>[0-9A-Fa-f]{2})|u(?P<short>[0-9A-Fa-f]{4})|U(?P<long>[0-9A-Fa-f]{8})"
    r"|(?P<octal>[0-7]{3})|(?P<letter>.))"
)
_LETTERS: Final = {
    "a": b"\a",
    "b": b"\b",
    "f": b"\f",
    "n": b"\n",
    "r": b"\r",
    "t": b"\t",
    "v": b"\v",
}
_BYTE_MAX: Final = 0xFF
_CODE_POINT_MAX: Final = 0x10FFFF
_NEGATIVE: Final = 1 << 31
_SURROGATES: Final = range(0xD800, 0xE000)
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}".encode()


class QuoteError(ValueError):
    """An escape names a character or a byte that does not exist."""


def unquote(quoted: str) -> str:
    """Return the contents of a quoted text, which the scanner has found well formed.

    Raises:
        QuoteError: an escape is out of range.
    """
    text = quoted[1:-1]
    unescaped = bytearray()
    position = 0
    for match in _ESCAPE.finditer(text):
        unescaped += _encode(text[position : match.start()])
        unescaped += _unescape(match)
        position = match.end()
    unescaped += _encode(text[position:])
    return unescaped.decode(errors="surrogateescape")


def _unescape(match: re.Match[str]) -> bytes:
    if match["letter"]:
        return _LETTERS.get(match["letter"]) or _encode(match["letter"])
    if match["octal"] or match["byte"]:
        number = int(match["octal"], 8) if match["octal"] else int(match["byte"], 16)
        if number > _BYTE_MAX:
            raise QuoteError
        return bytes([number])
    return _code_point(int(match["short"] or match["long"], 16))


def _code_point(number: int) -> bytes:
    if number >= _NEGATIVE:
        # containerd reads this as a negative number, which passes for a small one.
        return bytes([number & _BYTE_MAX])
    if number > _CODE_POINT_MAX:
        raise QuoteError
    return _REPLACEMENT if number in _SURROGATES else chr(number).encode()


def _encode(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
