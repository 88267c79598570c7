"""Failing plug-ins: each exception is contained, and data they may refer to is kept."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orlop
from collector.making import blobs_on_disk, make_blob
from collector.things import Things
from orlop.errors import UnavailableError
from orlop.gc.node import Node

if TYPE_CHECKING:
    from orlop import Database
    from orlop.gc.resources import ResourceSession

GC = "containerd.io/gc."
ASKED = ("all", "active", "back_references", "leased", "references")
ERRORS = (ValueError("x"), KeyError(), OSError(5, "broken"), MemoryError(), UnavailableError("x"))
METHODS = ("begin", *ASKED, "remove", "cancel", "finish")


class Failing(Things):
    """Things that fail in some methods; a lock counts sessions that did not end."""

    def __init__(self, kind: str, error: BaseException, *methods: str, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.type = kind
        self.reference_label = kind
        self.locks = 0
        self._error = error
        self.methods = set(methods)

    def __getattribute__(self, name: str) -> object:
        if name in METHODS and name in object.__getattribute__(self, "methods"):

            def fail(*_: object) -> None:
                if name in {"cancel", "finish"}:
                    self.locks -= 1
                raise self._error

            return fail
        return object.__getattribute__(self, name)

    def begin(self) -> ResourceSession:
        self.locks += 1
        self._removed: list[Node] = []
        return self

    def remove(self, node: Node) -> None:
        self._removed.append(node)

    def cancel(self) -> None:
        self.locks -= 1
        super().cancel()

    def finish(self) -> None:
        self.locks -= 1
        for one in self._removed:
            self.every.remove(one)
        super().finish()


def node(kind: str, name: str) -> Node:
    return Node(kind, "default", name)


def content(digest: str) -> Node:
    return Node("content", "default", digest)


@pytest.mark.parametrize("method", METHODS)
def test_an_exception_of_one_kind_is_contained(database: Database, method: str) -> None:
    ns = database.namespace("default")
    held, garbage = make_blob(ns, b"held by a thing"), make_blob(ns, b"garbage")
    failing = Failing(
        "b",
        ValueError("what a plug-in raises"),
        method,
        every=[node("b", "kept"), node("b", "gone")],
        active=[node("b", "kept")],
        forward={node("b", "kept"): [content(held)]},
    )
    others = [Failing(kind, ValueError(), every=[node(kind, "gone")]) for kind in ("a", "c")]
    for one in (failing, *others):
        database.gc.register(one)
    make_lease = ns.leases.create("a lease")

    statistics = database.gc.run()

    assert [one.locks for one in (failing, *others)] == [0, 0, 0]
    if method != "cancel":
        assert "what a plug-in raises" in statistics.failures["b"]
        assert ns.content.info(held).size
    if method in {"begin", *ASKED}:
        assert statistics.removed == {}
        assert {*others[0].ended, *others[1].ended} == {"cancel"}
        with pytest.raises(UnavailableError, match="a collection would remove nothing"):
            database.gc.plan()
    elif method == "remove":
        # Nothing of this kind is removed; all that it does not hold goes.
        assert statistics.removed == {"content": 1, "a": 1, "c": 1}
        assert failing.every == [node("b", "kept"), node("b", "gone")]
    else:
        assert statistics.removed["content"] == 1

    failing.methods.clear()
    again = database.gc.run()
    assert again.failures == {}
    assert failing.locks == 0
    assert set(blobs_on_disk(database)) == {held}
    assert garbage not in blobs_on_disk(database)
    ns.leases.delete(make_lease.id)


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupt_ends_the_run_after_all_kinds_have_ended(
    database: Database, method: str
) -> None:
    failing = Failing(
        "b", KeyboardInterrupt(), method, every=[node("b", "gone")], active=[node("b", "gone")]
    )
    if method == "remove":
        failing._active = []
    others = [Failing(kind, ValueError(), every=[node(kind, "gone")]) for kind in ("a", "c")]
    for one in (failing, *others):
        database.gc.register(one)
    database.namespace("default").leases.create("a lease")
    if method == "cancel":
        others[1].methods.add("active")
        others[1]._error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        database.gc.run()
    assert [one.locks for one in (failing, *others)] == [0, 0, 0]
    failing.methods.clear()
    others[1].methods.clear()
    database.gc.run()


@pytest.mark.parametrize(
    "wrong", [None, 7, ["text"], [Node("other", "default", "x")], [("b", "default", "x")]]
)
def test_what_a_plug_in_returns_is_checked(database: Database, wrong: object) -> None:
    things = Things([])
    things.type = "b"
    things.all = lambda: wrong  # type: ignore[method-assign, assignment, return-value]
    database.gc.register(things)
    kept = make_blob(database.namespace("default"), b"may be held")
    statistics = database.gc.run()
    assert "TypeError" in statistics.failures["b"]
    assert statistics.removed == {}
    assert set(blobs_on_disk(database)) == {kept}


def test_references_of_what_only_a_label_names(database: Database) -> None:
    ns = database.namespace("default")
    far = make_blob(ns, b"referred to by what is named far away")
    near = make_blob(ns, b"referred to by what is named")
    things = Things(
        [],
        forward={
            node("thing", "named"): [content(near), node("thing", "far")],
            node("thing", "far"): [content(far)],
        },
    )
    database.gc.register(things)
    labels = {f"{GC}root": "x", f"{GC}ref.test": "named"}
    root = make_blob(ns, b"root", labels)
    assert database.gc.plan().nodes == ()
    assert database.gc.run().removed == {}
    assert sorted(blobs_on_disk(database)) == sorted([far, near, root])
    ns.content.delete(root)
    assert database.gc.run().removed == {"content": 2}


def test_references_of_what_another_kind_or_a_back_reference_names(database: Database) -> None:
    ns = database.namespace("default")
    blobs = [make_blob(ns, data) for data in (b"one", b"two", b"three")]
    root = make_blob(ns, b"root", {f"{GC}root": "x"})
    first = Failing(
        "a",
        ValueError(),
        every=[node("a", "active")],
        active=[node("a", "active")],
        forward={node("a", "active"): [node("b", "named")]},
        back=[(content(root), node("b", "back"))],
        leased={"lease": [node("b", "leased")]},
    )
    names = ("named", "back", "leased")
    second = Failing(
        "b",
        ValueError(),
        every=[],
        forward={node("b", name): [content(blob)] for name, blob in zip(names, blobs, strict=True)},
    )
    for one in (first, second):
        database.gc.register(one)
    ns.leases.create("lease")
    assert database.gc.plan().nodes == ()
    assert database.gc.run().removed == {}
    assert sorted(blobs_on_disk(database)) == sorted([*blobs, root])


def test_a_kind_may_name_records_without_changing_what_they_refer_to(database: Database) -> None:
    ns = database.namespace("default")
    target = make_blob(ns, b"target")
    source = make_blob(ns, b"source", {f"{GC}ref.content": target})
    database.gc.register(Things([], leased={"lease": [content(source)]}))
    ns.leases.create("lease")
    assert database.gc.run().removed == {}
    assert sorted(blobs_on_disk(database)) == sorted([target, source])


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_random_failures_lose_nothing(data: st.DataObject) -> None:
    """Random failures: sessions end, reachable data stays, garbage is deleted eventually."""
    with tempfile.TemporaryDirectory() as root, orlop.open(root, sync=False) as database:
        fail_at_random(database, data)


def fail_at_random(database: Database, data: st.DataObject) -> None:
    ns = database.namespace("default")
    kinds, holds = {}, {}
    for kind in ("a", "b", "c"):
        blob = make_blob(ns, f"held by {kind}".encode())
        make_blob(ns, f"garbage beside {kind}".encode())
        held = node(kind, "held")
        kinds[kind] = Failing(
            kind,
            data.draw(
                st.sampled_from([ValueError("x"), KeyError(), OSError(5, "io"), MemoryError()])
            ),
            *data.draw(st.sets(st.sampled_from(METHODS), max_size=2)),
            every=[held, node(kind, "free")],
            active=[held],
            forward={held: [content(blob)]},
        )
        holds[kind] = blob
        database.gc.register(kinds[kind])
    ns.leases.create("lease")
    for _ in range(2):
        database.gc.run()
        assert [one.locks for one in kinds.values()] == [0, 0, 0]
        assert set(blobs_on_disk(database)) >= set(holds.values())
    for one in kinds.values():
        one.methods.clear()
    assert database.gc.run().failures == {}
    assert set(blobs_on_disk(database)) == set(holds.values())
    assert all(one.every == [node(kind, "held")] for kind, one in kinds.items())
