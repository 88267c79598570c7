"""A consistent copy of a database file, also of one that another process is writing."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from orlop.bolt.disk import sync_directory
from orlop.bolt.tools.check import check_file
from orlop.bolt.versions import read_version
from orlop.concurrency.ownership import TemporaryName
from orlop.kv.errors import CorruptError

if TYPE_CHECKING:
    from pathlib import Path

    from orlop.bolt.versions import Version

_PIECE_BYTES: Final = 1024 * 1024


def backup(source: Path, target: Path) -> int:
    """Copy the newest version of `source` to the new file `target`; return its size in bytes.

    The copy is checked and durable before it gets its name. No lock is taken: where the
    source changes while it is read, it is read again.

    Raises:
        FileExistsError: there is a `target` already, if only a link that leads nowhere.
        StaleReadError: the source changes too fast.
        CorruptError: the source is damaged, or no database.
        OSError: the system refused.
    """
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "is there already; name a new file", str(target))
    with TemporaryName(target) as temporary:
        read_version(source, lambda version: _copy(source, version, temporary))
        faults = check_file(temporary).faults
        if faults:
            raise CorruptError(f"{source} is damaged: {faults[0].message}")
        os.link(temporary, target)
    sync_directory(target.parent)
    return target.stat().st_size


def _copy(source: Path, version: Version, target: Path) -> None:
    """Copy the pages of a version that have ever been used.

    Of the version before, which a writer may be overwriting, nothing is left: the other meta
    names the same tree, one transaction earlier, as in a copy by bbolt.
    """
    meta, disk = version.meta, version.disk
    mode = source.stat().st_mode & 0o777
    end = meta.high_water * meta.page_size
    with open(target, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as copy:
        for each in (meta._replace(transaction=abs(meta.transaction - 1)), meta):
            copy.seek(each.transaction % 2 * meta.page_size)
            copy.write(each.encode().ljust(meta.page_size, b"\0"))
        offset = 2 * meta.page_size
        copy.seek(offset)
        while offset < end:
            data = disk.read(offset, min(end - offset, _PIECE_BYTES))
            if not data:
                raise CorruptError(f"{source} is cut short: {end - offset} bytes are missing")
            copy.write(data)
            offset += len(data)
        copy.flush()
        os.fsync(copy.fileno())
