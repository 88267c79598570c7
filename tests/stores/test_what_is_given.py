"""Calls that depend on more than their arguments in containerd, but not in Orlop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orlop import Container, ProtoAny, Runtime
from orlop.errors import FailedPreconditionError, InvalidArgumentError
from stores.blobs import DATA, digest_of, put

if TYPE_CHECKING:
    from orlop import Database, Namespace


def test_writing_to_a_shared_ingest_goes_on_where_its_own_data_ends(
    ns: Namespace, db: Database
) -> None:
    digest = put(ns)
    other = db.namespace("other")
    with other.content.writer("ref") as writer:
        writer.write(DATA[:3])

    with other.content.writer("ref", expected=digest, resume=True) as writer:
        assert writer.status().offset == len(DATA), "it stands for the whole blob"
        writer.write(b" and more")
        assert writer.digest() == digest_of(DATA + b" and more")


def test_a_path_takes_what_was_given_also_the_second_time(ns: Namespace) -> None:
    container = Container(id="c", runtime=Runtime(name="runc"), spec=ProtoAny("spec"))
    ns.containers.create(container)

    changed = ns.containers.update(container, ("extensions", "extensions.a", "extensions"))

    assert changed.extensions == {}


def test_a_view_cannot_be_committed(ns: Namespace) -> None:
    snapshots = ns.snapshots("native")
    snapshots.prepare("a")
    snapshots.commit("base", "a")
    snapshots.view("view", "base")

    with pytest.raises(FailedPreconditionError, match="view"):
        snapshots.commit("new", "view")


@pytest.mark.parametrize("name", ["a b", "-a", "a/b", "x" * 77])
def test_no_label_makes_a_namespace_that_nobody_can_enter(db: Database, name: str) -> None:
    with pytest.raises(InvalidArgumentError):
        db.namespaces.set_label(name, "a", "b")
    assert db.namespaces.list() == []
