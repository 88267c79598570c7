"""A sound file, and one hand-made fault of every kind in it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from orlop.bolt import open_engine
from orlop.bolt.meta import Meta, newest_meta, read_metas
from orlop.maintenance import pages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orlop.maintenance import Page

HEADER = 16
ELEMENT = 16
TREE = (b"v1", b"tree")


def make_sound(path: Path) -> None:
    """Write a file with a freelist, free pages, a branch, overflow, nested and inline buckets."""
    engine = open_engine(path, freelist_sync=True)
    for round_ in range(2):
        with engine.begin(writable=True) as transaction:
            top = transaction.root.create_bucket_if_absent(b"v1")
            tree = top.create_bucket_if_absent(b"tree")
            for number in range(300):
                tree.put(b"key-%03d" % number, b"%d" % round_ * 40)
            top.create_bucket_if_absent(b"big").put(b"large", b"%d" % round_ * 9000)
            top.create_bucket_if_absent(b"small").put(b"name", b"value")
            top.create_bucket_if_absent(b"other").put(b"filler", b"x" * 2000)
    engine.close()


class Victim:
    """The bytes of a sound file, with means to break them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = bytearray(path.read_bytes())
        self.page_size = 4096
        self.meta = newest_meta(read_metas(lambda at, size: bytes(self.data[at : at + size])))
        self.pages = list(pages(path))

    def save(self) -> None:
        self.path.write_bytes(self.data)

    def of(self, kind: str, *path: bytes) -> list[Page]:
        """Return the pages of a kind in a bucket, in the order of their keys."""
        found = [one for one in self.pages if one.kind == kind and one.bucket_path == path]
        return sorted(found, key=lambda page: self.key(page.id, 0) if kind == "leaf" else b"")

    def start(self, page: int) -> int:
        return page * self.page_size

    def element(self, page: int, index: int) -> int:
        return self.start(page) + HEADER + ELEMENT * index

    def set(self, offset: int, form: str, value: int) -> None:
        struct.pack_into(form, self.data, offset, value)

    def get(self, offset: int, form: str) -> int:
        (value,) = struct.unpack_from(form, self.data, offset)
        assert isinstance(value, int)
        return value

    def key_range(self, page: int, index: int) -> slice:
        """Return where the key of an element lies, in leaves and in branches."""
        element = self.element(page, index)
        is_leaf = self.get(self.start(page) + 8, "<H") == 2
        at, size = struct.unpack_from("<II", self.data, element + (4 if is_leaf else 0))
        return slice(element + at, element + at + size)

    def key(self, page: int, index: int) -> bytes:
        return bytes(self.data[self.key_range(page, index)])

    def set_key(self, page: int, index: int, key: bytes) -> None:
        place = self.key_range(page, index)
        assert place.stop - place.start == len(key)
        self.data[place] = key

    def index_of(self, page: int, key: bytes) -> int:
        count = self.get(self.start(page) + 10, "<H")
        return next(index for index in range(count) if self.key(page, index) == key)

    def value(self, page: int, key: bytes) -> int:
        """Return the offset of a value."""
        element = self.element(page, self.index_of(page, key))
        return element + self.get(element + 4, "<I") + len(key)

    @property
    def top(self) -> int:
        """The leaf of the bucket `v1`."""
        return self.of("leaf", b"v1")[0].id

    @property
    def branch(self) -> int:
        return self.of("branch", *TREE)[0].id

    @property
    def leaf(self) -> int:
        """The second leaf of the tree."""
        return self.of("leaf", *TREE)[1].id

    @property
    def freelist(self) -> int:
        return self.meta.freelist

    def free_page(self) -> int:
        return next(page.id for page in self.pages if page.kind == "free")

    def rewrite_meta(self, **changes: int) -> None:
        meta = self.meta._replace(**changes)
        assert isinstance(meta, Meta)
        start = self.start(meta.transaction % 2)
        self.data[start : start + 80] = meta.encode()


def listed_twice(victim: Victim) -> None:
    first = victim.start(victim.freelist) + HEADER
    victim.set(first + 8, "<Q", victim.get(first, "<Q"))


def listed_out_of_bounds(victim: Victim) -> None:
    victim.set(victim.start(victim.freelist) + HEADER, "<Q", victim.meta.high_water + 7)


def reachable_but_free(victim: Victim) -> None:
    victim.set(victim.start(victim.freelist) + HEADER, "<Q", victim.leaf)


def neither(victim: Victim) -> None:
    count = victim.start(victim.freelist) + 10
    victim.set(count, "<H", victim.get(count, "<H") - 1)


def freelist_of_another_kind(victim: Victim) -> None:
    victim.set(victim.start(victim.freelist) + 8, "<H", 0x02)


def wrong_kind(victim: Victim) -> None:
    victim.set(victim.start(victim.leaf) + 8, "<H", 0x10)


def wrong_number(victim: Victim) -> None:
    victim.set(victim.start(victim.leaf), "<Q", victim.leaf + 1)


def child_out_of_bounds(victim: Victim) -> None:
    victim.set(victim.element(victim.branch, 1) + 8, "<Q", victim.meta.high_water + 1)


def child_is_a_meta(victim: Victim) -> None:
    victim.set(victim.element(victim.branch, 1) + 8, "<Q", 1)


def child_twice(victim: Victim) -> None:
    first = victim.get(victim.element(victim.branch, 0) + 8, "<Q")
    victim.set(victim.element(victim.branch, 1) + 8, "<Q", first)


def bucket_twice(victim: Victim) -> None:
    other = victim.get(victim.value(victim.top, b"other"), "<Q")
    victim.set(victim.value(victim.top, b"tree"), "<Q", other)


def bucket_in_itself(victim: Victim) -> None:
    victim.set(victim.value(victim.top, b"other"), "<Q", victim.top)


def keys_swapped(victim: Victim) -> None:
    one, other = victim.key(victim.leaf, 3), victim.key(victim.leaf, 4)
    victim.set_key(victim.leaf, 3, other)
    victim.set_key(victim.leaf, 4, one)


def key_twice(victim: Victim) -> None:
    victim.set_key(victim.leaf, 4, victim.key(victim.leaf, 3))


def branch_keys_swapped(victim: Victim) -> None:
    one, other = victim.key(victim.branch, 1), victim.key(victim.branch, 2)
    victim.set_key(victim.branch, 1, other)
    victim.set_key(victim.branch, 2, one)


def first_key_below_the_parents(victim: Victim) -> None:
    victim.set_key(victim.branch, 1, victim.key(victim.leaf, 2))


def last_key_in_the_next(victim: Victim) -> None:
    before = victim.of("leaf", *TREE)[0]
    victim.set_key(victim.branch, 1, victim.key(before.id, before.elements - 2))


def element_out_of_bounds(victim: Victim) -> None:
    victim.set(victim.element(victim.leaf, 3) + 4, "<I", 1 << 20)


def value_too_long(victim: Victim) -> None:
    victim.set(victim.element(victim.leaf, 3) + 12, "<I", 1 << 30)


def absurd_count(victim: Victim) -> None:
    victim.set(victim.start(victim.leaf) + 10, "<H", 0xFFFF)


def overflow_out_of_bounds(victim: Victim) -> None:
    victim.set(victim.start(victim.leaf) + 12, "<I", 1 << 12)


def overflow_into_another(victim: Victim) -> None:
    page = next(
        page.id
        for page in victim.of("leaf", *TREE)
        if any(other.id == page.id + 1 and other.kind == "leaf" for other in victim.pages)
    )
    victim.set(victim.start(page) + 12, "<I", 1)


def empty_leaf(victim: Victim) -> None:
    victim.set(victim.start(victim.leaf) + 10, "<H", 0)


def childless_branch(victim: Victim) -> None:
    victim.set(victim.start(victim.branch) + 10, "<H", 0)


def bucket_too_short(victim: Victim) -> None:
    victim.set(victim.element(victim.top, victim.index_of(victim.top, b"small")) + 12, "<I", 7)


def inline_without_a_leaf(victim: Victim) -> None:
    victim.set(victim.value(victim.top, b"small") + 16 + 8, "<H", 0x01)


def inline_with_a_bucket(victim: Victim) -> None:
    victim.set(victim.value(victim.top, b"small") + 32, "<I", 1)


def value_outermost(victim: Victim) -> None:
    victim.set(victim.element(victim.meta.root, 0), "<I", 0)


def freelist_in_the_tree(victim: Victim) -> None:
    victim.set(victim.element(victim.branch, 1) + 8, "<Q", victim.freelist)


def high_water_too_high(victim: Victim) -> None:
    victim.rewrite_meta(high_water=1 << 40)


def root_out_of_bounds(victim: Victim) -> None:
    victim.rewrite_meta(root=1 << 60)


def cut_short(victim: Victim) -> None:
    del victim.data[victim.start(victim.meta.high_water - 2) :]


IN_THE_FREELIST: dict[Callable[[Victim], None], str] = {
    listed_twice: r"page \d+ is listed twice",
    listed_out_of_bounds: r"freelist: page \d+ is out of bounds",
    reachable_but_free: r"page \d+ is reachable but free",
    neither: r"page \d+ is neither reachable nor free",
    freelist_of_another_kind: r"is no freelist",
}
"""Faults beside the tree: what the version holds can be read all the same."""

IN_THE_TREE: dict[Callable[[Victim], None], str] = {
    wrong_kind: r"neither leaf nor branch \(kind 0x10\)",
    wrong_number: r"page \d+ carries the id \d+",
    child_out_of_bounds: r"page \d+ is out of bounds",
    child_is_a_meta: r"page 1 is out of bounds",
    child_twice: r"page \d+ is referred to twice",
    bucket_twice: r"page \d+ is referred to twice",
    bucket_in_itself: r"page \d+ is referred to twice",
    keys_swapped: r"key 4 \(b'key-\d+'\) is not above the one before",
    key_twice: r"key 4 \(b'key-\d+'\) is not above the one before",
    branch_keys_swapped: r"key 2 \(b'key-\d+'\) is not above the one before",
    first_key_below_the_parents: r"first key b'key-\d+' is below its parent's b'key-\d+'",
    last_key_in_the_next: r"last key b'key-\d+' reaches into the next node \(b'key-\d+'\)",
    element_out_of_bounds: r"element 3 of leaf page \d+ is out of bounds",
    value_too_long: r"element 3 of leaf page \d+ is out of bounds",
    absurd_count: r"no room for its 65535 elements",
    overflow_out_of_bounds: r"overflows behind the end of the file",
    overflow_into_another: r"page \d+ is referred to twice",
    empty_leaf: r"a node below a branch is empty",
    childless_branch: r"branch page \d+ has no children",
    bucket_too_short: r"a bucket's value of 7 bytes is too short",
    inline_without_a_leaf: r"an inline bucket holds no leaf",
    inline_with_a_bucket: r"an inline bucket holds a bucket",
    value_outermost: r"the outermost bucket holds the value b'v1'",
    freelist_in_the_tree: r"page \d+ is referred to twice",
    root_out_of_bounds: r"page \d+ is out of bounds|behind the end",
}

OF_THE_FILE: dict[Callable[[Victim], None], str] = {
    high_water_too_high: r"1099511627776 pages are in use, the file holds \d+",
    cut_short: r"pages are in use, the file holds",
}
