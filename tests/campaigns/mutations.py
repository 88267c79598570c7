"""Damage at random, of files and of single fields, the checksums made right again.

The layout is written down here once more, apart from the engine under test.

Source: go.etcd.io/bbolt, page.go, db.go (meta), bucket.go.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

PAGE_HEADER = struct.Struct("<QHHI")
META_FIELDS = struct.Struct("<IIIIQQQQQ")
BRANCH, LEAF, META, FREELIST = 1, 2, 4, 16
ELEMENT_BYTES = 16
BUCKET_FLAG = 1
WORD = {2: "<H", 4: "<I", 8: "<Q"}

_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


@dataclass(slots=True)
class Victim:
    """A file on its way to ruin."""

    data: bytearray
    page_size: int
    seed: random.Random

    @property
    def pages(self) -> int:
        return len(self.data) // self.page_size

    def kind(self, page: int) -> int:
        return int(PAGE_HEADER.unpack_from(self.data, page * self.page_size)[1])

    def elements(self, page: int) -> int:
        return int(PAGE_HEADER.unpack_from(self.data, page * self.page_size)[2])

    def some_page(self, kind: int | None = None) -> int | None:
        """Return a page at random, of a kind if one is named."""
        fitting = [page for page in range(self.pages) if kind is None or self.kind(page) == kind]
        return self.seed.choice(fitting) if fitting else None

    def some_number(self, *, size: int, page: int = 0) -> int:
        """Return a number that such a field should not have, or only by accident."""
        number = self.seed.choice(
            (
                *(0, 1, 2, 3, 15, 16, 17, page, page + 1, self.pages - 1, self.pages),
                *(self.seed.randrange(max(self.pages, 1)), self.seed.randrange(1 << 16)),
                *(self.page_size, self.page_size - 16, 0x7FFF, 0xFFFE, 0xFFFF, 0x10000),
                *((1 << 31) - 1, 1 << 31, (1 << 32) - 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1),
                self.seed.getrandbits(64),
            )
        )
        return number & ((1 << 8 * size) - 1)

    def write(self, place: int, size: int, number: int) -> None:
        """Write an integer, where the file has room for it."""
        if 0 <= place <= len(self.data) - size:
            struct.pack_into(WORD[size], self.data, place, number)

    def read(self, place: int, size: int) -> int:
        """Return the integer at a place; 0 behind the end."""
        if not 0 <= place <= len(self.data) - size:
            return 0
        return int(struct.unpack_from(WORD[size], self.data, place)[0])

    def seal(self, slot: int) -> None:
        """Correct a meta's checksum, so that its fields are accepted."""
        place = slot * self.page_size + PAGE_HEADER.size
        value = _FNV_OFFSET
        for byte in self.data[place : place + META_FIELDS.size]:
            value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
        self.write(place + META_FIELDS.size, 8, value)


def flip_bits(victim: Victim) -> None:
    for _ in range(victim.seed.choice((1, 1, 3, 20, 200))):
        if victim.data:
            victim.data[victim.seed.randrange(len(victim.data))] ^= 1 << victim.seed.randrange(8)


def flip_bits_of_a_table(victim: Victim) -> None:
    """Most of a page is values; damage to its head says more."""
    page = victim.some_page()
    if page is not None:
        for _ in range(victim.seed.randrange(1, 8)):
            place = page * victim.page_size + victim.seed.randrange(min(200, victim.page_size))
            victim.data[place] ^= 1 << victim.seed.randrange(8)


def scribble(victim: Victim) -> None:
    if victim.data:
        start = victim.seed.randrange(len(victim.data))
        length = min(victim.seed.choice((4, 16, 100, 5000)), len(victim.data) - start)
        victim.data[start : start + length] = victim.seed.randbytes(length)


def cut(victim: Victim) -> None:
    pages = victim.seed.randrange(victim.pages + 1) * victim.page_size
    del victim.data[victim.seed.choice((pages, victim.seed.randrange(len(victim.data) + 1))) :]


def append(victim: Victim) -> None:
    victim.data += victim.seed.randbytes(victim.seed.choice((1, 100, victim.page_size)))


def wipe_page(victim: Victim) -> None:
    page = victim.some_page()
    if page is not None:
        start = page * victim.page_size
        victim.data[start : start + victim.page_size] = bytes(victim.page_size)


def swap_pages(victim: Victim) -> None:
    _exchange(victim, is_swap=True)


def double_page(victim: Victim) -> None:
    _exchange(victim, is_swap=False)


def _exchange(victim: Victim, *, is_swap: bool) -> None:
    one, other = victim.some_page(), victim.some_page()
    if one is None or other is None:
        return
    size = victim.page_size
    starts = one * size, other * size
    first, second = (bytes(victim.data[start : start + size]) for start in starts)
    victim.data[starts[1] : starts[1] + size] = first
    if is_swap:
        victim.data[starts[0] : starts[0] + size] = second
    if victim.seed.random() < 0.7:
        # With its own number on it, a page looks right from outside.
        victim.write(starts[1], 8, other)
        victim.write(starts[0], 8, one)


def change_header(victim: Victim) -> None:
    page = victim.some_page()
    if page is not None:
        place, size = victim.seed.choice(((0, 8), (8, 2), (10, 2), (12, 4)))
        number = victim.some_number(size=size, page=page)
        if (place, size) == (8, 2):
            number = victim.seed.choice((0, BRANCH, LEAF, META, FREELIST, number))
        victim.write(page * victim.page_size + place, size, number)


def change_element(victim: Victim) -> None:
    page = victim.some_page(victim.seed.choice((BRANCH, LEAF)))
    if page is not None and (count := victim.elements(page)):
        start = page * victim.page_size + PAGE_HEADER.size
        element = start + victim.seed.randrange(count) * ELEMENT_BYTES
        fields = ((0, 4), (4, 4), (8, 8))
        if victim.kind(page) == LEAF:
            fields = ((0, 4), (4, 4), (8, 4))
        place, size = victim.seed.choice(fields)
        victim.write(element + place, size, victim.some_number(size=size, page=page))


def swap_elements(victim: Victim) -> None:
    """Bring keys out of their order."""
    page = victim.some_page(victim.seed.choice((BRANCH, LEAF)))
    if page is None or victim.elements(page) < 2:
        return
    start = page * victim.page_size + PAGE_HEADER.size
    count = min(victim.elements(page), (victim.page_size - PAGE_HEADER.size) // ELEMENT_BYTES)
    one, other = victim.seed.sample(range(count), 2)
    first, second = start + one * ELEMENT_BYTES, start + other * ELEMENT_BYTES
    held = bytes(victim.data[first : first + ELEMENT_BYTES])
    victim.data[first : first + ELEMENT_BYTES] = victim.data[second : second + ELEMENT_BYTES]
    victim.data[second : second + ELEMENT_BYTES] = held


def redirect_child(victim: Victim) -> None:
    """Let a branch, or several of its children, lead elsewhere: to itself, back, to one place."""
    page = victim.some_page(BRANCH)
    if page is None:
        return
    target = victim.seed.choice((page, victim.some_page(BRANCH), victim.some_page(LEAF), 0, 2))
    start = page * victim.page_size + PAGE_HEADER.size
    share = victim.seed.choice((0.1, 1.0))
    for element in range(min(victim.elements(page), victim.page_size // ELEMENT_BYTES)):
        if victim.seed.random() < share:
            victim.write(start + element * ELEMENT_BYTES + 8, 8, target or 0)


def redirect_bucket(victim: Victim) -> None:
    """Let a bucket's root be another page; a plain value may be turned into a bucket first."""
    page = victim.some_page(LEAF)
    if page is None:
        return
    target = victim.seed.choice(
        (page, victim.some_page(LEAF), victim.some_page(BRANCH), victim.some_number(size=8))
    )
    share = victim.seed.choice((0.2, 1.0))
    start = page * victim.page_size + PAGE_HEADER.size
    for number in range(min(victim.elements(page), victim.page_size // ELEMENT_BYTES)):
        element = start + number * ELEMENT_BYTES
        is_bucket = victim.read(element, 4) & BUCKET_FLAG
        if (is_bucket or victim.seed.random() < 0.2) and victim.seed.random() < share:
            victim.write(element, 4, BUCKET_FLAG)
            value = element + victim.read(element + 4, 4) + victim.read(element + 8, 4)
            victim.write(value, 8, target or 0)


def change_inline_bucket(victim: Victim) -> None:
    """Damage the small leaf that stands inside a bucket's value."""
    page = victim.some_page(LEAF)
    if page is None:
        return
    start = page * victim.page_size + PAGE_HEADER.size
    for number in range(min(victim.elements(page), victim.page_size // ELEMENT_BYTES)):
        element = start + number * ELEMENT_BYTES
        value = element + victim.read(element + 4, 4) + victim.read(element + 8, 4)
        if victim.read(element, 4) & BUCKET_FLAG and not victim.read(value, 8):
            place, size = victim.seed.choice(
                ((0, 8), (24, 2), (26, 2), (28, 4), (32, 4), (36, 4), (40, 4), (44, 4))
            )
            victim.write(value + place, size, victim.some_number(size=size, page=page))


def change_meta(victim: Victim) -> None:
    """Change one field of one meta or both, and make the checksum right."""
    place, size = victim.seed.choice(
        ((0, 4), (4, 4), (8, 4), (12, 4), (16, 8), (24, 8), (32, 8), (40, 8), (48, 8))
    )
    number = victim.some_number(size=size)
    if place == 8:
        number = victim.seed.choice((512, 1024, 2048, 4096, 65_536, 131_072, number))
    for slot in victim.seed.choice(((0,), (1,), (0, 1))):
        start = slot * victim.page_size
        victim.write(start + PAGE_HEADER.size + place, size, number)
        victim.seal(slot)


def change_freelist(victim: Victim) -> None:
    page = victim.some_page(FREELIST)
    if page is None:
        return
    start = page * victim.page_size
    if victim.seed.random() < 0.4:
        victim.write(start + 10, 2, 0xFFFF)
        victim.write(start + 16, 8, victim.some_number(size=8))
    for _ in range(victim.seed.randrange(3)):
        place = 16 + 8 * victim.seed.randrange(max(victim.elements(page), 1))
        victim.write(start + place, 8, victim.some_number(size=8, page=page))


MUTATIONS: tuple[Callable[[Victim], None], ...] = (
    flip_bits,
    flip_bits_of_a_table,
    scribble,
    cut,
    append,
    wipe_page,
    swap_pages,
    double_page,
    change_header,
    change_header,
    change_element,
    change_element,
    swap_elements,
    redirect_child,
    redirect_bucket,
    change_inline_bucket,
    change_meta,
    change_meta,
    change_freelist,
)


def mutate(data: bytes, seed: random.Random) -> tuple[bytes, list[str]]:
    """Return a damaged copy, and the names of the mutations."""
    page_size = struct.unpack_from("<I", data, 24)[0]
    victim = Victim(bytearray(data), page_size, seed)
    names = []
    for _ in range(seed.choice((1, 1, 1, 2, 3))):
        mutation = seed.choice(MUTATIONS)
        mutation(victim)
        names.append(mutation.__name__)
    return bytes(victim.data), names
