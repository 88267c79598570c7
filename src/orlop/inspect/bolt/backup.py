"""A consistent copy of a database file, also of one that another process is writing."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from orlop.bolt.disk import FileDisk, sync_directory
from orlop.bolt.meta import newest_meta, read_metas
from orlop.inspect.bolt.check import check_file
from orlop.kv.errors import CorruptError, StaleReadError

if TYPE_CHECKING:
    from pathlib import Path

_TRIES = 10
_CHUNK_BYTES = 1024 * 1024


def backup(source: Path, target: Path) -> int:
    """Copy the newest version of `source` to the new file `target`; return its size in bytes.

    The copy is checked and durable before it gets its name. No lock is taken: where the
    source changes while it is read, it is read again.

    Raises:
        FileExistsError: there is a `target` already.
        StaleReadError: the source changed during every one of ten tries.
        CorruptError: the source is damaged, or no database.
        OSError: the system refused.
    """
    if target.exists():
        raise FileExistsError(f"{target} is there already; name a new file")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        for _ in range(_TRIES):
            if _copy_if_unchanged(source, temporary):
                break
        else:
            raise StaleReadError(f"{source} changed during each of {_TRIES} tries to copy it")
        faults = check_file(temporary).faults
        if faults:
            raise CorruptError(f"{source} is damaged: {faults[0].message}")
        os.link(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(target.parent)
    return target.stat().st_size


def _copy_if_unchanged(source: Path, target: Path) -> bool:
    """Copy a file's pages in use; False where it was changed meanwhile."""
    disk = FileDisk.for_reading(source)
    try:
        metas = read_metas(disk.read)
        meta = newest_meta(metas)
        left = meta.high_water * meta.page_size
        mode = source.stat().st_mode & 0o777
        with open(target, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as copy:
            offset = 0
            while left:
                data = disk.read(offset, min(left, _CHUNK_BYTES))
                if not data:
                    raise CorruptError(f"{source} is cut short: {left} bytes are missing")
                copy.write(data)
                offset += len(data)
                left -= len(data)
            copy.flush()
            os.fsync(copy.fileno())
        return [*map(str, read_metas(disk.read))] == [*map(str, metas)]
    finally:
        disk.close()
