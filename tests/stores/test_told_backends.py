"""Calls of stores to backends: which and when, and the state after a backend refuses."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Any, cast

import pytest

from orlop.errors import AlreadyExistsError, NotFoundError, UnavailableError
from stores.blobs import DATA, ingest, put
from stores.chains import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orlop import Database, Mount, Namespace
    from orlop.storage.contract import ContentBackend

INHERITED = "containerd.io/snapshot/x"


class Listener:
    """Hands every call on, and notes its name."""

    def __init__(self, inner: object) -> None:
        self._inner = inner
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.calls.append(name)
        return getattr(self._inner, name)


def refuse(*_: object, **__: object) -> None:
    raise UnavailableError("busy")


def test_a_content_backend_is_not_told_of_labels(ns: Namespace, db: Database) -> None:
    digest = put(ns, a="1")
    listener = Listener(db.content_backend)
    content = dataclasses.replace(ns.content, backend=lambda: cast("ContentBackend", listener))

    content.update(dataclasses.replace(content.info(digest), labels={"a": "2"}))
    assert content.info(digest).labels == {"a": "2"}
    assert [one.digest for one in content.walk("labels.a==2")] == [digest]
    content.delete(digest)

    assert listener.calls == []
    content.writer("ref").close()
    assert listener.calls == ["writer"], "the listener hears calls"


def test_data_is_synced_before_the_transaction_in_which_it_is_committed(
    ns: Namespace, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[tuple[str, bool]] = []
    with ns.content.writer("ref") as writer:
        writer.write(DATA)
        backend = db.content_backend.writer("other")
        backend.close()
        for name in ("sync", "commit"):
            inner = getattr(type(backend), name)

            def noting(*given: Any, inner: Any = inner, name: str = name, **options: Any) -> Any:
                order.append((name, db.gate.is_shared))
                return inner(*given, **options)

            monkeypatch.setattr(type(backend), name, noting)
        writer.commit()

    # The backend's own commit may sync again; then there is nothing left to wait for.
    assert order[:2] == [("sync", False), ("commit", True)]


def test_what_an_ingest_expects_stays_when_it_is_opened_without(
    ns: Namespace, db: Database
) -> None:
    digest = put(ns)
    other = db.namespace("other")
    other.content.writer("ref", expected=digest).close()
    shared = ingest(other, "ref")
    assert shared is not None
    assert shared.expected == digest

    with other.content.writer("ref") as writer:
        writer.write(DATA[:3])

    assert ingest(other, "ref") == shared
    ns.content.delete(digest)
    db.gc.run()
    assert db.content_backend.info(digest).size == len(DATA), "the ingest goes on holding it"
    other.content.abort("ref")
    assert [one.ref for one in db.content_backend.statuses()] == ["other/1/ref"], "not asked"


def test_an_update_that_a_snapshotter_refuses_changes_nothing(
    ns: Namespace, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ns.snapshots("native")
    store.prepare("key", labels={"a": "1", INHERITED: "1"})
    before = record(store, "key")

    with monkeypatch.context() as patch, db.update():
        patch.setattr(db.snapshot_backends["native"], "update", refuse)
        with pytest.raises(UnavailableError, match="busy"):
            store.update(dataclasses.replace(store.stat("key"), labels={"a": "2", INHERITED: "2"}))
        ns.leases.create("made in the same transaction")

    assert record(store, "key") == before
    assert store.stat("key").labels == {"a": "1", INHERITED: "1"}
    assert len(ns.leases.list()) == 1


def test_a_snapshotter_that_keeps_what_was_not_noted_is_logged_and_cleaned_later(
    ns: Namespace,
    db: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, backend = ns.snapshots("native"), db.snapshot_backends["native"]
    inner = backend.prepare

    def slow(key: str, parent: str, labels: Mapping[str, str] | None = None) -> tuple[Mount, ...]:
        with monkeypatch.context() as patch:
            patch.setattr(backend, "prepare", inner)
            store.prepare("key", labels={"containerd.io/gc.root": "keep"})
        return inner(key, parent, labels)

    with monkeypatch.context() as patch:
        patch.setattr(backend, "prepare", slow)
        patch.setattr(backend, "remove", refuse)
        with caplog.at_level(logging.ERROR), pytest.raises(AlreadyExistsError, match='"key"'):
            store.prepare("key")

    named = record(store, "key").backend_name
    (left,) = {one.name for one in backend.walk()} - {named}
    assert f"snapshot {left!r} of native could not be removed" in caplog.text
    db.gc.run()
    assert [one.name for one in backend.walk()] == [named]


def test_a_snapshotter_that_nobody_has_knows_no_snapshot(ns: Namespace) -> None:
    store = ns.snapshots("unknown")

    assert list(store.walk()) == []
    for call in (store.stat, store.remove):
        with pytest.raises(NotFoundError, match='"key" of unknown'):
            call("key")
    assert ns.snapshotters() == [], "asking makes nothing"
