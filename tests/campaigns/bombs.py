"""Small files that are endless, or as good as, for whoever follows every reference."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from orlop.bolt.meta import NO_FREELIST, Meta

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PAGE_SIZE = 4096
ROOT = 2
LEVELS = 40
DEEP = "buckets, five thousand deep"
"""The only one that is sound, and ends."""


def bombs() -> Iterator[tuple[str, bytes]]:
    """Iterate over the files, each with a name."""
    yield "a bucket in itself", _file({ROOT: _buckets(ROOT, [(b"self", ROOT)])})
    yield (
        "a bucket twice in itself",
        _file({ROOT: _buckets(ROOT, [(b"one", ROOT), (b"two", ROOT)])}),
    )
    yield (
        "two buckets in each other",
        _file({ROOT: _buckets(ROOT, [(b"in", 3)]), 3: _buckets(3, [(b"out", ROOT), (b"x", 3)])}),
    )
    doubled = {
        page: _buckets(page, [(b"one", page + 1), (b"two", page + 1)])
        for page in range(ROOT, ROOT + LEVELS)
    }
    yield "buckets, doubled at each level", _file({**doubled, ROOT + LEVELS: _leaf(ROOT + LEVELS)})
    top = {ROOT: _buckets(ROOT, [(b"tree", 3)])}
    yield "a branch in itself", _file({**top, 3: _branch(3, [(b"a", 3), (b"b", 3)])})
    branches = {
        page: _branch(page, [(b"a", page + 1), (b"b", page + 1)]) for page in range(3, 3 + LEVELS)
    }
    yield (
        "branches, doubled at each level",
        _file({**top, **branches, 3 + LEVELS: _leaf(3 + LEVELS)}),
    )
    empty = {3 + LEVELS: _page(3 + LEVELS, 2, [])}
    yield "branches over empty leaves", _file({**top, **branches, **empty})
    deep = {page: _buckets(page, [(b"in", page + 1)]) for page in range(ROOT, 5000)}
    yield DEEP, _file({**deep, 5000: _leaf(5000)})


def _file(pages: dict[int, bytes]) -> bytes:
    high_water = max(pages) + 1
    metas = (
        Meta(PAGE_SIZE, 0, ROOT, 0, NO_FREELIST, high_water, number).encode() for number in (0, 1)
    )
    written = [*metas, *(pages.get(page, b"") for page in range(2, high_water))]
    return b"".join(page.ljust(PAGE_SIZE, b"\0") for page in written)


def _page(number: int, kind: int, table: Sequence[bytes], body: bytes = b"") -> bytes:
    return struct.pack("<QHHI", number, kind, len(table), 0) + b"".join(table) + body


def _buckets(number: int, entries: list[tuple[bytes, int]]) -> bytes:
    return _leaf_of(number, [(1, name, struct.pack("<QQ", root, 0)) for name, root in entries])


def _leaf(number: int) -> bytes:
    return _leaf_of(number, [(0, b"a", b"value"), (0, b"b", b"value")])


def _leaf_of(number: int, entries: list[tuple[int, bytes, bytes]]) -> bytes:
    table, body = [], b""
    for place, (flag, key, value) in enumerate(entries):
        distance = (len(entries) - place) * 16 + len(body)
        table.append(struct.pack("<IIII", flag, distance, len(key), len(value)))
        body += key + value
    return _page(number, 2, table, body)


def _branch(number: int, entries: list[tuple[bytes, int]]) -> bytes:
    table, body = [], b""
    for place, (key, child) in enumerate(entries):
        distance = (len(entries) - place) * 16 + len(body)
        table.append(struct.pack("<IIQ", distance, len(key), child))
        body += key
    return _page(number, 1, table, body)
