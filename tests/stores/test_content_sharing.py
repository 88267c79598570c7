"""Blobs of one namespace in another; the cases that upstream has too carry its names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import orlop
from orlop.errors import AbortedError, FailedPreconditionError, InvalidArgumentError
from stores.blobs import DATA, digest_of, ingest, put

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orlop import Database, Namespace
    from stores.moments import StandingClock


@pytest.fixture
def isolated(tmp_path: Path, clock: StandingClock) -> Iterator[Database]:
    with orlop.open(tmp_path / "isolated", clock=clock, sharing="isolated") as database:
        yield database


def test_cross_namespace_share(ns: Namespace, db: Database, clock: StandingClock) -> None:
    digest = put(ns)
    other = db.namespace("other")

    with other.content.writer("ref", expected=digest) as writer:
        status = writer.status()
        assert (status.offset, status.total, status.expected) == (len(DATA), len(DATA), digest)
        assert status.started_at == clock.now()
        assert writer.digest() == digest
        assert writer.write(b"") == 0
        record = ingest(other, "ref")
        assert record is not None
        assert record.expected == digest
        assert other.content.statuses() == [], "the backend has no ingest of that name"
        with pytest.raises(FailedPreconditionError):
            writer.commit(expected=digest_of(b"other"))
        with pytest.raises(FailedPreconditionError):
            writer.commit(size=1)
        writer.commit(size=len(DATA), expected=digest)
    assert other.content.info(digest).size == len(DATA)


def test_a_size_that_differs_is_not_shared(ns: Namespace, db: Database) -> None:
    digest = put(ns)

    with db.namespace("other").content.writer("ref", expected=digest, size=5) as writer:
        assert writer.status().offset == 0


@pytest.mark.parametrize("size", [0, 3, len(DATA)])
def test_truncating_a_shared_writer_keeps_that_many_bytes(
    ns: Namespace, db: Database, size: int
) -> None:
    digest = put(ns)

    with db.namespace("other").content.writer("ref", expected=digest) as writer:
        writer.truncate(size)
        assert writer.digest() == digest_of(DATA[:size])
        with pytest.raises(InvalidArgumentError):
            writer.truncate(1)


def test_cross_namespace_append(ns: Namespace, db: Database) -> None:
    digest = put(ns)
    other = db.namespace("other")

    with other.content.writer("ref", expected=digest, resume=True) as writer:
        writer.write(b" and more")
        writer.commit_as_given()
    longer = digest_of(DATA + b" and more")
    assert [one.digest for one in other.content.walk()] == [longer]
    with other.content.open(longer) as blob:
        assert blob.read() == DATA + b" and more"


def test_cross_namespace_isolate(isolated: Database) -> None:
    digest = put(isolated.namespace("one"))
    other = isolated.namespace("other")

    with other.content.writer("ref", expected=digest) as writer:
        assert writer.status().offset == 0
        writer.write(DATA)
        writer.commit(expected=digest)
    assert other.content.info(digest).size == len(DATA)


@pytest.mark.parametrize(("value", "shared"), [("true", True), ("True", False), ("1", False)])
def test_shared_namespace_isolate(isolated: Database, value: str, *, shared: bool) -> None:
    digest = put(isolated.namespace("one"))
    isolated.namespaces.set_label("one", "containerd.io/namespace.shareable", value)

    with isolated.namespace("other").content.writer("ref", expected=digest) as writer:
        assert writer.status().offset == (len(DATA) if shared else 0)


def test_an_unknown_sharing_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="isolated"):
        orlop.open(tmp_path, sharing="some")


def test_a_shared_ingest_that_was_collected_with_its_blob_cannot_be_committed(
    ns: Namespace, db: Database, clock: StandingClock
) -> None:
    digest = put(ns)
    other = db.namespace("other")
    writer = other.content.writer("ref", expected=digest)
    writer.close()  # an open one keeps both
    clock.advance(hours=25)
    ns.content.delete(digest)
    db.gc.run()

    with pytest.raises(AbortedError, match="open it again"):
        writer.commit()
    assert list(other.content.walk()) == []
