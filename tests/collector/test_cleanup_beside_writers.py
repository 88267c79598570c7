"""Cleanup and writers never wait for each other; claimed data is not deleted.

The dangerous interleavings are forced: a writer acts at the moment at which the cleanup has
found its data to be garbage, or has claimed its name.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from collector.making import (
    blobs_on_disk,
    ingests_on_disk,
    make_blob,
    make_snapshot,
    snapshots_on_disk,
)
from orlop import digests
from orlop.errors import AlreadyExistsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from orlop import Database
    from orlop.concurrency.claims import Claims
    from orlop.records import Mount

GC = "containerd.io/gc."
ROOT = {f"{GC}root": "x"}
SECONDS = 30


def before_taking(
    monkeypatch: pytest.MonkeyPatch, claims: Claims, act: Callable[[], None]
) -> list[frozenset[str]]:
    """Act once when the cleanup has found its garbage and is about to take it."""
    take = claims.take
    seen: list[frozenset[str]] = []

    @contextmanager
    def acting(names: Iterable[str]) -> Iterator[frozenset[str]]:
        wanted = frozenset(names)
        if not seen:
            seen.append(wanted)
            thread = threading.Thread(target=act)
            thread.start()
            thread.join(SECONDS)
            assert not thread.is_alive(), "the writer waits for the cleanup"
        with take(wanted) as taken:
            yield taken

    monkeypatch.setattr(claims, "take", acting)
    return seen


class Pause:
    """Where one thread stops until another has seen it there."""

    def __init__(self) -> None:
        self.reached, self.may_go_on = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        assert self.may_go_on.wait(SECONDS)


@contextmanager
def running(work: Callable[[], object], pause: Pause) -> Iterator[None]:
    """Run `work` in a thread up to its pause, then the block, then the rest of it."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 -- raised below
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert pause.reached.wait(SECONDS)
    try:
        yield
    finally:
        pause.may_go_on.set()
        thread.join(SECONDS)
    assert not errors
    assert not thread.is_alive()


def slow_prepare(database: Database, monkeypatch: pytest.MonkeyPatch, pause: Pause) -> None:
    backend = database.snapshot_backends["native"]
    prepare = backend.prepare

    def slow(key: str, parent: str, labels: Mapping[str, str] | None = None) -> tuple[Mount, ...]:
        mounts = prepare(key, parent, labels)
        if "slow" in key:
            pause()
        return mounts

    monkeypatch.setattr(backend, "prepare", slow)


def test_a_slow_prepare_stops_neither_the_cleanup_of_others_nor_falls_victim_to_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ns = database.namespace("default")
    store = ns.snapshots("native")
    parent = make_snapshot(ns, "parent", labels=ROOT)
    make_snapshot(ns, "garbage")
    pause = Pause()
    slow_prepare(database, monkeypatch, pause)
    with running(lambda: store.prepare("slow", parent, ROOT), pause):
        assert database.gc.run().deleted == 1
        assert len(snapshots_on_disk(database)) == 2
    assert store.stat("slow").parent == parent
    assert store.mounts("slow")
    assert database.gc.run().deleted == 0


def test_a_parent_that_goes_is_left_until_the_prepare_on_it_has_ended(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ns = database.namespace("default")
    store = ns.snapshots("native")
    make_snapshot(ns, "parent")
    backend = database.snapshot_backends["native"]
    prepare, pause = backend.prepare, Pause()

    def slow(key: str, parent: str, labels: Mapping[str, str] | None = None) -> tuple[Mount, ...]:
        pause()
        return prepare(key, parent, labels)

    monkeypatch.setattr(backend, "prepare", slow)
    errors: list[Exception] = []

    def work() -> None:
        try:
            store.prepare("slow", "parent", ROOT)
        except Exception as error:  # noqa: BLE001 -- looked at below
            errors.append(error)

    with running(work, pause):
        store.remove("parent")
        assert database.gc.run().deleted == 0
        assert len(snapshots_on_disk(database)) == 1
    assert "parent snapshot" in str(errors[0])
    # What was passed over is looked at again, though nothing else has made it dirty.
    database.gc.run()
    assert snapshots_on_disk(database) == set()


@pytest.mark.parametrize("method", ["discard", "cleanup"])
def test_a_slow_cleanup_does_not_stop_those_who_make_snapshots(
    database: Database, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    ns = database.namespace("default")
    make_snapshot(ns, "garbage")
    backend = database.snapshot_backends["native"]
    original, pause = getattr(backend, method), Pause()

    def slow(*arguments: object, **options: object) -> object:
        pause()
        return original(*arguments, **options)

    monkeypatch.setattr(backend, method, slow)
    with running(database.gc.run, pause):
        for name in ("one", "two"):
            make_snapshot(ns, name, labels=ROOT)
        ns.snapshots("native").remove("one")
    database.gc.run()
    assert len(snapshots_on_disk(database)) == 1


@pytest.mark.parametrize("method", ["discard", "cleanup"])
def test_a_slow_cleanup_does_not_stop_those_who_write_blobs(
    database: Database, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    ns = database.namespace("default")
    make_blob(ns, b"garbage")
    original, pause = getattr(database.content_backend, method), Pause()

    def slow(*arguments: object, **options: object) -> object:
        pause()
        return original(*arguments, **options)

    monkeypatch.setattr(database.content_backend, method, slow)
    with running(database.gc.run, pause):
        kept = make_blob(ns, b"kept", ROOT)
        ns.content.delete(make_blob(ns, b"deleted"))
    database.gc.run()
    assert set(blobs_on_disk(database)) == {kept}


def test_a_prepare_that_ends_when_its_snapshot_is_about_to_go(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ns = database.namespace("default")
    store, claims = ns.snapshots("native"), database.snapshot_claims("native")
    make_snapshot(ns, "garbage")
    pause = Pause()
    slow_prepare(database, monkeypatch, pause)
    making = threading.Thread(target=store.prepare, args=("slow", "", ROOT))
    making.start()
    assert pause.reached.wait(SECONDS)

    def end() -> None:
        pause.may_go_on.set()
        making.join(SECONDS)

    found = before_taking(monkeypatch, claims, end)
    assert database.gc.run().deleted == 1
    assert any("slow" in name for name in found[0]), "it was no garbage at any time"
    assert store.stat("slow").name == "slow"


def test_a_snapshot_that_is_adopted_when_it_is_about_to_go(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named by a record of another key than its own, which only the claim tells."""
    backend = database.snapshot_backends["native"]
    reference = "containerd.io/snapshot.ref"
    backend.prepare("ns/1/remote-active", "")
    backend.commit("ns/2/remote", "ns/1/remote-active", {reference: "target"})
    store = database.namespace("ns").snapshots("native")
    prepare = backend.prepare

    def is_there(
        key: str, parent: str, labels: Mapping[str, str] | None = None
    ) -> tuple[Mount, ...]:
        if (labels or {}).get(reference):
            raise AlreadyExistsError(key)
        return prepare(key, parent, labels)

    monkeypatch.setattr(backend, "prepare", is_there)

    def adopt() -> None:
        with pytest.raises(AlreadyExistsError, match="target"):
            store.prepare("key", "", {reference: "target", **ROOT})

    found = before_taking(monkeypatch, database.snapshot_claims("native"), adopt)
    assert database.gc.run().deleted == 0
    assert found == [{"ns/2/remote"}]
    assert store.stat("target").name == "target"


def test_a_blob_that_is_shared_when_it_is_about_to_go(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = database.namespace("one"), database.namespace("two")
    digest = make_blob(one, b"shared")
    one.content.delete(digest)

    def share() -> None:
        with two.content.writer("ref", size=len(b"shared"), expected=digest) as writer:
            assert writer.status().offset == len(b"shared"), "it stands for the blob"

    found = before_taking(monkeypatch, database.content_claims, share)
    assert database.gc.run().deleted == 0
    assert digest in found[0]
    with two.content.writer("ref", size=len(b"shared"), expected=digest) as writer:
        writer.commit(labels=ROOT)
    database.gc.run()
    assert set(blobs_on_disk(database)) == {digest}


def test_a_blob_that_is_committed_when_it_is_about_to_go(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ns = database.namespace("default")
    digest = make_blob(ns, b"again")
    ns.content.delete(digest)

    def write_again() -> None:
        with ns.content.writer("again") as writer:
            writer.write(b"again")
            writer.commit(labels=ROOT)

    found = before_taking(monkeypatch, database.content_claims, write_again)
    assert database.gc.run().deleted == 0
    assert digest in found[0]
    with ns.content.open(digest) as blob:
        assert blob.read() == b"again"


def test_who_shares_a_blob_that_is_going_waits_a_moment_and_writes_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = database.namespace("one"), database.namespace("two")
    digest = make_blob(one, b"going")
    one.content.delete(digest)
    backend = database.content_backend
    discard = backend.discard
    offsets: list[int] = []

    def share() -> None:
        with two.content.writer("ref", expected=digest) as writer:
            offsets.append(writer.status().offset)
            writer.write(b"going")
            writer.commit(labels=ROOT)

    sharing = threading.Thread(target=share)

    def slow(name: str) -> None:
        sharing.start()
        sharing.join(0.1)
        assert sharing.is_alive()
        discard(name)

    monkeypatch.setattr(backend, "discard", slow)
    assert database.gc.run().deleted == 1
    sharing.join(SECONDS)
    assert offsets == [0]
    with two.content.open(digest) as blob:
        assert blob.read() == b"going"


def test_an_ingest_that_is_opened_again_when_what_was_left_of_it_is_about_to_go(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ns = database.namespace("default")
    left = database.content_backend.writer("default/1/ref")
    left.write(b"first ")
    left.close()

    def reopen() -> None:
        with ns.content.writer("ref", resume=True) as writer:
            assert writer.status().offset == len(b"first ")
            writer.write(b"second")

    found = before_taking(monkeypatch, database.content_claims, reopen)
    assert database.gc.run().deleted == 0
    assert "default/1/ref" in found[0]
    assert ingests_on_disk(database) == {"default/1/ref"}
    with ns.content.writer("ref", resume=True) as writer:
        writer.commit(expected=digests.from_bytes(b"first second"), labels=ROOT)


def test_a_snapshot_committed_in_an_update_that_is_still_open(database: Database) -> None:
    ns = database.namespace("default")
    pause = Pause()

    def work() -> None:
        with database.update():
            make_snapshot(ns, "new", labels=ROOT)
            make_blob(ns, b"new", ROOT)
            pause()

    with running(work, pause):
        assert database.gc.run().deleted == 0
    assert ns.snapshots("native").stat("new").name == "new"
    assert len(blobs_on_disk(database)) == 1
