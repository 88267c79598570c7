"""Moving buckets with nested buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bolt.model_bucket import contents
from bolt.simulated_disk import SimulatedDisk
from orlop.bolt import BoltEngine
from orlop.bolt.tools.check import check_disk
from orlop.kv import (
    BucketExistsError,
    BucketNotFoundError,
    IncompatibleValueError,
    NestingTooDeepError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.kv import Bucket


@pytest.fixture
def disk() -> SimulatedDisk:
    return SimulatedDisk()


@pytest.fixture
def engine(disk: SimulatedDisk) -> BoltEngine:
    engine = BoltEngine(disk, freelist_sync=True)
    with engine.begin(writable=True) as transaction:
        source = transaction.root.create_bucket(b"source")
        moved = source.create_bucket(b"moved")
        moved.set_sequence(7)
        for number in range(300):
            moved.put(b"key-%04d" % number, b"x" * 50)
        moved.create_bucket(b"inner").put(b"deep", b"value")
        transaction.root.create_bucket(b"target").put(b"plain", b"value")
    return engine


@pytest.mark.parametrize("changed", [False, True])
def test_a_bucket_moves_with_all_it_holds(
    disk: SimulatedDisk, engine: BoltEngine, *, changed: bool
) -> None:
    with engine.begin(writable=True) as transaction:
        source, target = transaction.root.bucket(b"source"), transaction.root.bucket(b"target")
        assert source is not None
        assert target is not None
        moved = source.bucket(b"moved")
        assert moved is not None
        expected = contents(moved)
        if changed:
            inner = moved.bucket(b"inner")
            assert inner is not None
            inner.put(b"new", b"value")
            expected[b"inner"] = {b"deep": b"value", b"new": b"value"}

        source.move_bucket(b"moved", target)

        assert contents(source) == {}
        moved.put(b"after", b"the handle stays good")
        expected[b"after"] = b"the handle stays good"
        assert contents(target) == {b"moved": expected, b"plain": b"value"}
    assert check_disk(disk).faults == []
    with BoltEngine(SimulatedDisk(disk.durable)).begin() as reader:
        assert contents(reader.root) == {
            b"source": {},
            b"target": {b"moved": expected, b"plain": b"value"},
        }
        found = reader.root.bucket(b"target")
        assert found is not None
        bucket = found.bucket(b"moved")
        assert bucket is not None
        assert bucket.sequence == 7


def test_moves_that_are_refused_change_nothing(engine: BoltEngine) -> None:
    with engine.begin(writable=True) as transaction:
        source, target = transaction.root.bucket(b"source"), transaction.root.bucket(b"target")
        assert source is not None
        assert target is not None
        source.put(b"plain", b"value")
        source.create_bucket(b"taken")
        target.create_bucket(b"taken")
        target.put(b"moved", b"a value in the way")
        moved = source.bucket(b"moved")
        assert moved is not None
        inner = moved.bucket(b"inner")
        assert inner is not None
        reader = engine.begin()
        other = reader.root.bucket(b"target")
        assert other is not None
        before = contents(transaction.root)
        refusals: list[tuple[Callable[[], None], type[Exception]]] = [
            (lambda: source.move_bucket(b"none", target), BucketNotFoundError),
            (lambda: source.move_bucket(b"plain", target), IncompatibleValueError),
            (lambda: source.move_bucket(b"moved", source), IncompatibleValueError),
            (lambda: source.move_bucket(b"moved", moved), IncompatibleValueError),
            (lambda: source.move_bucket(b"moved", inner), IncompatibleValueError),
            (lambda: source.move_bucket(b"moved", target), IncompatibleValueError),
            (lambda: source.move_bucket(b"moved", other), IncompatibleValueError),
            (lambda: source.move_bucket(b"taken", target), BucketExistsError),
        ]
        for refused, error in refusals:
            with pytest.raises(error):
                refused()
        reader.rollback()
        assert contents(transaction.root) == before


def test_buckets_nest_only_so_deep(engine: BoltEngine) -> None:
    with engine.begin(writable=True) as transaction:
        bucket: Bucket = transaction.root
        for _ in range(256):
            bucket = bucket.create_bucket(b"deeper")
        with pytest.raises(NestingTooDeepError):
            bucket.create_bucket(b"deeper")
        with pytest.raises(NestingTooDeepError):
            transaction.root.move_bucket(b"source", bucket)
    with engine.begin(writable=True) as transaction:
        transaction.root.delete_bucket(b"deeper")


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 90)), max_size=25))
@settings(deadline=None)
def test_moves_agree_with_a_model(steps: list[tuple[int, int, int]]) -> None:
    disk = SimulatedDisk()
    engine = BoltEngine(disk, freelist_sync=True)
    model: dict[bytes, dict[bytes, dict[bytes, bytes]]] = {}
    with engine.begin(writable=True) as transaction:
        for number in range(5):
            transaction.root.create_bucket(b"%d" % number)
            model[b"%d" % number] = {}
    for source, target, size in steps:
        one, other = b"%d" % source, b"%d" % target
        with engine.begin(writable=True) as transaction:
            here, there = transaction.root.bucket(one), transaction.root.bucket(other)
            assert here is not None
            assert there is not None
            name = b"name-%d" % (size % 3)
            if name in model[one] and source != target and name not in model[other]:
                here.move_bucket(name, there)
                model[other][name] = model[one].pop(name)
            else:
                bucket = here.create_bucket_if_absent(name)
                bucket.put(b"%d" % size, b"x" * size * 20)
                model[one].setdefault(name, {})[b"%d" % size] = b"x" * size * 20
        assert check_disk(disk).faults == []
    with engine.begin() as reader:
        assert contents(reader.root) == model
