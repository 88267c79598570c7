"""Initialization of a database file.

Source: go.etcd.io/bbolt, db.go (init).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from orlop.bolt.meta import NO_FREELIST, Meta
from orlop.bolt.page import HEADER, LEAF_PAGE
from orlop.kv.errors import EmptyFileError

if TYPE_CHECKING:
    from orlop.bolt.disk import Disk, Readable

_ROOT_PAGE = 3
_PAGES = 4


def empty_database(page_size: int | None = None) -> bytes:
    """Return the bytes of a new file: two metas, a free page and an empty root bucket.

    As containerd's are, it keeps no freelist; page 2 is free.

    Args:
        page_size: in bytes; None: that of the system, as bbolt does.
    """
    size = page_size or os.sysconf("SC_PAGE_SIZE")
    metas = [Meta(size, 0, _ROOT_PAGE, 0, NO_FREELIST, _PAGES, number) for number in (0, 1)]
    leaf = HEADER.pack(_ROOT_PAGE, LEAF_PAGE, 0, 0)
    pages = [*(meta.encode() for meta in metas), b"", leaf]
    return b"".join(page.ljust(size, b"\0") for page in pages)


def is_uninitialized(disk: Readable) -> bool:
    """Whether a file is uninitialized: it is empty, or its first write was interrupted."""
    size = disk.size()
    if not size:
        return True
    new = empty_database()
    if size > len(new):
        return False
    metas_end = len(new) // 2
    # Metas come last; before them, nothing but zeros and the empty root can be there.
    pages = disk.read(metas_end, size - metas_end) if size > metas_end else b""
    nothing = not any(disk.read(0, min(size, metas_end)))
    return nothing and (not any(pages) or pages == new[metas_end : metas_end + len(pages)])


def require_initialized(disk: Readable) -> None:
    """Refuse to read an uninitialized file.

    Raises:
        EmptyFileError: it is one.
    """
    if is_uninitialized(disk):
        raise EmptyFileError


def initialize_file(disk: Disk) -> None:
    """Write an empty database, the metas last: after an interruption it can be written again."""
    new = empty_database()
    metas_end = len(new) // 2
    disk.grow(len(new))
    disk.write(metas_end, [new[metas_end:]])
    disk.sync()
    disk.write(0, [new[:metas_end]])
    disk.sync()
