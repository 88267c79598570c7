"""The meta pages: where the tree begins, and which version of it counts.

There are two, on pages 0 and 1, and transaction N writes page N % 2; so the one that is
being written is never the one that the last durable version stands on.

Source: go.etcd.io/bbolt, db.go (type meta); spec/metadata.md 1.4.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from orlop.bolt.checksum import checksum
from orlop.bolt.page import HEADER, HEADER_SIZE, MAX_PAGE_SIZE, META_PAGE, MIN_PAGE_SIZE
from orlop.kv.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Callable

MAGIC: Final = 0xED0CDAED
VERSION: Final = 2
NO_FREELIST: Final = 0xFFFFFFFFFFFFFFFF
"""The freelist id of a meta without a freelist: unreachable pages are free."""

_FIELDS: Final = struct.Struct("<IIIIQQQQQ")
_CHECKSUM: Final = struct.Struct("<Q")
META_SIZE: Final = HEADER_SIZE + _FIELDS.size + _CHECKSUM.size


class Meta(NamedTuple):
    """One version of the database.

    Attributes:
        page_size: in bytes.
        flags: unused by bbolt; kept.
        root: the page of the root bucket's tree.
        sequence: the root bucket's counter.
        freelist: the page of the freelist, or `NO_FREELIST`.
        high_water: the first page id that has never been used.
        transaction: the number of the transaction that wrote this.
    """

    page_size: int
    flags: int
    root: int
    sequence: int
    freelist: int
    high_water: int
    transaction: int

    @property
    def bytes_in_use(self) -> int:
        """Where the last page ends that is in use or may be free, in bytes."""
        # Not a product: this may be a number that no file can have.
        return self.high_water << self.page_size.bit_length() - 1

    def encode(self) -> bytes:
        """Return the meta page's contents, header and checksum included, without padding."""
        fields = _FIELDS.pack(MAGIC, VERSION, *self)
        header = HEADER.pack(self.transaction % 2, META_PAGE, 0, 0)
        return header + fields + _CHECKSUM.pack(checksum(fields))


def decode_meta(page: bytes) -> Meta:
    """Read a meta page.

    Raises:
        CorruptError: it is no meta of this format, or its checksum is wrong.
    """
    if len(page) < META_SIZE:
        raise CorruptError(f"a meta page of {len(page)} bytes is cut short")
    fields = page[HEADER_SIZE : HEADER_SIZE + _FIELDS.size]
    magic, version, *rest = _FIELDS.unpack(fields)
    if magic != MAGIC:
        raise CorruptError(f"no meta page: magic {magic:#010x} instead of {MAGIC:#010x}")
    if version != VERSION:
        raise CorruptError(f"file format {version}; only {VERSION} is known")
    (stored,) = _CHECKSUM.unpack_from(page, HEADER_SIZE + _FIELDS.size)
    if stored != checksum(fields):
        raise CorruptError("wrong checksum of a meta page")
    meta = Meta(*rest)
    if not _is_page_size(meta.page_size):
        raise CorruptError(f"a page size of {meta.page_size} bytes")
    return meta


def _is_page_size(size: int) -> bool:
    return MIN_PAGE_SIZE <= size <= MAX_PAGE_SIZE and size & (size - 1) == 0


Metas: TypeAlias = "tuple[Meta | CorruptError, ...]"
"""The two metas of a file; in the place of one that is damaged, what says so."""


def read_metas(read: Callable[[int, int], bytes]) -> Metas:
    """Return the two metas; in the place of a damaged one, its error.

    The first one tells where the second is; where it is damaged, every page size that the
    format knows is tried.

    Args:
        read: returns so many bytes from an offset on.

    Raises:
        OSError: the file cannot be read.
    """
    first = _meta_or_error(read(0, META_SIZE), 0)
    if isinstance(first, Meta):
        second = _meta_or_error(read(first.page_size, META_SIZE), 1)
        if isinstance(second, Meta) and second.page_size != first.page_size:
            second = CorruptError("the two metas name different page sizes")
        return first, second
    size = MIN_PAGE_SIZE
    while size <= MAX_PAGE_SIZE:
        second = _meta_or_error(read(size, META_SIZE), 1)
        if isinstance(second, Meta) and second.page_size == size:
            return first, second
        size *= 2
    return first, CorruptError("no second meta page was found at any page size")


def _meta_or_error(page: bytes, slot: int) -> Meta | CorruptError:
    try:
        return decode_meta(page)
    except CorruptError as error:
        return CorruptError(f"meta page {slot}: {error}")


def require_length(meta: Meta, size: int) -> None:
    """Check that a file contains all pages of a version.

    Raises:
        CorruptError: it does not.
    """
    if meta.bytes_in_use > size:
        raise CorruptError(f"the file is cut short: {size} bytes, {meta.bytes_in_use} are in use")


def suspect_metas(read: Callable[[int, int], bytes]) -> list[Meta]:
    """Return the metas with a wrong checksum that may still name the root of their tree.

    For whoever looks for what can be saved of a file that has no sound one.

    Args:
        read: returns so many bytes from an offset on.
    """
    found: list[Meta] = []
    for offset in (0, *(MIN_PAGE_SIZE << shift for shift in range(7))):
        page = read(offset, META_SIZE)
        if len(page) < META_SIZE:
            continue
        magic, version, *rest = _FIELDS.unpack_from(page, HEADER_SIZE)
        meta = Meta(*rest)
        is_placed = _is_page_size(meta.page_size) and offset in {0, meta.page_size}
        if is_placed and (magic == MAGIC or version == VERSION):
            found.append(meta)
    return found


def newest_meta(metas: tuple[Meta | CorruptError, ...]) -> Meta:
    """Return the sound meta of the latest transaction.

    Raises:
        CorruptError: neither is sound.
    """
    sound = [meta for meta in metas if isinstance(meta, Meta)]
    if not sound:
        raise CorruptError("no bolt database: " + "; ".join(str(meta) for meta in metas))
    return max(sound, key=lambda meta: meta.transaction)
