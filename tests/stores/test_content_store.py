"""Content over the real backend; the cases that upstream has too carry its names."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

import orlop
from orlop.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)
from orlop.records import ContentInfo, LeaseResource
from stores.blobs import DATA, digest_of, ingest, put

if TYPE_CHECKING:
    from orlop import Database, Namespace
    from orlop.changes import Changes
    from orlop.events import Event
    from stores.moments import StandingClock


@pytest.mark.parametrize("known", [False, True])
def test_writer(ns: Namespace, clock: StandingClock, *, known: bool) -> None:
    size, expected = (len(DATA), digest_of(DATA)) if known else (0, "")
    with ns.content.writer("ref", size=size, expected=expected) as writer:
        assert writer.write(DATA[:4]) == 4
        writer.write(DATA[4:])
        writer.commit(size=size, expected=expected, labels={"a": "b", "empty": ""})

    info = ns.content.info(digest_of(DATA))
    assert info == ContentInfo(
        digest=digest_of(DATA),
        size=len(DATA),
        labels={"a": "b"},
        created_at=clock.now(),
        updated_at=clock.now(),
    )
    with ns.content.open(info.digest) as blob:
        assert blob.read() == DATA
    with pytest.raises(NotFoundError):
        ns.content.status("ref")


def test_update_status(ns: Namespace) -> None:
    with ns.content.writer("ref", size=100) as writer:
        writer.write(DATA)
        status = writer.status()
        assert (status.ref, status.offset, status.total) == ("ref", len(DATA), 100)
        assert writer.digest() == digest_of(DATA)
    stored = ns.content.status("ref")
    assert (stored.ref, stored.offset) == ("ref", len(DATA))
    assert [one.ref for one in ns.content.statuses()] == ["ref"]
    assert ns.content.statuses("ref==other") == []


def test_commit_exists(ns: Namespace, db: Database) -> None:
    digest = put(ns)
    with pytest.raises(AlreadyExistsError):
        ns.content.writer("again", expected=digest)
    with ns.content.writer("again") as writer:
        writer.write(DATA)
        with pytest.raises(AlreadyExistsError):
            writer.commit()
    assert ingest(ns, "again") is None, "the transaction was committed all the same"
    assert list(db.content_backend.statuses()) == []


def test_resume(ns: Namespace) -> None:
    with ns.content.writer("ref") as writer:
        writer.write(DATA[:4])
        with pytest.raises(UnavailableError):
            ns.content.writer("ref")
    with ns.content.writer("ref", resume=True) as writer:
        assert writer.status().offset == 4
        writer.write(DATA[4:])
        writer.commit(expected=digest_of(DATA))
    assert ns.content.info(digest_of(DATA)).size == len(DATA)


def test_resume_truncate(ns: Namespace) -> None:
    with ns.content.writer("ref") as writer:
        writer.write(b"wrong")
    with ns.content.writer("ref", resume=True) as writer:
        writer.truncate(0)
        writer.write(DATA)
        writer.commit(expected=digest_of(DATA))


def test_a_locked_ref_leaves_nothing_behind(ns: Namespace, db: Database) -> None:
    other = db.namespace("other")
    with ns.content.writer("ref"), db.update():
        with pytest.raises(UnavailableError):
            ns.content.writer("ref", size=5)
        other.leases.create("l")
    assert ingest(other, "ref") is None


def test_labels(ns: Namespace, clock: StandingClock) -> None:
    digest = put(ns, a="1", b="2")
    created = ns.content.info(digest)
    later = clock.advance(seconds=1)

    replaced = ns.content.update(dataclasses.replace(created, labels={"c": "3", "d": "4"}))
    assert replaced == dataclasses.replace(created, labels={"c": "3", "d": "4"}, updated_at=later)
    masked = ns.content.update(
        ContentInfo(digest=digest, size=0, labels={"d": "9"}), ("labels.c", "labels.d")
    )
    assert masked.labels == {"d": "9"}
    assert (masked.size, ns.content.info(digest)) == (len(DATA), masked)
    for path in ("size", "digest", "createdat"):
        with pytest.raises(InvalidArgumentError):
            ns.content.update(created, (path,))
    with pytest.raises(NotFoundError):
        ns.content.update(ContentInfo(digest=digest_of(b""), size=0))


def test_commit_error_state(ns: Namespace) -> None:
    for size, expected in ((99, ""), (0, digest_of(b"other"))):
        with ns.content.writer("ref") as writer:
            writer.truncate(0)
            writer.write(DATA)
            with pytest.raises(FailedPreconditionError):
                writer.commit(size=size, expected=expected)
        assert ns.content.status("ref").offset == len(DATA)
    with ns.content.writer("ref", resume=True) as writer:
        writer.commit()
        with pytest.raises(FailedPreconditionError):
            writer.commit()
    assert [one.digest for one in ns.content.walk()] == [digest_of(DATA)]


def test_bad_labels_close_the_writer(ns: Namespace) -> None:
    with ns.content.writer("ref") as writer:
        writer.write(DATA)
        for labels in ({"k": "v" * 4096}, {"": "v"}):
            with pytest.raises((InvalidArgumentError, FailedPreconditionError)):
                writer.commit(labels=labels)
    with ns.content.writer("ref", resume=True) as writer:
        writer.commit(expected=digest_of(DATA))


def test_content_leased(ns: Namespace) -> None:
    ns.leases.create("one")
    ns.leases.create("two")
    with ns.using_lease("one"):
        digest = put(ns)
    held = [LeaseResource(id=digest, type="content")]
    assert ns.leases.resources("one") == held

    with ns.using_lease("two"):
        with pytest.raises(AlreadyExistsError):
            ns.content.writer("again", expected=digest)
        assert ns.leases.resources("two") == held
        assert ingest(ns, "again") is None
        ns.content.delete(digest)
    assert ns.leases.resources("two") == []
    assert ns.leases.resources("one") == held, "other leases go on holding it"


def test_ingest_leased(ns: Namespace, clock: StandingClock) -> None:
    ns.leases.create("l")
    with ns.using_lease("l"):
        with ns.content.writer("ref"):
            assert ns.leases.resources("l") == [LeaseResource(id="ref", type="ingests")]
            record = ingest(ns, "ref")
            assert record is not None
            assert record.expire_at is None
        ns.content.abort("ref")
        assert ns.leases.resources("l") == []
    with ns.content.writer("ref"):
        record = ingest(ns, "ref")
        assert record is not None
        assert record.expire_at == clock.now().add(hours=24)
        assert record.backend_ref == "testing/1/ref"


def test_a_later_open_without_a_lease_moves_the_expiry(ns: Namespace, clock: StandingClock) -> None:
    for _ in range(2):
        with ns.content.writer("ref"):
            pass
        record = ingest(ns, "ref")
        assert record is not None
        assert record.expire_at == clock.now().add(hours=24)
        clock.advance(hours=5)


def test_a_lease_that_does_not_exist(ns: Namespace, db: Database) -> None:
    with ns.content.writer("ref") as writer, ns.using_lease("gone"):
        writer.write(DATA)
        with pytest.raises(NotFoundError, match="lease"):
            ns.content.writer("other")
        with pytest.raises(NotFoundError, match="lease"):
            writer.commit()
    assert ingest(ns, "other") is None
    assert list(db.content_backend.walk()) == []
    with ns.content.writer("ref", resume=True) as writer:
        writer.commit(expected=digest_of(DATA))


def test_delete_takes_only_the_name(ns: Namespace, db: Database) -> None:
    digest = put(ns)
    told: list[Changes] = []
    db.follow(told.append)

    ns.content.delete(digest)

    with pytest.raises(NotFoundError):
        ns.content.info(digest)
    with pytest.raises(NotFoundError):
        ns.content.open(digest)
    with pytest.raises(NotFoundError):
        ns.content.delete(digest)
    assert db.content_backend.info(digest).size == len(DATA)
    assert [(one.committed, one.deletions, one.content) for one in told] == [(True, 1, True)]


def test_abort(ns: Namespace, db: Database) -> None:
    digest = put(ns)
    with ns.content.writer("ref") as writer:
        writer.write(DATA)
    with db.namespace("other").content.writer("shared", expected=digest):
        pass

    ns.content.abort("ref")
    db.namespace("other").content.abort("shared")

    assert ingest(ns, "ref") is None
    assert list(db.content_backend.statuses()) == []
    for ref in ("ref", "unknown"):
        with pytest.raises(NotFoundError):
            ns.content.abort(ref)


def test_an_abort_that_the_backend_refuses_changes_nothing(
    ns: Namespace, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> None:
        raise UnavailableError("busy")

    with ns.content.writer("ref"):
        pass
    monkeypatch.setattr(db.content_backend, "abort", refuse)

    with db.update(), pytest.raises(UnavailableError):
        ns.content.abort("ref")
    assert ingest(ns, "ref") is not None


@pytest.mark.parametrize("ref", ["", "x" * 32_769])
def test_bad_references(ns: Namespace, ref: str) -> None:
    with pytest.raises(InvalidArgumentError):
        ns.content.writer(ref)
    assert ns.environment.namespaces.list() == []


def test_walk(ns: Namespace) -> None:
    digests = sorted(put(ns, data, **{data.decode(): "x"}) for data in (b"a", b"b", b"c"))
    with ns.environment.transactions.update() as update:
        bucket = update.transaction.root.bucket(b"v1")
        for name in (b"testing", b"content", b"blob"):
            assert bucket is not None
            bucket = bucket.bucket(name)
        assert bucket is not None
        bucket.create_bucket(b"no digest")

    assert [one.digest for one in ns.content.walk()] == digests
    assert [one.digest for one in ns.content.walk("labels.a")] == [digest_of(b"a")]
    assert len(list(ns.content.walk(f"digest=={digests[0]}", "labels.a", "size==1"))) in {1, 2}
    assert list(ns.content.walk("size==1")) == []
    for info in ns.content.walk():
        ns.content.delete(info.digest)
    assert list(ns.content.walk()) == []


def test_events(ns: Namespace, events: list[Event]) -> None:
    with ns.content.writer("ref", media_type="text/plain") as writer:
        writer.write(DATA)
        writer.commit()
    with ns.content.writer("ref") as writer:
        writer.write(DATA)
        with pytest.raises(AlreadyExistsError):
            writer.commit()
    ns.content.delete(digest_of(DATA))

    assert [(one.topic, dict(one.fields)) for one in events] == [
        (
            "/content/create",
            {"digest": digest_of(DATA), "size": len(DATA), "media_type": "text/plain"},
        ),
        ("/content/delete", {"digest": digest_of(DATA)}),
    ]


def test_a_rollback_tells_what_it_left_in_the_backend(ns: Namespace, db: Database) -> None:
    told: list[Changes] = []
    db.follow(told.append)

    with suppress(ZeroDivisionError), db.update():
        put(ns)
        _ = 1 / 0

    assert [(one.committed, one.content, one.deletions, one.events) for one in told] == [
        (False, True, 0, [])
    ]
    assert list(ns.content.walk()) == []
    assert [one.digest for one in db.content_backend.walk()] == [digest_of(DATA)]


def test_a_bare_file_answers_what_the_metadata_knows(ns: Namespace, db: Database) -> None:
    digest = put(ns)
    db.close()

    with orlop.Database.open_file(db.path, read_only=True) as bare:
        content = bare.namespace("testing").content
        assert content.info(digest).size == len(DATA)
        with pytest.raises(FailedPreconditionError, match="root directory"):
            content.open(digest)
