"""A published blob has the hashed bytes: no other user can write to it; changes are detected."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING

import pytest

from orlop.clock import SystemClock
from orlop.errors import FailedPreconditionError
from orlop.storage.content import LocalContent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Set the umask of the process."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    store = LocalContent(tmp_path / "content", clock=SystemClock())
    writer = store.writer("ref", size=4)
    writer.write(b"data")
    during = modes(tmp_path)
    writer.commit()
    assert set(during.values()) == {("d", 0o755), ("f", 0o644)}
    assert set(modes(tmp_path).values()) == {("d", 0o755), ("f", 0o444)}


def modes(root: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(root)): (
            "d" if path.is_dir() else "f",
            stat.S_IMODE(path.stat().st_mode),
        )
        for path in root.rglob("*")
    }


@pytest.mark.parametrize("is_synced", [False, True])
def test_a_change_by_somebody_else_is_not_published(tmp_path: Path, is_synced: bool) -> None:  # noqa: FBT001 - pytest gives it
    store = LocalContent(tmp_path, clock=SystemClock())
    writer = store.writer("ref")
    writer.write(b"good")
    if is_synced:
        writer.sync()
    time.sleep(0.02)  # so that the clock of the file system has gone on
    (data,) = tmp_path.glob("ingest/*/data")
    data.chmod(0o644)
    with data.open("r+b") as file:
        file.write(b"evil")
    with pytest.raises(FailedPreconditionError, match="somebody else changed it"):
        writer.commit()
    assert list(store.walk()) == []


def test_a_change_of_the_mode_alone_does_no_harm(tmp_path: Path) -> None:
    store = LocalContent(tmp_path, clock=SystemClock())
    writer = store.writer("ref")
    writer.write(b"good")
    time.sleep(0.02)
    (data,) = tmp_path.glob("ingest/*/data")
    data.chmod(0o600)
    writer.commit()
    assert len(list(store.walk())) == 1
