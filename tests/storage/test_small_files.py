"""Small files are replaced as a whole, also where the disk is full."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from orlop.storage import files
from orlop.storage.small_files import write_small


def full(name: str, _: bytes, *, dir_fd: int, mode: int) -> None:
    files.write_new(name + ".tmp", b"half", dir_fd=dir_fd, mode=mode)
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("before", [None, b"a longer text", b"short", b"as long"])
def test_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bytes | None, *, in_place: bool
) -> None:
    if before is not None:
        write_small(tmp_path, "file", before)
    monkeypatch.setattr(files, "write_atomically", full)
    if in_place and before is not None and len(before) >= len(b"as long"):
        write_small(tmp_path, "file", b"as long", in_place=True)
        assert (tmp_path / "file").read_bytes() == b"as long"
    else:
        with pytest.raises(OSError, match="No space left"):
            write_small(tmp_path, "file", b"as long", in_place=in_place)
        assert Path(tmp_path / "file").exists() == (before is not None)
        assert before is None or (tmp_path / "file").read_bytes() == before
    assert not (tmp_path / "file.tmp").exists()
