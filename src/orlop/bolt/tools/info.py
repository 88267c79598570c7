"""The metas of a database file, without reading its tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orlop.bolt.meta import NO_FREELIST, Meta
from orlop.bolt.versions import read_version

if TYPE_CHECKING:
    from pathlib import Path

    from orlop.bolt.versions import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInfo:
    """A file at a glance.

    Attributes:
        size: bytes of the file.
        page_size: bytes of a page.
        transaction: the number of the newest durable transaction.
        pages: pages that have ever been used.
        freelist_kept: whether the file keeps a list of its free pages.
        faulty_metas: what is wrong with the metas that are not sound.
    """

    size: int
    page_size: int
    transaction: int
    pages: int
    freelist_kept: bool
    faulty_metas: tuple[str, ...]


def file_info(path: Path) -> FileInfo:
    """Read the metas of a file. No lock is taken.

    Raises:
        CorruptError: neither meta is sound.
        OSError: the file cannot be read.
    """
    return read_version(path, _info)


def _info(version: Version) -> FileInfo:
    meta = version.meta
    return FileInfo(
        size=version.disk.size(),
        page_size=meta.page_size,
        transaction=meta.transaction,
        pages=meta.high_water,
        freelist_kept=meta.freelist != NO_FREELIST,
        faulty_metas=tuple(str(each) for each in version.metas if not isinstance(each, Meta)),
    )
