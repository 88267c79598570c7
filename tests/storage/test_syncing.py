"""Order of syncs: a database never names data that a power loss could lose."""

from __future__ import annotations

import ctypes
import os
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop import digests
from orlop.clock import SystemClock
from orlop.storage import LocalContent, NativeSnapshotter, OverlaySnapshotter, files
from storage.opening import open_for_writing

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_SYSTEM = "the file system"
KINDS = pytest.mark.parametrize("kind", [NativeSnapshotter, OverlaySnapshotter])


class _Library:
    """Stands for the C library, and notes a sync of the whole file system."""

    def __init__(self, synced: list[str]) -> None:
        self._synced = synced

    def syncfs(self, _: int) -> int:
        self._synced.append(FILE_SYSTEM)
        return 0


@pytest.fixture
def synced() -> Iterator[list[str]]:
    """Return the paths that were synced, in order."""
    found: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        record(found, patch)
        yield found


def record(found: list[str], patch: pytest.MonkeyPatch) -> None:
    def noting(descriptor: int) -> None:
        found.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    patch.setattr(os, "fsync", noting)
    patch.setattr(os, "fdatasync", noting)
    patch.setattr(files, "_LIBC", _Library(found))


def without_repeats(synced: list[str]) -> list[str]:
    """Return the synced paths without repeats; a commit of a database syncs repeatedly."""
    return [path for path, _ in groupby(synced)]


@given(
    names=st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=6),
    nested=st.sets(st.sampled_from("abcdefgh"), max_size=2),
    full=st.booleans(),
    linked=st.booleans(),
)
def test_a_tree_is_durable_piece_by_piece_or_as_a_whole(
    tmp_path_factory: pytest.TempPathFactory,
    names: list[str],
    nested: set[str],
    full: bool,  # noqa: FBT001 -- a parameter of the test
    linked: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    root = tmp_path_factory.mktemp("tree")
    directories = nested & set(names)
    for name in names:
        if name in directories:
            (root / name).mkdir()
            if full:
                (root / name / "file").write_bytes(b"x")
        else:
            (root / name).write_bytes(b"x")
    if linked:
        (root / "link").symlink_to("a")
    found: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        record(found, patch)
        files.sync_tree(root)

    is_small = len(names) <= 4 and not linked and not (full and directories)
    everything = {str(root), *(str(root / name) for name in names)}
    assert set(found) == everything if is_small else FILE_SYSTEM in found
    assert found[-1] == (str(root) if is_small else FILE_SYSTEM)


def test_what_cannot_be_opened_is_synced_with_the_file_system(
    tmp_path: Path, synced: list[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    files.sync_tree(tmp_path)
    assert synced == [FILE_SYSTEM]


def test_an_error_of_the_sync_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        @staticmethod
        def syncfs(_: int) -> int:
            ctypes.set_errno(5)
            return -1

    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(files, "_LIBC", Failing())
    with pytest.raises(OSError, match="Input/output error"):
        files.sync_tree(tmp_path)


@KINDS
def test_a_directory_is_durable_before_the_database_names_it(
    tmp_path: Path, synced: list[str], kind: type[NativeSnapshotter | OverlaySnapshotter]
) -> None:
    snapshotter = kind(tmp_path, open_for_writing, clock=SystemClock())
    snapshotter.prepare("born", "")
    del synced[:]
    snapshotter.prepare("key", "")
    database, place = str(tmp_path / "metadata.db"), str(tmp_path / "snapshots")
    assert without_repeats(synced) == [place, database]

    (snapshotter._data("2") / "file").write_bytes(b"data")
    del synced[:]
    snapshotter.commit("layer", "key")
    data = str(snapshotter._data("2"))
    assert without_repeats(synced) == [f"{data}/file", data, database]
    snapshotter.close()


def test_a_copy_is_durable_before_the_database_names_it(tmp_path: Path, synced: list[str]) -> None:
    snapshotter = NativeSnapshotter(tmp_path, open_for_writing, clock=SystemClock())
    snapshotter.prepare("key", "")
    (snapshotter._data("1") / "file").write_bytes(b"data")
    snapshotter.commit("layer", "key")
    del synced[:]
    snapshotter.prepare("above", "layer")
    copied, named, place, database = without_repeats(synced)
    assert copied == f"{named}/file"
    assert place == str(tmp_path / "snapshots")
    assert database == str(tmp_path / "metadata.db")
    snapshotter.close()


@pytest.mark.parametrize("is_synced_before", [True, False])
def test_a_blob_is_durable_when_it_is_committed(
    tmp_path: Path,
    synced: list[str],
    is_synced_before: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    content = LocalContent(tmp_path, clock=SystemClock())
    content.writer("first").commit()
    writer = content.writer("ref")
    writer.write(b"da")
    writer.sync()
    writer.write(b"ta")
    del synced[:]
    if is_synced_before:
        writer.sync()
    writer.commit()
    ingest = tmp_path / "ingest" / digests.encoded(digests.from_bytes(b"ref"))
    assert synced == [str(ingest / "data"), str(tmp_path / "blobs" / "sha256")]
    assert not ingest.exists()


@pytest.mark.parametrize("size", [0, 7])
def test_an_ingest_is_durable_with_all_that_it_needs_when_its_writer_closes(
    tmp_path: Path, synced: list[str], size: int
) -> None:
    content = LocalContent(tmp_path, clock=SystemClock())
    writer = content.writer("ref", size=size)
    writer.write(b"data")
    ingest = tmp_path / "ingest" / digests.encoded(digests.from_bytes(b"ref"))
    del synced[:]
    writer.close()

    small = {path.name for path in ingest.iterdir()} - {"data"}
    assert small == {"ref", "startedat", "updatedat", *(["total"] if size else [])}
    assert {str(ingest / name) for name in ("data", *small)} <= set(synced)
    # The names are durable last: of the files first, then of the directory.
    assert synced[-2:] == [str(ingest), str(tmp_path / "ingest")]


def test_a_writer_that_closes_after_an_abort_syncs_nothing_of_a_new_ingest(
    tmp_path: Path, synced: list[str]
) -> None:
    content = LocalContent(tmp_path, clock=SystemClock())
    writer = content.writer("ref")
    content.abort("ref")
    del synced[:]
    writer.close()
    assert len(synced) == 1
