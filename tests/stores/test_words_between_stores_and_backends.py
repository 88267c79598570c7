"""Calls of stores to backends: which and when, and the translation of refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import orlop
from orlop.errors import AlreadyExistsError, FailedPreconditionError, UnavailableError
from orlop.records import LeaseResource, SnapshotInfo, SnapshotKind
from stores.blobs import DATA, digest_of, ingest, put
from stores.chains import chain, record

if TYPE_CHECKING:
    from pathlib import Path

    from orlop import Database, Namespace
    from orlop.stores.snapshots import SnapshotStore

INHERITED = "containerd.io/snapshot/a"


def test_content_is_not_found_by_its_size(ns: Namespace) -> None:
    digest = put(ns)

    assert [one.digest for one in ns.content.walk(f"digest=={digest}")] == [digest]
    assert list(ns.content.walk(f"size=={len(DATA)}")) == []
    assert list(ns.content.walk("size")) == []


def test_data_of_an_aborted_ingest_that_had_shared_a_blob_goes_with_the_next_collection(
    ns: Namespace, db: Database
) -> None:
    digest = put(ns)
    other = db.namespace("other")
    other.content.writer("ref", expected=digest).close()
    with other.content.writer("ref", expected=digest_of(b"more")) as writer:
        writer.write(b"mo")
    db.gc.run()

    other.content.abort("ref")

    assert ingest(other, "ref") is None
    assert [one.ref for one in db.content_backend.statuses()] == ["other/1/ref"], "not asked"
    db.gc.run()
    assert list(db.content_backend.statuses()) == []


@pytest.fixture(params=["native", "overlayfs"])
def store(ns: Namespace, request: pytest.FixtureRequest) -> SnapshotStore:
    return ns.snapshots(str(request.param))


def test_a_backend_of_snapshots_hears_of_an_update_what_it_may_inherit(
    store: SnapshotStore,
) -> None:
    store.prepare("key", labels={INHERITED: "1", "ours": "1"})

    store.update(
        SnapshotInfo(kind=SnapshotKind.UNKNOWN, name="key", labels={INHERITED: "2", "ours": "2"}),
        (f"labels.{INHERITED}", "labels.ours"),
    )

    assert store.backend is not None
    assert store.backend.stat("testing/1/key").labels == {INHERITED: "2"}
    assert store.stat("key").labels == {INHERITED: "2", "ours": "2"}


def test_a_commit_that_a_backend_has_already_is_not_taken_for_a_name_that_is_taken(
    ns: Namespace, store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is passed on, but the lease is not told and the snapshot stays active."""
    store.prepare("key")
    ns.leases.create("l")

    def refuse(name: str, *_: object, **__: object) -> None:
        raise AlreadyExistsError(name)

    monkeypatch.setattr(store.backend, "commit", refuse)
    with ns.using_lease("l"), pytest.raises(AlreadyExistsError, match="testing/2/name"):
        store.commit("name", "key")

    assert ns.leases.resources("l") == []
    assert store.stat("key").kind is SnapshotKind.ACTIVE


def test_a_snapshot_that_exists_is_leased_before_its_parent_is_looked_for(
    ns: Namespace, store: SnapshotStore
) -> None:
    chain(store, "base")
    ns.leases.create("l")

    for make in (store.prepare, store.view):
        with ns.using_lease("l"):
            with pytest.raises(AlreadyExistsError):
                make("base", "no parent")
            held = LeaseResource(id="base", type=f"snapshots/{store.snapshotter}")
            assert ns.leases.resources("l") == [held]
            ns.leases.delete_resource("l", held)


def test_the_map_of_backends_is_a_copy(db: Database) -> None:
    given = db.snapshot_backends
    assert isinstance(given, dict)
    given.clear()

    assert db.snapshot_backends.keys() == {"native", "overlayfs"}
    assert db.snapshot_backends.get("unknown") is None
    with pytest.raises(FailedPreconditionError, match='"unknown" is not available here'):
        db.namespace("testing").snapshots("unknown").prepare("key")


def test_who_makes_something_waits_for_a_cleanup_no_longer_than_the_database_says(
    tmp_path: Path,
) -> None:
    with orlop.open(tmp_path / "impatient", timeout=0.05) as db:
        ns = db.namespace("testing")
        store = ns.snapshots("native")
        chain(store, "base")
        digest = put(ns)
        base = record(store, "base").backend_name
        other = db.namespace("other")

        with (
            db.snapshot_claims("native").take([base]),
            db.content_claims.take([digest, "testing/1/ref"]),
        ):
            for make in (
                lambda: store.prepare("key", "base"),
                lambda: store.view("key", "base"),
                lambda: ns.content.writer("ref"),
                lambda: other.content.writer("shared", expected=digest),
            ):
                with pytest.raises(UnavailableError, match=r"cleanup within 0\.05 seconds"):
                    make()
            assert store.stat("base").kind is SnapshotKind.COMMITTED, "asking waits for nobody"

        assert [one.name for one in store.walk()] == ["base"]
        store.prepare("key", "base")
        ns.content.writer("ref").close()
