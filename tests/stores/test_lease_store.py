"""Leases; the cases that upstream has too carry its names."""

from __future__ import annotations

import re
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orlop.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    UnimplementedError,
)
from orlop.records import Lease, LeaseResource

if TYPE_CHECKING:
    from orlop import Database, Namespace
    from stores.moments import StandingClock

DIGEST = "sha256:" + "a" * 64
EXPIRE = "containerd.io/gc.expire"


def test_leases(ns: Namespace, clock: StandingClock) -> None:
    ns.leases.create("tx1")
    with pytest.raises(AlreadyExistsError):
        ns.leases.create("tx1")
    ns.leases.create("tx2", labels={"a": "b", "c": ""})

    assert ns.leases.list() == [
        Lease(id="tx1", created_at=clock.now()),
        Lease(id="tx2", labels={"a": "b"}, created_at=clock.now()),
    ]
    for lease in ns.leases.list():
        ns.leases.delete(lease.id)
        with pytest.raises(NotFoundError):
            ns.leases.delete(lease.id)
    assert ns.leases.list() == []


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        pytest.param([], ["l1", "l2", "l3"], id="All"),
        pytest.param(["id==l1"], ["l1"], id="ID"),
        pytest.param(["id==l1", "id==l2"], ["l1", "l2"], id="IDx2"),
        pytest.param(["labels.label1"], ["l1", "l2"], id="Label1"),
        pytest.param(["labels.label1==value1"], ["l1"], id="Label1value1"),
        pytest.param(["labels.label1==value2"], ["l2"], id="Label1value2"),
        pytest.param(["labels.label2"], [], id="Label2"),
        pytest.param(["labels.label1", "labels.label3"], ["l1", "l2", "l3"], id="Label3"),
    ],
)
def test_leases_list(ns: Namespace, filters: list[str], expected: list[str]) -> None:
    ns.leases.create("l1", labels={"label1": "value1", "label2": ""})
    ns.leases.create("l2", labels={"label1": "value2"})
    ns.leases.create("l3", labels={"label3": "value3"})

    assert [one.id for one in ns.leases.list(*filters)] == expected


@pytest.mark.parametrize(
    ("resource", "error"),
    [
        (LeaseResource(id=DIGEST, type="content"), None),
        (LeaseResource(id="ref", type="ingests"), None),
        (LeaseResource(id="img", type="images"), None),
        (LeaseResource(id="key", type="snapshots/overlayfs"), None),
        (LeaseResource(id="x", type="leases"), UnimplementedError),
        (LeaseResource(id="x", type="containers"), UnimplementedError),
        (LeaseResource(id="x", type=""), UnimplementedError),
        (LeaseResource(id="x", type="snapshots"), InvalidArgumentError),
        (LeaseResource(id="x", type="snapshots/a/b"), InvalidArgumentError),
        (LeaseResource(id="x", type="snapshots/"), InvalidArgumentError),
        (LeaseResource(id="x", type="content/x"), InvalidArgumentError),
        (LeaseResource(id="nodigest", type="content"), InvalidArgumentError),
        (LeaseResource(id="", type="images"), InvalidArgumentError),
    ],
)
def test_lease_resource(
    ns: Namespace, resource: LeaseResource, error: type[Exception] | None
) -> None:
    with pytest.raises(NotFoundError):
        ns.leases.add_resource("unknown", resource)
    ns.leases.create("l")
    if error is not None:
        for call in (ns.leases.add_resource, ns.leases.delete_resource):
            with pytest.raises(error):
                call("l", resource)
        return
    ns.leases.delete_resource("l", resource)
    ns.leases.add_resource("l", resource)
    ns.leases.add_resource("l", resource)
    assert ns.leases.resources("l") == [resource]
    ns.leases.delete_resource("l", resource)
    assert ns.leases.resources("l") == []


def test_resources_are_listed_by_type(ns: Namespace) -> None:
    ns.leases.create("l")
    expected = [
        LeaseResource(id=DIGEST, type="content"),
        LeaseResource(id="img", type="images"),
        LeaseResource(id="ref", type="ingests"),
        LeaseResource(id="key", type="snapshots/native"),
        LeaseResource(id="a", type="snapshots/overlayfs"),
        LeaseResource(id="b", type="snapshots/overlayfs"),
    ]
    for resource in reversed(expected):
        ns.leases.add_resource("l", resource)

    assert ns.leases.resources("l") == expected
    with pytest.raises(NotFoundError):
        ns.leases.resources("unknown")


def test_an_expiry_is_a_label(ns: Namespace) -> None:
    lease = ns.leases.create("l", expires=timedelta(hours=1), labels={"a": "b"})

    assert lease.labels == {"a": "b", EXPIRE: "2026-02-16T10:36:07Z"}
    assert ns.leases.get("l") == lease


def test_ids(ns: Namespace) -> None:
    assert re.fullmatch(r"123456789-[\w-]{4}", ns.leases.create().id)
    for bad in ("", "x" * 32_769):
        with pytest.raises(InvalidArgumentError):
            ns.leases.create(bad)
    with pytest.raises(InvalidArgumentError):
        ns.leases.create("l", labels={"": "v"})
    assert ns.leases.create("any / thing", labels={"k": "v" * 5000}).id == "any / thing"


def test_a_lease_in_a_block_holds_what_is_made_and_goes(ns: Namespace, db: Database) -> None:
    with ns.lease("mine", labels={"a": "b"}) as lease:
        assert lease.id == "mine"
        assert lease.labels["a"] == "b"
        assert lease.labels[EXPIRE] == "2026-02-17T09:36:07Z", "24 hours unless told otherwise"
        with ns.content.writer("ref"):
            assert ns.leases.resources("mine") == [LeaseResource(id="ref", type="ingests")]
        with db.namespace("other").content.writer("ref"):
            pass
        assert len(ns.leases.resources("mine")) == 1, "it is a lease of one namespace"
    assert ns.leases.list() == []


def test_a_lease_goes_when_its_block_fails(ns: Namespace) -> None:
    with pytest.raises(ZeroDivisionError), ns.lease():
        _ = 1 / 0
    assert ns.leases.list() == []


def test_a_lease_may_be_deleted_while_its_block_runs(ns: Namespace) -> None:
    with ns.lease("l"):
        ns.leases.delete("l")


def test_leases_nest(ns: Namespace) -> None:
    with ns.lease("outer"), ns.lease("inner"):
        with ns.content.writer("ref"):
            pass
        assert ns.leases.resources("outer") == []
        assert len(ns.leases.resources("inner")) == 1


def test_a_lease_is_renewed_while_its_block_runs(ns: Namespace, clock: StandingClock) -> None:
    renewed = threading.Event()
    ns.environment.follow(lambda _: renewed.set())
    with ns.lease("l", expires=timedelta(seconds=0.3)) as lease:
        clock.advance(hours=1)
        renewed.clear()
        assert renewed.wait(10)
        later = ns.leases.get("l")
        assert later.labels[EXPIRE] > lease.labels[EXPIRE]
        assert later.created_at == lease.created_at
    assert ns.leases.list() == []


def test_a_lease_within_an_update_does_not_wait_for_itself(ns: Namespace, db: Database) -> None:
    with db.update(), ns.lease("l", expires=timedelta(seconds=0.05)):
        threading.Event().wait(0.2)
    assert ns.leases.list() == []


def test_a_lease_that_expires_at_once_is_refused(ns: Namespace) -> None:
    with pytest.raises(InvalidArgumentError), ns.lease(expires=timedelta()):
        pass


def test_a_lease_in_a_view_is_refused(ns: Namespace, db: Database) -> None:
    with db.view(), pytest.raises(FailedPreconditionError), ns.lease():
        pass
