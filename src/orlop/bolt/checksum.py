"""The checksum of a meta.

Never compiled: a product of large integers looks at signals, and what a handler raises there
ends the interpreter in compiled code.

Source: FNV-1a (Fowler, Noll, Vo), 64 bits.
"""

from __future__ import annotations

import struct
from typing import Final

_FNV_OFFSET: Final = 0xCBF29CE484222325
_FNV_PRIME: Final = 0x100000001B3
_FNV_PRIME_POWERS: Final = [pow(_FNV_PRIME, power, 1 << 64) for power in range(9)]
_WORD: Final = struct.Struct("<Q")


def checksum(fields: bytes) -> int:
    """Return the FNV-1a hash (64 bits) that protects a meta."""
    value = _FNV_OFFSET
    for (word,) in _WORD.iter_unpack(fields):
        rest, zeros = word, 8
        while rest:
            value = (value ^ (rest & 0xFF)) * _FNV_PRIME & 0xFFFFFFFFFFFFFFFF
            rest >>= 8
            zeros -= 1
        # Most fields are small numbers: their zeros, which come last, are taken at once.
        value = value * _FNV_PRIME_POWERS[zeros] & 0xFFFFFFFFFFFFFFFF
    return value
