"""A process that is killed, and a disk that is full: nothing is lost and nothing is left."""

from __future__ import annotations

import contextlib
import errno
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from orlop import digests
from orlop.clock import SystemClock
from orlop.errors import AlreadyExistsError, NotFoundError
from orlop.storage import LocalContent
from storage.killing import steps
from storage.mounting import small_disk
from storage.test_content_suite import some_bytes, store

if TYPE_CHECKING:
    from pathlib import Path

DATA = some_bytes(10_000)
DIGEST = digests.from_bytes(DATA)


def finish(root: Path) -> None:
    """Write the blob to its end, as a successor of the killed process would."""
    content = LocalContent(root, clock=SystemClock())
    # What is there must be whole or resumable before anything is written.
    for blob in content.walk():
        assert (blob.digest, blob.size) == (DIGEST, len(DATA))
    for status in content.statuses():
        assert status.ref == "ref"
        assert 0 <= status.offset <= len(DATA)
        assert status.total in {0, len(DATA)}
    writer = content.writer("ref", size=len(DATA))
    assert writer.digest() == digests.from_bytes(DATA[: writer.status().offset])
    writer.write(DATA[writer.status().offset :])
    with contextlib.suppress(AlreadyExistsError):
        writer.commit(size=len(DATA), expected=DIGEST)
    with content.open(DIGEST) as reader:
        assert reader.read() == DATA
    content.cleanup()
    files = [path for path in root.rglob("*") if path.is_file()]
    assert files == [root / "blobs/sha256" / DIGEST.removeprefix("sha256:")]
    assert sorted(path.name for path in root.iterdir()) == ["blobs", "ingest"]
    assert list((root / "ingest").iterdir()) == []


def test_killed_at_any_point_of_a_write_and_commit(tmp_path: Path) -> None:
    root = tmp_path / "root"

    def scenario() -> None:
        content = LocalContent(root, clock=SystemClock())
        writer = content.writer("ref", size=len(DATA))
        writer.write(DATA[:6000])
        writer.close()
        writer = content.writer("ref", size=len(DATA))
        writer.write(DATA[6000:])
        writer.commit(size=len(DATA), expected=DIGEST)

    deaths = 0
    for _ in steps(scenario):
        finish(root)
        shutil.rmtree(root)
        deaths += 1
    assert deaths > 15


def test_killed_at_any_point_of_an_abort(tmp_path: Path) -> None:
    root = tmp_path / "root"

    def scenario() -> None:
        LocalContent(root, clock=SystemClock()).abort("ref")

    def begin() -> None:
        writer = LocalContent(root, clock=SystemClock()).writer("ref")
        writer.write(DATA)
        writer.close()

    begin()
    for _ in steps(scenario):
        content = LocalContent(root, clock=SystemClock())
        assert [status.offset for status in content.statuses()] in ([], [len(DATA)])
        content.cleanup()
        assert sorted(path.name for path in root.iterdir()) == ["ingest"]
        with contextlib.suppress(NotFoundError):
            content.abort("ref")
        assert list((root / "ingest").iterdir()) == []
        begin()


@pytest.mark.root
def test_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        content = LocalContent(disk / "content", clock=SystemClock())
        in_the_way = store(content, some_bytes(500_000))
        data = some_bytes(800_000, seed=8)
        writer = content.writer("ref", size=len(data))
        with pytest.raises(OSError, match="No space") as refused:
            writer.write(data)
        assert refused.value.errno == errno.ENOSPC
        offset = writer.status().offset
        assert 0 < offset < len(data)
        assert writer.digest() == digests.from_bytes(data[:offset])
        with pytest.raises(OSError, match="No space"):
            content.writer("no room for this one")
        assert [status.ref for status in content.statuses()] == ["ref"]
        assert sorted(path.name for path in (disk / "content").iterdir()) == ["blobs", "ingest"]

        content.delete(in_the_way)
        writer.write(data[offset:])
        writer.commit(size=len(data), expected=digests.from_bytes(data))
        assert [info.size for info in content.walk()] == [len(data)]


@pytest.mark.root
def test_a_full_disk_does_not_lose_what_was_written(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        content = LocalContent(disk / "content", clock=SystemClock())
        writer = content.writer("ref")
        with pytest.raises(OSError, match="No space"):
            writer.write(some_bytes(2_000_000))
        offset = writer.status().offset
        with pytest.raises(OSError, match="No space"):
            writer.close()  # there is no room for the time of the last write either
        assert content.status("ref").offset == offset
        content.abort("ref")
        content.writer("ref").close()  # nobody holds the reference any more
        content.abort("ref")
        assert list((disk / "content/ingest").iterdir()) == []


@pytest.mark.root
def test_a_read_only_disk_is_read(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m,mode=0755") as disk:
        content = LocalContent(disk / "content", clock=SystemClock())
        digest = store(content, b"abc")
        content.writer("ref").close()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)

        content = LocalContent(disk / "content", clock=SystemClock())
        assert [info.digest for info in content.walk()] == [digest]
        assert [status.ref for status in content.statuses()] == ["ref"]
        with content.open(digest) as reader:
            assert reader.read() == b"abc"
        with pytest.raises(OSError, match="Read-only"):
            content.writer("ref")
        with pytest.raises(OSError, match="Read-only"):
            content.delete(digest)
