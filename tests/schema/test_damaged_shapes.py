"""A missing or malformed part of a record does not hide its neighbours."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orlop.bolt import open_engine
from orlop.errors import OrlopError
from orlop.kv import EngineError
from orlop.schema import (
    buckets,
    containers,
    content,
    images,
    ingests,
    leases,
    migrations,
    namespaces,
    sandboxes,
    snapshots,
)
from schema.planting import plant

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orlop.kv import Bucket, Transaction

NAMES = [
    b"labels", b"images", b"containers", b"snapshots", b"content", b"blob", b"ingests",
    b"sandboxes", b"leases", b"createdat", b"updatedat", b"expireat", b"annotations", b"target",
    b"size", b"spec", b"runtime", b"options", b"extensions", b"parent", b"children", b"ref",
    b"overlayfs", b"one", b"two", b"v1", b"version",
]  # fmt: skip

Shape = st.recursive(
    st.binary(max_size=20),
    lambda inner: st.dictionaries(st.sampled_from([name.decode() for name in NAMES]), inner),
    max_leaves=40,
)


def read_everything(transaction: Transaction) -> None:
    """Call everything that reads, for every namespace, as the stores and the collector do."""
    migrations.read_version(transaction)
    for namespace in (*namespaces.all_names(transaction), "missing"):
        namespaces.labels(transaction, namespace)
        for find, readers in (
            (images.find, (images.read, images.labels)),
            (containers.find, (containers.read, containers.labels, containers.snapshot)),
            (sandboxes.find, (sandboxes.read, sandboxes.labels)),
            (content.find, (content.read, content.labels, content.size)),
            (ingests.find, (ingests.read,)),
            (leases.find, (leases.read, leases.labels, resources)),
        ):
            read_objects(find(transaction, namespace), readers)
        for snapshotter in (*snapshots.snapshotters(transaction, namespace), "missing"):
            read_objects(
                snapshots.find(transaction, namespace, snapshotter),
                (snapshots.read, snapshots.labels, snapshots.children, snapshots.backend_name),
            )
        for read_all in (
            lambda one: images.read_all(images.find(transaction, one)),
            lambda one: containers.read_all(containers.find(transaction, one)),
            lambda one: sandboxes.read_all(sandboxes.find(transaction, one)),
            lambda one: content.read_all(content.find(transaction, one), bool),
        ):
            with suppress(OrlopError):  # a typed error is an answer
                list(read_all(namespace))


def resources(bucket: Bucket | None, lease_id: str) -> object:
    return list(leases.resources(bucket, lease_id))


def read_objects(
    bucket: Bucket | None, readers: tuple[Callable[[Bucket | None, str], object], ...]
) -> None:
    for name in (*buckets.bucket_names(bucket), "missing", ""):
        for reader in readers:
            with suppress(OrlopError):  # a typed error is an answer
                reader(bucket, name)


def test_without_a_schema_nothing_is_found(transaction: Transaction) -> None:
    assert migrations.read_version(transaction) is None
    assert namespaces.all_names(transaction) == []
    assert namespaces.find(transaction, "default") is None
    read_everything(transaction)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(shape=st.dictionaries(st.sampled_from(["v1", "one", "other"]), Shape))
def test_reading_any_shape_answers_or_raises_a_typed_error(
    tmp_path: Path, shape: dict[str, object]
) -> None:
    engine = open_engine(tmp_path / "any.db")
    transaction = engine.begin(writable=True)
    try:
        plant(transaction.root, {k: v for k, v in shape.items() if isinstance(v, dict)})
        read_everything(transaction)
    finally:
        transaction.rollback()
        engine.close()


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(shape=Shape)
def test_writing_into_any_shape_works_or_raises_an_error_of_the_engine(
    tmp_path: Path, shape: object
) -> None:
    engine = open_engine(tmp_path / "any.db")
    transaction = engine.begin(writable=True)
    try:
        plant(transaction.root, {"v1": {"one": shape}} if isinstance(shape, dict) else {})
        for write in (
            lambda: leases.create(transaction, "one"),
            lambda: images.create(transaction, "one"),
            lambda: content.create(transaction, "one"),
            lambda: snapshots.create(transaction, "one", "overlayfs"),
            lambda: snapshots.delete(snapshots.find(transaction, "one", "overlayfs"), "one"),
            lambda: snapshots.remove_child(
                snapshots.find(transaction, "one", "overlayfs"), "one", "two"
            ),
            lambda: leases.delete(leases.find(transaction, "one"), "one"),
            lambda: namespaces.delete(transaction, "one"),
        ):
            try:
                write()
            except EngineError:
                continue
    finally:
        transaction.rollback()
        engine.close()


def test_a_plain_key_among_objects_is_passed_over(transaction: Transaction) -> None:
    plant(
        transaction.root,
        {"v1": {"version": b"\x08", "one": {"images": {"a": b"plain", "b": {}, "c": {}}}}},
    )
    bucket = images.find(transaction, "one")

    assert namespaces.all_names(transaction) == ["one"]
    assert [image.name for image in images.read_all(bucket)] == ["b", "c"]
    assert images.read(bucket, "a") is None
    assert not buckets.is_empty(bucket)


def test_a_plain_key_among_sandboxes_is_told_of(transaction: Transaction) -> None:
    plant(transaction.root, {"v1": {"one": {"sandboxes": {"a": b"plain"}}}})

    with pytest.raises(OrlopError, match="plain key"):
        sandboxes.refuse_plain_keys(sandboxes.find(transaction, "one"))
