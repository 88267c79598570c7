"""Large database files, made fast: the pages of one namespace, copied many times side by side."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bolt.crafted_files import buckets
from orlop.bolt.disk import FileDisk
from orlop.bolt.leaf import LEAF_ELEMENT
from orlop.bolt.meta import NO_FREELIST, Meta, newest_meta, read_metas
from orlop.bolt.node import BUCKET_FLAG, EMPTY_SIZE, Leaf
from orlop.bolt.page import (
    BRANCH_ELEMENT,
    BUCKET_HEADER,
    HEADER_SIZE,
    bucket_root,
    encode_leaf,
)
from orlop.bolt.pager import FIRST_NODE_PAGE, Pager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA = b"v1"
_ID = struct.Struct("<Q")


@dataclass(frozen=True)
class Block:
    """The pages of one bucket, moved together.

    Attributes:
        data: the pages, one after the other; the first one is the root's.
        places: where in them a page id stands: each is counted from the beginning of the block.
    """

    data: bytes
    places: list[int]

    def at(self, first: int) -> bytes:
        """Return the pages as they read when the block begins on the page `first`."""
        moved = bytearray(self.data)
        for place in self.places:
            (number,) = _ID.unpack_from(moved, place)
            _ID.pack_into(moved, place, number + first)
        return bytes(moved)


def multiply(source: Path, target: Path, times: int) -> int:
    """Write `target`: a meta.db with the only namespace of `source` so many times.

    Returns:
        The size of the file in bytes.
    """
    disk = FileDisk.for_reading(source)
    meta = newest_meta(read_metas(disk.read))
    pager, size = Pager(disk, meta.page_size), meta.page_size
    outermost = pager.load(meta.root)
    assert isinstance(outermost, Leaf)
    schema = pager.load(bucket_root(_value(outermost, SCHEMA)))
    assert isinstance(schema, Leaf)
    [name] = [key for key, flag in zip(schema.keys, schema.flags, strict=True) if flag]
    block = _block(pager, bucket_root(_value(schema, name)))
    disk.close()
    span = len(block.data) // size
    starts = [FIRST_NODE_PAGE + 1 + number * span for number in range(times)]
    entries = {
        key: (_value(schema, key), flag)
        for key, flag in zip(schema.keys, schema.flags, strict=True)
        if key != name
    }
    for number, start in enumerate(starts):
        entries[b"%s-%05d" % (name, number)] = BUCKET_HEADER.pack(start, 0), BUCKET_FLAG
    last = starts[-1] + span
    leaf = _leaf(entries, last, size)
    with target.open("wb") as file:
        for slot in (0, 1):
            file.seek(slot * size)
            end = last + len(leaf) // size
            file.write(Meta(size, 0, FIRST_NODE_PAGE, 0, NO_FREELIST, end, 2 + slot).encode())
        file.seek(FIRST_NODE_PAGE * size)
        file.write(buckets(FIRST_NODE_PAGE, {SCHEMA: last}))
        for start in starts:
            file.seek(start * size)
            file.write(block.at(start))
        file.write(leaf)
        return file.tell()


def _block(pager: Pager, root: int) -> Block:
    size = pager.page_size
    found = list(_nodes(pager, root))
    starts: dict[int, int] = {}
    following = 0
    for number, data in found:
        starts[number] = following
        following += len(data) // size
    pieces, places = [], []
    for number, data in found:
        begin = starts[number] * size
        moved = bytearray(data)
        for place, referred in [(0, number), *_references(data)]:
            _ID.pack_into(moved, place, starts[referred])
            places.append(begin + place)
        pieces.append(bytes(moved))
    return Block(b"".join(pieces), places)


def _nodes(pager: Pager, root: int) -> Iterator[tuple[int, bytes]]:
    pending = [root]
    while pending:
        number = pending.pop()
        data = pager.read(number)[0]
        yield number, data
        pending += [referred for _, referred in _references(data)]


def _references(data: bytes) -> Iterator[tuple[int, int]]:
    """Iterate over the page ids in a node, each with its offset."""
    kind, count = struct.unpack_from("<8xHH", data)
    is_branch = kind == 1
    element = BRANCH_ELEMENT if is_branch else LEAF_ELEMENT
    for index in range(count):
        at = HEADER_SIZE + index * element.size
        fields = element.unpack_from(data, at)
        if is_branch:
            yield at + 8, fields[2]
        elif fields[0] & BUCKET_FLAG:
            value = at + fields[1] + fields[2]
            (root,) = _ID.unpack_from(data, value)
            if root:
                yield value, root


def _value(leaf: Leaf, key: bytes) -> bytes:
    value = leaf.values[leaf.keys.index(key)]
    assert isinstance(value, bytes)
    return value


def _leaf(entries: dict[bytes, tuple[bytes, int]], page: int, size: int) -> bytes:
    keys = sorted(entries)
    values = [entries[key][0] for key in keys]
    node = Leaf(keys, [*values], [entries[key][1] for key in keys], EMPTY_SIZE)
    length = len(b"".join(encode_leaf(node, page, 0, values)))
    span = -(-length // size)
    return b"".join(encode_leaf(node, page, span - 1, values)).ljust(span * size, b"\0")
