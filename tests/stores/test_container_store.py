"""Containers; the cases that upstream has too carry its names."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from orlop.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError
from orlop.records import Container, ProtoAny, Runtime
from orlop.schema import containers

if TYPE_CHECKING:
    from orlop import Namespace
    from stores.moments import StandingClock

SPEC = ProtoAny("spec", b"{}")
RUNC = Runtime(name="runc")


def container(container_id: str = "c", **labels: str) -> Container:
    return Container(id=container_id, runtime=RUNC, spec=SPEC, labels=labels)


START = Container(
    id="c",
    runtime=Runtime(name="runc", options=ProtoAny("opt", b"1")),
    spec=SPEC,
    image="image",
    snapshotter="overlayfs",
    snapshot_key="key",
    sandbox_id="box",
    labels={"x": "1", "y": "2"},
    extensions={"a": ProtoAny("ext", b"1"), "b": ProtoAny("ext", b"2")},
)
INPUT = Container(
    id="c",
    runtime=Runtime(name="runc"),
    spec=ProtoAny("spec", b"new"),
    image="other",
    snapshotter="overlayfs",
    snapshot_key="otherkey",
    sandbox_id="otherbox",
    labels={"x": "9", "z": "3"},
    extensions={"a": ProtoAny("ext", b"9"), "c": ProtoAny("ext", b"3")},
)


@pytest.fixture
def four(ns: Namespace) -> Namespace:
    for number in range(4):
        one = container(f"c-{number}", **{"odd" if number % 2 else "even": "true"})
        runtime = RUNC if number < 3 else Runtime(name="other")
        ns.containers.create(dataclasses.replace(one, runtime=runtime, image=f"i{number}"))
    return ns


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        pytest.param([], "0123", id="FullSet"),
        pytest.param(["labels.even==true", "labels.odd==true"], "0123", id="FullSetFiltered"),
        pytest.param(["labels.even==true"], "02", id="Even"),
        pytest.param(["labels.odd==true"], "13", id="Odd"),
        pytest.param(["id==c-0"], "0", id="ByID"),
        pytest.param(["id==c-0,labels.even==true"], "0", id="ByIDLabelEven"),
        pytest.param(["runtime.name==runc"], "012", id="ByRuntime"),
        pytest.param(["image==i2"], "2", id="ByImage"),
        pytest.param(["runtime"], "", id="runtime alone is no field"),
    ],
)
def test_containers_list(four: Namespace, filters: list[str], numbers: str) -> None:
    assert [one.id for one in four.containers.list(*filters)] == [f"c-{n}" for n in numbers]


def test_containers_list_then_deletes(four: Namespace) -> None:
    for one in four.containers.list():
        four.containers.delete(one.id)
        with pytest.raises(NotFoundError):
            four.containers.delete(one.id)


@pytest.mark.parametrize(
    ("paths", "changes"),
    [
        pytest.param(("spec",), {"spec": INPUT.spec}, id="UpdateSpec"),
        pytest.param(("snapshotkey",), {"snapshot_key": "otherkey"}, id="UpdateSnapshot"),
        pytest.param(("image",), {"image": "other"}, id="UpdateImage"),
        pytest.param(("labels.x",), {"labels": {"x": "9", "y": "2"}}, id="UpdateLabel"),
        pytest.param(("labels.y",), {"labels": {"x": "1"}}, id="DeleteLabel"),
        pytest.param(("labels",), {"labels": INPUT.labels}, id="UpdateExtensionsNotInFieldpath"),
        pytest.param(
            ("extensions.c",),
            {"extensions": {**START.extensions, "c": ProtoAny("ext", b"3")}},
            id="UpdateExtensionsFieldPathIsolated",
        ),
    ],
)
def test_containers_update(
    ns: Namespace, clock: StandingClock, paths: tuple[str, ...], changes: dict[str, Any]
) -> None:
    created = ns.containers.create(START)
    later = clock.advance(seconds=5)

    updated = ns.containers.update(INPUT, paths)

    assert updated == dataclasses.replace(
        START, created_at=created.created_at, updated_at=later, **changes
    )
    assert ns.containers.get("c") == updated


def test_update_extensions_full(ns: Namespace) -> None:
    ns.containers.create(START)

    updated = ns.containers.update(INPUT)

    assert updated.extensions == INPUT.extensions
    assert (updated.spec, updated.image, updated.snapshot_key, updated.labels) == (
        INPUT.spec,
        INPUT.image,
        INPUT.snapshot_key,
        INPUT.labels,
    )
    assert (updated.runtime, updated.sandbox_id) == (START.runtime, START.sandbox_id)
    # What the file keeps, as containerd's does: an extension is never deleted from it.
    assert ns.containers.get("c").extensions == {**START.extensions, **INPUT.extensions}


def test_update_extensions_field_path(ns: Namespace) -> None:
    ns.containers.create(START)

    updated = ns.containers.update(INPUT, ("extensions",))

    assert updated.extensions == INPUT.extensions
    assert updated.labels == START.labels


def test_an_extension_that_is_not_given_is_stored_empty(ns: Namespace) -> None:
    ns.containers.create(START)

    ns.containers.update(INPUT, ("extensions.b", "extensions.new"))

    stored = ns.containers.get("c").extensions
    assert stored == {"a": ProtoAny("ext", b"1"), "b": ProtoAny(), "new": ProtoAny()}


def test_delete_all_labels(ns: Namespace) -> None:
    ns.containers.create(START)

    assert ns.containers.update(dataclasses.replace(START, labels={}), ("labels",)).labels == {}
    assert ns.containers.get("c").labels == {}


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("runtime", id="UpdateRuntimeFail"),
        pytest.param("snapshotter", id="UpdateSnapshotKeyImmutable"),
        "id",
        "sandboxid",
        "createdat",
        "snapshotKey",
    ],
)
def test_immutable_paths(ns: Namespace, path: str) -> None:
    ns.containers.create(START)

    with pytest.raises(InvalidArgumentError):
        ns.containers.update(INPUT, (path,))


@pytest.mark.parametrize(
    "changed",
    [
        dataclasses.replace(START, runtime=Runtime(name="other")),
        dataclasses.replace(START, runtime=Runtime(name="")),
        dataclasses.replace(START, snapshotter="native"),
    ],
    ids=["runtime", "UpdateRuntimeClearFail", "snapshotter"],
)
def test_immutable_fields_of_a_full_update(ns: Namespace, changed: Container) -> None:
    ns.containers.create(START)

    with pytest.raises(InvalidArgumentError, match="immutable"):
        ns.containers.update(changed)


@pytest.mark.parametrize(
    "bad",
    [
        container(""),
        container("-no-identifier"),
        container("x" * 77),
        dataclasses.replace(container(), spec=None),
        dataclasses.replace(container(), runtime=Runtime(name="")),
        pytest.param(
            dataclasses.replace(container(), snapshot_key="k"), id="SnapshotKeyWithoutSnapshot"
        ),
        dataclasses.replace(container(), extensions={"": ProtoAny()}),
        container(k="v" * 4096),
        dataclasses.replace(container(), image="\ud800"),
    ],
)
def test_what_is_invalid_is_refused(ns: Namespace, bad: Container) -> None:
    with pytest.raises(InvalidArgumentError):
        ns.containers.create(bad)
    assert ns.environment.namespaces.list() == []


def test_update_id_fail(ns: Namespace) -> None:
    ns.containers.create(START)

    with pytest.raises(NotFoundError):
        ns.containers.update(dataclasses.replace(INPUT, id="unknown"))
    with pytest.raises(InvalidArgumentError):
        ns.containers.update(dataclasses.replace(INPUT, id=""))


def test_create(ns: Namespace, clock: StandingClock) -> None:
    created = ns.containers.create(START)

    assert created == dataclasses.replace(START, created_at=clock.now(), updated_at=clock.now())
    assert ns.containers.get("c") == created
    with pytest.raises(AlreadyExistsError):
        ns.containers.create(START)


def test_every_write_makes_the_bucket_of_the_runtime_anew(ns: Namespace) -> None:
    created = ns.containers.create(START)
    with ns.environment.transactions.update() as update:
        bucket = containers.create(update.transaction, "testing").bucket(b"c")
        runtime = None if bucket is None else bucket.bucket(b"runtime")
        assert bucket is not None
        assert runtime is not None
        runtime.put(b"of a later version", b"1")
        bucket.put(b"of a later version", b"1")

    ns.containers.update(dataclasses.replace(created, labels={}), ("labels",))

    with ns.environment.transactions.view() as transaction:
        found = containers.find(transaction, "testing")
        bucket = None if found is None else found.bucket(b"c")
        runtime = None if bucket is None else bucket.bucket(b"runtime")
        assert bucket is not None
        assert runtime is not None
        assert [key for key, _ in runtime.items()] == [b"name", b"options"]
        assert bucket.get(b"of a later version") == b"1", "the rest is written over"
    assert ns.containers.get("c").runtime == START.runtime
