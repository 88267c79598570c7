"""Sandboxes; the cases that upstream has too carry its names."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from orlop.errors import AlreadyExistsError, DataLossError, InvalidArgumentError, NotFoundError
from orlop.records import ProtoAny, Runtime, Sandbox

if TYPE_CHECKING:
    from orlop import Namespace
    from stores.moments import StandingClock

START = Sandbox(
    id="box",
    runtime=Runtime(name="runc", options=ProtoAny("opt", b"1")),
    spec=ProtoAny("spec", b"1"),
    sandboxer="podsandbox",
    labels={"x": "1", "y": "2"},
    extensions={"a": ProtoAny("ext", b"1")},
)
INPUT = Sandbox(
    id="box",
    runtime=Runtime(name="other", options=ProtoAny("opt", b"2")),
    spec=ProtoAny("spec", b"2"),
    sandboxer="shim",
    labels={"x": "9"},
    extensions={"b": ProtoAny("ext", b"2")},
)


def test_sandbox_create_and_dup(ns: Namespace, clock: StandingClock) -> None:
    created = ns.sandboxes.create(START)

    assert created == dataclasses.replace(START, created_at=clock.now(), updated_at=clock.now())
    assert ns.sandboxes.get("box") == created
    with pytest.raises(AlreadyExistsError):
        ns.sandboxes.create(START)


@pytest.mark.parametrize(
    ("paths", "changes"),
    [
        (("labels.x",), {"labels": {"x": "9", "y": "2"}}),
        (("labels",), {"labels": INPUT.labels}),
        (("extensions.b",), {"extensions": {**START.extensions, **INPUT.extensions}}),
        (("spec",), {"spec": INPUT.spec}),
        (("runtime",), {"runtime": INPUT.runtime}),
    ],
)
def test_sandbox_update(
    ns: Namespace, clock: StandingClock, paths: tuple[str, ...], changes: dict[str, Any]
) -> None:
    created = ns.sandboxes.create(START)
    later = clock.advance(seconds=1)

    updated = ns.sandboxes.update(INPUT, paths)

    assert updated == dataclasses.replace(
        START, created_at=created.created_at, updated_at=later, **changes
    )
    assert ns.sandboxes.get("box") == updated


def test_a_full_update_keeps_sandboxer_and_runtime_name(ns: Namespace) -> None:
    ns.sandboxes.create(START)

    with pytest.raises(InvalidArgumentError, match="immutable"):
        ns.sandboxes.update(INPUT)
    updated = ns.sandboxes.update(dataclasses.replace(INPUT, runtime=START.runtime))
    assert updated.sandboxer == START.sandboxer
    assert updated.labels == INPUT.labels


def test_what_is_not_given_does_not_clear_what_is_stored(ns: Namespace) -> None:
    ns.sandboxes.create(START)

    bare = dataclasses.replace(START, spec=None, runtime=Runtime(name="runc"), extensions={})
    ns.sandboxes.update(bare)

    stored = ns.sandboxes.get("box")
    assert (stored.spec, stored.runtime, stored.extensions) == (
        START.spec,
        START.runtime,
        START.extensions,
    )


@pytest.mark.parametrize("path", ["id", "sandboxer", "createdat", "runtime.name"])
def test_other_paths_are_refused(ns: Namespace, path: str) -> None:
    ns.sandboxes.create(START)

    with pytest.raises(InvalidArgumentError):
        ns.sandboxes.update(INPUT, (path,))


def test_sandbox_get_invalid_and_delete(ns: Namespace) -> None:
    for call in (
        lambda: ns.sandboxes.get("box"),
        lambda: ns.sandboxes.delete("box"),
        lambda: ns.sandboxes.update(START),
    ):
        with pytest.raises(NotFoundError):
            call()
    ns.sandboxes.create(START)
    ns.sandboxes.delete("box")
    with pytest.raises(NotFoundError):
        ns.sandboxes.get("box")


def test_sandbox_list_with_filter(ns: Namespace) -> None:
    for name in ("b", "a"):
        ns.sandboxes.create(dataclasses.replace(START, id=name, labels={name: "1"}))

    assert [one.id for one in ns.sandboxes.list()] == ["a", "b"]
    assert [one.id for one in ns.sandboxes.list("id==b")] == ["b"]
    assert [one.id for one in ns.sandboxes.list("labels.a")] == ["a"]


def test_labels_have_no_limit_but_the_file(ns: Namespace) -> None:
    created = ns.sandboxes.create(dataclasses.replace(START, labels={"k": "v" * 10_000}))

    assert created.labels == {"k": "v" * 10_000}
    with pytest.raises(InvalidArgumentError):
        ns.sandboxes.create(dataclasses.replace(START, id="other", labels={"": "v"}))
    with pytest.raises(InvalidArgumentError):
        ns.sandboxes.create(dataclasses.replace(START, id="no/identifier"))


def test_a_plain_key_makes_the_list_fail(ns: Namespace) -> None:
    ns.sandboxes.create(START)
    with ns.environment.transactions.update() as update:
        schema = update.transaction.root.bucket(b"v1")
        namespace = None if schema is None else schema.bucket(b"testing")
        sandboxes = None if namespace is None else namespace.bucket(b"sandboxes")
        assert sandboxes is not None
        sandboxes.put(b"plain", b"")

    with pytest.raises(DataLossError):
        ns.sandboxes.list()
    assert ns.sandboxes.get("box").id == "box"
