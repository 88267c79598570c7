"""Namespaces; the cases that upstream has too carry its names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orlop.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from orlop.records import Container, Descriptor, Image, ProtoAny, Runtime, Sandbox

if TYPE_CHECKING:
    from orlop import Database


def test_create_delete_empty(db: Database) -> None:
    db.namespaces.create("one", {"a": "b", "empty": ""})

    assert db.namespaces.list() == ["one"]
    assert db.namespaces.labels("one") == {"a": "b", "empty": ""}
    with pytest.raises(AlreadyExistsError):
        db.namespaces.create("one")
    db.namespaces.delete("one")
    assert db.namespaces.list() == []
    with pytest.raises(NotFoundError):
        db.namespaces.delete("one")


def test_create_delete_not_empty(db: Database) -> None:
    ns = db.namespace("one")
    target = Descriptor(media_type="m", digest="sha256:" + "a" * 64, size=1)
    ns.images.create(Image(name="img", target=target))
    with ns.content.writer("ref") as writer:
        writer.write(b"data")
        writer.commit()
    ns.containers.create(Container(id="c", runtime=Runtime(name="r"), spec=ProtoAny()))
    ns.snapshots("native").prepare("key")
    ns.snapshots("overlayfs").prepare("key")
    ns.snapshots("overlayfs").remove("key")

    with pytest.raises(FailedPreconditionError) as refused:
        db.namespaces.delete("one")

    assert refused.value.context == (
        'namespace "one" must be empty, but it still has images, blobs, containers, '
        'snapshots on "native" snapshotter'
    )
    ns.images.delete("img")
    ns.content.delete(writer.digest())
    ns.containers.delete("c")
    ns.snapshots("native").remove("key")
    db.namespaces.delete("one")


def test_what_does_not_stand_in_the_way_is_dropped(db: Database) -> None:
    ns = db.namespace("one")
    ns.leases.create("l")
    with ns.content.writer("ref"):
        pass
    ns.sandboxes.create(Sandbox(id="box", runtime=Runtime(name="r")))
    db.namespaces.set_label("one", "a", "b")

    db.namespaces.delete("one")

    assert (ns.leases.list(), ns.sandboxes.list(), db.namespaces.labels("one")) == ([], [], {})


def test_labels(db: Database) -> None:
    assert db.namespaces.labels("unknown") == {}
    db.namespaces.set_label("new", "a", "b")
    db.namespaces.set_label("new", "c", "d")
    db.namespaces.set_label("new", "a", "")
    db.namespaces.set_label("new", "never", "")

    assert db.namespaces.list() == ["new"]
    assert db.namespaces.labels("new") == {"c": "d"}


def test_names_are_listed_in_byte_order(db: Database) -> None:
    for name in ("b", "B", "a1", "a"):
        db.namespaces.create(name)

    assert db.namespaces.list() == ["B", "a", "a1", "b"]


@pytest.mark.parametrize("name", ["version", "-x", "a/b", "x" * 77, "a b"])
def test_bad_names(db: Database, name: str) -> None:
    for call in (
        lambda: db.namespace(name),
        lambda: db.namespaces.create(name),
        lambda: db.namespaces.set_label(name, "a", "b"),
    ):
        with pytest.raises(InvalidArgumentError):
            call()
    assert db.namespaces.list() == []


def test_a_namespace_is_required(db: Database) -> None:
    with pytest.raises(FailedPreconditionError, match="namespace is required"):
        db.namespace("")
    with pytest.raises(InvalidArgumentError):
        db.namespaces.create("")


def test_bad_labels(db: Database) -> None:
    for key, value in (("", "v"), ("k", "v" * 4096)):
        with pytest.raises(InvalidArgumentError):
            db.namespaces.create("one", {key: value})
        with pytest.raises(InvalidArgumentError):
            db.namespaces.set_label("one", key, value)
    assert db.namespaces.list() == []
