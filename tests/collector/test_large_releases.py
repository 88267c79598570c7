"""A large release needs confirmation, even after the doubt is resolved."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

import orlop
from collector.faulty_things import FaultyThings
from collector.making import blobs_on_disk, make_blob
from orlop.errors import FailedPreconditionError, UnavailableError
from orlop.gc import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from orlop import Database

META = "io.containerd.metadata.v1.bolt/meta.db"
NATIVE = "io.containerd.snapshotter.v1.native/metadata.db"
ROOTED = {"containerd.io/gc.root": "1"}


class SetBackRoot:
    """A root with databases restored to older versions."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self._old = folder / "old"

    def open(self) -> Database:
        return orlop.open(self.root, sync=False)

    def make_blobs(self, *blobs: bytes) -> None:
        with self.open() as db:
            for data in blobs:
                make_blob(db.namespace("d"), data, ROOTED)

    def make_snapshots(self, *keys: str) -> None:
        with self.open() as db:
            for key in keys:
                db.namespace("d").snapshots("native").prepare(key, labels=ROOTED)

    def keep(self) -> None:
        shutil.copytree(self.root, self._old)

    def put_back(self, *databases: str) -> None:
        for one in databases:
            shutil.copy(self._old / one, self.root / one)

    def set_back(self, *databases: str) -> None:
        """Restore older databases, and run a collection that sets unnamed data aside."""
        self.put_back(*databases)
        with self.open() as db:
            assert db.gc.run(confirmed=True).deleted == 0
        with self.open() as db:
            assert db.gc.plan().doubt is None


@pytest.fixture
def set_back_root(tmp_path: Path) -> SetBackRoot:
    return SetBackRoot(tmp_path)


def is_refused(db: Database, match: str) -> bool:
    """Whether a release is refused, by a run and by a plan, and deletes nothing."""
    before = blobs_on_disk(db)
    for collect in (db.gc.run, db.gc.plan().apply):
        with pytest.raises(FailedPreconditionError, match=match) as caught:
            collect(release=True)
        assert "--release --yes" in caught.value.hint
    return blobs_on_disk(db) == before and bool(db.gc.quarantine())


def test_much_of_a_backend_is_released_only_when_confirmed(set_back_root: SetBackRoot) -> None:
    set_back_root.make_blobs(b"first")
    set_back_root.keep()
    set_back_root.make_blobs(*(b"later %d" % number for number in range(9)))
    set_back_root.set_back(META)
    with set_back_root.open() as db:
        assert is_refused(db, r"9 of 10 in content \(63 of 68 bytes\)")
        assert db.gc.run().deleted == 0, "nothing was released by halves"
        assert db.gc.run(release=True, confirmed=True).deleted == 9
        assert db.gc.quarantine() == ()
        assert db.gc.run(release=True).deleted == 0, "there is nothing to be confirmed"


def test_few_that_are_most_of_the_bytes_have_to_be_confirmed(set_back_root: SetBackRoot) -> None:
    set_back_root.make_blobs(*(b"%d" % number for number in range(9)))
    set_back_root.keep()
    set_back_root.make_blobs(bytes(1000))
    set_back_root.set_back(META)
    with set_back_root.open() as db:
        assert is_refused(db, r"1 of 10 in content \(1000 of 1009 bytes\)")
        assert db.gc.plan().apply(release=True, confirmed=True).deleted == 1


def test_many_that_are_few_bytes_have_to_be_confirmed(set_back_root: SetBackRoot) -> None:
    set_back_root.make_blobs(bytes(1000))
    set_back_root.keep()
    set_back_root.make_blobs(b"a", b"b")
    set_back_root.set_back(META)
    with set_back_root.open() as db:
        assert is_refused(db, r"2 of 3 in content \(2 of 1002 bytes\)")


def test_little_is_released_as_asked(set_back_root: SetBackRoot) -> None:
    set_back_root.make_blobs(*(b"%d" % number for number in range(4)))
    set_back_root.keep()
    set_back_root.make_blobs(b"5")
    set_back_root.set_back(META)
    with set_back_root.open() as db:
        assert db.gc.run(release=True).deleted == 1


@pytest.mark.parametrize("is_listed", [True, False], ids=["listed", "in doubt"])
def test_one_snapshotter_alone_has_to_be_confirmed(
    set_back_root: SetBackRoot, *, is_listed: bool
) -> None:
    set_back_root.make_blobs(*(b"%d" % number * 100_000 for number in range(9)))
    set_back_root.make_snapshots("a")
    set_back_root.keep()
    set_back_root.make_snapshots("b", "c")
    if is_listed:
        set_back_root.set_back(META, NATIVE)
    else:
        set_back_root.put_back(NATIVE)
    with set_back_root.open() as db:
        folder = set_back_root.root / NATIVE.replace("metadata.db", "snapshots")
        before = sorted(folder.iterdir())
        with pytest.raises(FailedPreconditionError, match=r"2 of 3 in native"):
            db.gc.run(release=True)
        assert sorted(folder.iterdir()) == before
        assert not db.gc.run(release=True, confirmed=True).failures
        assert len(list(folder.iterdir())) == 1


def test_what_records_let_go_in_the_same_run_is_weighed(set_back_root: SetBackRoot) -> None:
    set_back_root.make_blobs(*(b"%d" % number for number in range(5)))
    set_back_root.keep()
    set_back_root.set_back(META)
    with set_back_root.open() as db:
        assert db.gc.quarantine() == (), "all that is suspect has a name"
        for digest in list(blobs_on_disk(db))[:2]:
            db.namespace("d").content.delete(digest)
        with pytest.raises(FailedPreconditionError, match=r"2 of 5 in content"):
            db.gc.run(release=True)


def test_a_schedule_releases_nothing(set_back_root: SetBackRoot) -> None:
    set_back_root.make_blobs(b"first")
    set_back_root.keep()
    set_back_root.make_blobs(b"later")
    set_back_root.set_back(META)
    with set_back_root.open() as db:
        scheduler = db.gc.schedule(Settings(confirm=True, startup_delay=timedelta()))
        assert scheduler.request().wait(60).deleted == 0
        assert len(blobs_on_disk(db)) == 2


def test_a_release_that_cannot_be_weighed_has_to_be_confirmed(set_back_root: SetBackRoot) -> None:
    set_back_root.make_blobs(b"first")
    set_back_root.keep()
    set_back_root.make_blobs(b"later")
    set_back_root.set_back(META)
    with set_back_root.open() as db:
        things = FaultyThings()
        things.faults["begin"] = lambda: 1 / 0
        db.gc.register(things)
        with pytest.raises(UnavailableError, match="how much the release would delete"):
            db.gc.run(release=True)
        assert len(blobs_on_disk(db)) == 2
        assert db.gc.run(release=True, confirmed=True).deleted == 1
    set_back_root.make_snapshots("a")
    (set_back_root.root / NATIVE).write_bytes(b"no database" * 1000)
    with set_back_root.open() as db, pytest.raises(FailedPreconditionError, match="native: "):
        db.gc.run(release=True)
