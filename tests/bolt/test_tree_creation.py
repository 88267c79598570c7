"""Trees that are created at once leave the file that creating and putting leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from bolt.simulated_disk import SimulatedDisk
from orlop.bolt.engine import BoltEngine
from orlop.bolt.initialization import empty_database
from orlop.bolt.tools.check import check_disk

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.kv import Bucket, Tree

PAGE_BYTES = 1024

KEYS = st.one_of(st.binary(min_size=1, max_size=30), st.integers(0, 400).map(lambda n: b"k%d" % n))
VALUES = st.one_of(st.binary(max_size=40), st.integers(0, 3_000).map(lambda size: b"x" * size))
TREES: st.SearchStrategy[Tree] = st.recursive(
    st.dictionaries(KEYS, VALUES, max_size=40),
    lambda trees: st.dictionaries(KEYS, trees | VALUES, max_size=6),
    max_leaves=8,
)
RECORDS: st.SearchStrategy[Tree] = st.dictionaries(
    st.binary(min_size=1, max_size=12),
    st.one_of(
        st.binary(max_size=30),
        st.dictionaries(st.binary(min_size=1, max_size=12), st.binary(max_size=12), max_size=5),
    ),
    max_size=5,
)
"""Such as containerd has them: a leaf with values and small buckets."""


def put_one_by_one(bucket: Bucket, name: bytes, tree: Tree) -> None:
    made = bucket.create_bucket(name)
    for key, value in sorted(tree.items()):
        if isinstance(value, bytes):
            made.put(key, value)
        else:
            put_one_by_one(made, key, value)


def create_at_once(bucket: Bucket, name: bytes, tree: Tree) -> None:
    bucket.create_tree(name, tree)


def file_with(tree: Tree, create: Callable[[Bucket, bytes, Tree], None]) -> bytes:
    disk = SimulatedDisk(empty_database(PAGE_BYTES))
    engine = BoltEngine(disk)
    with engine.begin(writable=True) as transaction:
        outer = transaction.root.create_bucket(b"outer")
        create(outer, b"made", tree)
        outer.create_bucket(b"after").put(b"key", b"value")
    with engine.begin(writable=True) as transaction:
        found = transaction.root.bucket(b"outer")
        assert found is not None
        found.put(b"later", b"1")
    engine.close()
    return disk.read(0, disk.size())


@given(tree=TREES)
def test_what_was_created_is_what_single_puts_leave(tree: Tree) -> None:
    at_once = file_with(tree, create_at_once)
    assert not check_disk(SimulatedDisk(at_once)).faults
    assert contents(at_once) == contents(file_with(tree, put_one_by_one))


@given(tree=RECORDS)
def test_a_small_tree_leaves_the_very_same_bytes(tree: Tree) -> None:
    assert file_with(tree, create_at_once) == file_with(tree, put_one_by_one)


def contents(file: bytes) -> Tree:
    return dict(BoltEngine(SimulatedDisk(file)).begin().root.trees())
