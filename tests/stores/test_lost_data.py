"""A snapshot without data: its backend does not have it, and a lease keeps the record."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from orlop.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError
from orlop.records import LeaseResource, SnapshotInfo, SnapshotKind
from stores.chains import record

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop import Database, Namespace
    from orlop.stores.snapshots import SnapshotStore

LEASE = "holds it"
LOST = r'snapshot "lost" of {}: its data is gone.*remove it and make it again'


@pytest.fixture(params=["native", "overlayfs"])
def store(db: Database, ns: Namespace, request: pytest.FixtureRequest) -> SnapshotStore:
    """Return a store with an active snapshot `lost` that was removed from its backend."""
    store = ns.snapshots(str(request.param))
    ns.leases.create(LEASE)
    with ns.using_lease(LEASE):
        store.prepare("lost")
    assert store.backend is not None
    store.backend.remove("testing/1/lost")
    assert not db.gc.run().failures
    assert list(store.backend.walk()) == []
    assert record(store, "lost").backend_name == "testing/1/lost"
    return store


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.stat("lost"),
        lambda store: store.mounts("lost"),
        lambda store: store.usage("lost"),
        lambda store: store.commit("name", "lost"),
        lambda store: store.update(
            SnapshotInfo(kind=SnapshotKind.ACTIVE, name="lost", labels={"a": "b"})
        ),
        lambda store: store.prepare("child", "lost"),
        lambda store: store.view("child", "lost"),
    ],
    ids=["stat", "mounts", "usage", "commit", "update", "prepare on it", "view of it"],
)
def test_every_call_says_that_the_data_is_gone_and_what_to_do(
    store: SnapshotStore, call: Callable[[SnapshotStore], object]
) -> None:
    before = record(store, "lost")

    with pytest.raises(NotFoundError, match=LOST.format(store.snapshotter)) as caught:
        call(store)

    assert "testing/1/lost" in str(caught.value), "what to look for in the backend"
    assert record(store, "lost") == before
    assert list(store.walk()) == [], "it is passed over, as in containerd"


def test_its_key_is_taken_until_it_is_removed_and_then_free(
    ns: Namespace, store: SnapshotStore
) -> None:
    with pytest.raises(AlreadyExistsError, match='"lost"'):
        store.prepare("lost")

    with ns.using_lease(LEASE):
        store.remove("lost")
        assert ns.leases.resources(LEASE) == []
        store.prepare("lost")

    assert ns.leases.resources(LEASE) == [
        LeaseResource(id="lost", type=f"snapshots/{store.snapshotter}")
    ]
    assert store.stat("lost").kind is SnapshotKind.ACTIVE
    store.commit("name", "lost")
    assert [one.name for one in store.walk()] == ["name"]


def test_a_commit_of_it_is_logged_in_one_line(
    store: SnapshotStore, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(NotFoundError):
        store.commit("name", "lost")

    (logged,) = (one for one in caplog.records if one.name.startswith("orlop.stores"))
    assert (logged.levelno, logged.exc_info) == (logging.WARNING, None)
    assert "'lost'" in logged.getMessage()
    assert "cannot be committed" in logged.getMessage()


def test_a_parent_that_is_there_but_not_committed_is_named_as_such(store: SnapshotStore) -> None:
    store.prepare("active")

    with pytest.raises(InvalidArgumentError, match="not committed"):
        store.prepare("child", "active")
