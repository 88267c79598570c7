"""Nodes by number: a million names, kept compactly.

A digest at the end of a name, which most names are, is kept as the 32 bytes that it stands
for. Numbers are given in order and stay what they are.
"""

from __future__ import annotations

from typing import Final

from orlop.collect.node import Node
from orlop.schema import names

_ALGORITHM: Final = "sha256:"
_HEX: Final = 64
_RAW: Final = 32
_PLAIN: Final = b"\x00"
_DIGEST: Final = b"\x01"
_PLACE_BYTES: Final = 4


class Numbers:
    """Gives numbers to nodes. A node and its flat form have the same."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._packed: list[bytes] = []
        self._places: dict[tuple[str, str], bytes] = {}
        self._by_place: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self._packed)

    def number(self, node: Node) -> int:
        """Return the number of a node, which gets one where it has none."""
        packed = self._pack(node)
        number = self._numbers.get(packed)
        if number is None:
            number = self._numbers[packed] = len(self._packed)
            self._packed.append(packed)
        return number

    def find(self, node: Node) -> int | None:
        """Return the number of a node, `None` where it has none."""
        return self._numbers.get(self._pack(node))

    def node(self, number: int) -> Node:
        """Return the node that has a number, whole."""
        packed = self._packed[number]
        kind, namespace = self._by_place[int.from_bytes(packed[:_PLACE_BYTES], "big")]
        if packed[_PLACE_BYTES:].startswith(_PLAIN):
            key = names.to_text(packed[_PLACE_BYTES + 1 :])
        else:
            prefix = names.to_text(packed[_PLACE_BYTES + 1 : -_RAW])
            key = f"{prefix}{_ALGORITHM}{packed[-_RAW:].hex()}"
        return Node(kind, namespace, key)

    def _pack(self, node: Node) -> bytes:
        place = self._places.get((node.type, node.namespace))
        if place is None:
            place = len(self._by_place).to_bytes(_PLACE_BYTES, "big")
            self._places[node.type, node.namespace] = place
            self._by_place.append((node.type, node.namespace))
        key = node.key
        start = -_HEX - len(_ALGORITHM)
        if key[start:-_HEX] == _ALGORITHM:
            raw = _raw(key[-_HEX:])
            if raw is not None:
                return place + _DIGEST + names.to_bytes(key[:start]) + raw
        return place + _PLAIN + names.to_bytes(key)


def _raw(encoded: str) -> bytes | None:
    """Return the bytes that a digest stands for; `None` for what would not come back the same."""
    try:
        raw = bytes.fromhex(encoded)
    except ValueError:
        return None
    return raw if raw.hex() == encoded else None
