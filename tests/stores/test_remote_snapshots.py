"""Snapshots that a backend has already, and backends that answer as ours never do."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from orlop.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
    UnknownError,
)
from orlop.records import SnapshotInfo, SnapshotKind
from stores.chains import chain, record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orlop import Mount, Namespace
    from orlop.events import Event
    from orlop.storage.contract import SnapshotBackend
    from orlop.stores.snapshots import SnapshotStore

REF = "containerd.io/snapshot.ref"


class Remote:
    """A backend that has some snapshots already, as those with a registry behind them do."""

    def __init__(self, inner: SnapshotBackend) -> None:
        self._inner = inner
        self.remote: list[SnapshotInfo] = []
        self.fault: Exception | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def prepare(
        self, key: str, parent: str, labels: Mapping[str, str] | None = None
    ) -> tuple[Mount, ...]:
        if self.fault is not None:
            raise self.fault
        return self._inner.prepare(key, parent, labels)

    def walk(self) -> list[SnapshotInfo]:
        return [*self.remote, *self._inner.walk()]


@pytest.fixture
def remote(ns: Namespace) -> tuple[SnapshotStore, Remote]:
    store = ns.snapshots("native")
    assert store.backend is not None
    backend = Remote(store.backend)
    return dataclasses.replace(store, backend=backend), backend  # type: ignore[arg-type] # by __getattr__


def test_snapshotter_with_ref(
    ns: Namespace, remote: tuple[SnapshotStore, Remote], events: list[Event]
) -> None:
    store, backend = remote
    chain(store, "base")
    events.clear()
    target = SnapshotInfo(
        kind=SnapshotKind.COMMITTED,
        name="elsewhere/1/there",
        parent="testing/2/base",
        labels={REF: 'tar"get,1', "a": "theirs", "b": "theirs"},
    )
    backend.remote = [
        dataclasses.replace(target, kind=SnapshotKind.ACTIVE, name="active"),
        dataclasses.replace(target, parent="", name="parentless"),
        dataclasses.replace(target, labels={REF: "tar"}, name="otherwise"),
        target,
    ]
    backend.fault = AlreadyExistsError("there")
    ns.leases.create("l")

    with ns.using_lease("l"), pytest.raises(AlreadyExistsError, match="from snapshotter"):
        store.prepare("key", "base", {REF: 'tar"get,1', "a": "ours"})

    adopted = record(store, 'tar"get,1')
    assert adopted.backend_name == "elsewhere/1/there"
    assert adopted.parent == "base"
    assert adopted.labels == {REF: 'tar"get,1', "a": "ours", "b": "theirs"}
    assert (adopted.created_at, adopted.updated_at) == (target.created_at, target.updated_at)
    assert [one.id for one in ns.leases.resources("l")] == ['tar"get,1']
    assert events == []
    with pytest.raises(FailedPreconditionError):
        store.remove("base")
    backend.fault = None
    with pytest.raises(AlreadyExistsError, match="target snapshot"):
        store.prepare("again", "base", {REF: 'tar"get,1'})


def test_a_target_that_the_backend_does_not_have_after_all(
    remote: tuple[SnapshotStore, Remote],
) -> None:
    store, backend = remote
    backend.fault = AlreadyExistsError("there")

    with pytest.raises(NotFoundError, match="target"):
        store.prepare("key", labels={REF: "target"})
    with pytest.raises(UnknownError, match="unexpected"):
        store.prepare("key")


def test_other_errors_of_the_backend_are_passed_on(remote: tuple[SnapshotStore, Remote]) -> None:
    store, backend = remote
    backend.fault = UnavailableError("busy")

    with pytest.raises(UnavailableError):
        store.prepare("key", labels={REF: "target"})
    assert list(store.walk()) == []


def test_what_was_made_and_not_noted_is_removed(
    remote: tuple[SnapshotStore, Remote], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, backend = remote
    inner = backend.prepare

    def faster(key: str, parent: str, labels: Mapping[str, str] | None = None) -> tuple[Mount, ...]:
        with monkeypatch.context() as context:
            context.setattr(backend, "prepare", inner)
            store.prepare("key")
        return inner(key, parent, labels)

    monkeypatch.setattr(backend, "prepare", faster)
    with pytest.raises(AlreadyExistsError):
        store.prepare("key")

    assert [one.name for one in store.walk()] == ["key"]
    assert [one.name for one in backend.walk()] == [record(store, "key").backend_name]
