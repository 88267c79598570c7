from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

import orlop
from collector.making import (
    blobs_on_disk,
    ingests_on_disk,
    make_blob,
    make_snapshot,
    snapshots_on_disk,
)
from orlop.errors import FailedPreconditionError
from orlop.gc.inventory import leaves_first
from orlop.records import SnapshotInfo, SnapshotKind
from orlop.storage.metastore import Metastore
from orlop.storage.snapshots import Snapshots

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from collector.settable import SettableClock
    from orlop import Database

GC = "containerd.io/gc."


def info(name: str, parent: str = "") -> SnapshotInfo:
    return SnapshotInfo(kind=SnapshotKind.COMMITTED, name=name, parent=parent)


def test_children_go_before_their_parents() -> None:
    chain = [info("a"), *(info(chr(ord("b") + n), chr(ord("a") + n)) for n in range(5))]
    assert leaves_first(chain, set("abcdef")) == list("fedcba")
    assert leaves_first(chain, set("abcde")) == []
    assert leaves_first(chain, set("cdef")) == list("fedc")
    fork = [info("a"), info("b", "a"), info("c", "a"), info("d", "lost")]
    assert set(leaves_first(fork, set("abd"))) == {"b", "d"}
    assert leaves_first([], set()) == []


def test_a_chain_of_any_depth_is_cleaned(database: Database) -> None:
    backend = database.snapshot_backends["overlayfs"]
    parent = ""
    for number in range(40):
        backend.prepare(f"active-{number}", parent)
        backend.commit(f"layer-{number}", f"active-{number}")
        parent = f"layer-{number}"
    statistics = database.gc.run()
    assert statistics.deleted == 40
    assert snapshots_on_disk(database, "overlayfs") == set()


def test_the_first_collection_finds_what_an_earlier_process_left(
    tmp_path: Path, clock: SettableClock
) -> None:
    with orlop.open(tmp_path / "root", clock=clock) as database:
        ns = database.namespace("default")
        digest = make_blob(ns, b"left")
        make_snapshot(ns, "left")
        with ns.content.writer("left") as writer:
            writer.write(b"12345")
        with database.update():
            ns.content.delete(digest)
            ns.snapshots("native").remove("left")
            ns.content.abort("left")
        backend = database.content_backend.writer("default/9/lost")
        backend.write(b"123")
        backend.close()
    with orlop.open(tmp_path / "root", clock=clock) as database:
        plan = database.gc.plan()
        assert {(one.type, one.namespace, one.key) for one in plan.nodes} == {
            ("orphan", "", digest),
            ("orphan", "", "default/9/lost"),
            ("orphan", "", "native/default/2/left"),
        }
        statistics = database.gc.run()
        assert statistics.removed == {}
        assert statistics.deleted == 3
        assert statistics.freed_bytes == plan.freed_bytes
        assert blobs_on_disk(database) == {}
        assert ingests_on_disk(database) == set()
        assert snapshots_on_disk(database) == set()


def test_later_collections_clean_only_what_is_dirty(database: Database) -> None:
    ns = database.namespace("default")
    assert set(database.gc.run().snapshot_nanoseconds) == {"native", "overlayfs"}
    statistics = database.gc.run()
    assert (statistics.content_nanoseconds, statistics.snapshot_nanoseconds) == (0, {})
    make_snapshot(ns, "x")
    statistics = database.gc.run()
    assert statistics.content_nanoseconds == 0
    assert set(statistics.snapshot_nanoseconds) == {"native"}
    digest = make_blob(ns, b"x")
    ns.content.delete(digest)
    statistics = database.gc.run()
    assert statistics.content_nanoseconds > 0
    assert (statistics.deleted, statistics.snapshot_nanoseconds) == (1, {})


def test_a_rolled_back_update_leaves_nothing_behind(database: Database) -> None:
    ns = database.namespace("default")
    database.gc.run()

    def fail() -> None:
        with database.update():
            make_blob(ns, b"undone")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert len(blobs_on_disk(database)) == 1
    assert database.gc.run().deleted == 1


def test_a_snapshot_that_the_backend_will_not_remove_is_passed_over(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ns = database.namespace("default")
    make_snapshot(ns, "one")
    make_snapshot(ns, "two")
    remove = Snapshots.remove

    def refuse(self: Snapshots, key: str) -> tuple[str, SnapshotKind]:
        if key.endswith("/one"):
            raise FailedPreconditionError(f"{key} is mounted")
        return remove(self, key)

    caplog.set_level("INFO")
    monkeypatch.setattr(Snapshots, "remove", refuse)
    statistics = database.gc.run()
    assert (statistics.failures, statistics.deleted) == ({}, 1)
    assert {name.rpartition("/")[2] for name in snapshots_on_disk(database)} == {"one"}
    assert "is mounted" in caplog.text


def test_snapshots_go_many_in_one_transaction(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ns = database.namespace("default")
    parent = ""
    for number in range(30):
        parent = make_snapshot(ns, f"layer-{number}", parent)
    commits: list[str] = []
    update = Metastore.update

    def counting(self: Metastore) -> AbstractContextManager[Snapshots]:
        commits.append(self.path.parent.name)
        return update(self)

    monkeypatch.setattr(Metastore, "update", counting)
    assert database.gc.run().deleted == 30
    assert len(commits) == 1
    assert snapshots_on_disk(database) == set()


def test_collections_and_writers_go_on_together(database: Database) -> None:
    errors: list[BaseException] = []
    stopped = threading.Event()

    def work(number: int) -> None:
        try:
            ns = database.namespace(f"ns{number}")
            for turn in range(12):
                with ns.lease():
                    digest = make_blob(ns, f"blob {turn}".encode(), ref=f"r{turn}")
                    name = make_snapshot(ns, f"s{turn}")
                    with ns.content.open(digest) as blob:
                        assert blob.read() == f"blob {turn}".encode()
                    assert ns.snapshots("native").stat(name).name == name
        except BaseException as error:  # noqa: BLE001 -- told to the thread that started this
            errors.append(error)

    def collect() -> None:
        try:
            while not stopped.is_set():
                assert database.gc.run().failures == {}
        except BaseException as error:  # noqa: BLE001 -- as above
            errors.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    collector = threading.Thread(target=collect)
    for thread in (*workers, collector):
        thread.start()
    for thread in workers:
        thread.join()
    stopped.set()
    collector.join()
    assert errors == []
    database.gc.run()
    assert (blobs_on_disk(database), snapshots_on_disk(database)) == ({}, set())
