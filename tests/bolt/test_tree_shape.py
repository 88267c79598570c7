"""How trees look after many changes: nodes that fit their page, filled well, merged when small."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from bolt.crafted_files import branch, buckets, crafted, leaf
from bolt.simulated_disk import SimulatedDisk
from orlop.bolt import BoltEngine
from orlop.bolt.initialization import empty_database
from orlop.bolt.node import Branch, Leaf, Node
from orlop.bolt.tools.check import check_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orlop.bolt.bucket import BoltBucket
    from orlop.bolt.transaction import BoltTransaction

PAGE_SIZE = 1024
KEYS = 3000


@dataclass(slots=True)
class Tree:
    """The nodes of a bucket's tree, by their distance from the root."""

    levels: list[list[Node]]

    @property
    def leaves(self) -> list[Leaf]:
        return [node for node in self.levels[-1] if isinstance(node, Leaf)]

    @property
    def branches(self) -> list[Branch]:
        return [node for level in self.levels for node in level if isinstance(node, Branch)]

    @property
    def below_root(self) -> list[Node]:
        return [node for level in self.levels[1:] for node in level]

    def fill(self) -> float:
        return sum(leaf.size for leaf in self.leaves) / len(self.leaves) / PAGE_SIZE


def tree_of(transaction: BoltTransaction, bucket: BoltBucket) -> Tree:
    levels: list[list[Node]] = [[bucket.root]]
    while any(isinstance(node, Branch) for node in levels[-1]):
        assert all(isinstance(node, Branch) for node in levels[-1]), "leaves at two depths"
        levels.append(list(_children(transaction, levels[-1])))
    return Tree(levels)


def _children(transaction: BoltTransaction, nodes: list[Node]) -> Iterator[Node]:
    for node in nodes:
        assert isinstance(node, Branch)
        for child in node.children:
            yield transaction.load(child) if isinstance(child, int) else child


def shape(steps: list[Callable[[BoltBucket], None]]) -> Tree:
    """Run each step in a transaction of its own, and return the shape of the bucket."""
    engine = BoltEngine(SimulatedDisk(empty_database(PAGE_SIZE)))
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"bucket")
    for step in steps:
        with engine.begin(writable=True) as transaction:
            bucket = transaction.root.bucket(b"bucket")
            assert bucket is not None
            step(bucket)
            in_memory = tree_of(transaction, bucket)
            assert_lawful(in_memory)
    with engine.begin() as transaction:
        bucket = transaction.root.bucket(b"bucket")
        assert bucket is not None
        tree = tree_of(transaction, bucket)
        assert_lawful(tree)
        return tree


def assert_lawful(tree: Tree) -> None:
    for node in tree.below_root + tree.levels[0]:
        least = 4 if isinstance(node, Branch) else 2
        assert node.size <= PAGE_SIZE or len(node.keys) < least, "a node that could be split"
    for node in tree.branches:
        assert len(node.children) >= 2
        assert node.keys == sorted(set(node.keys))
    for above, below in pairwise(tree.levels):
        keys = [key for node in above for key in node.keys]
        assert keys == [node.keys[0] for node in below], "bbolt would add a second entry for one"


def key(number: int) -> bytes:
    return b"key-%05d" % number


def put(numbers: list[int], value_bytes: int = 40) -> Callable[[BoltBucket], None]:
    def step(bucket: BoltBucket) -> None:
        for number in numbers:
            bucket.put(key(number), bytes(value_bytes))

    return step


def delete(numbers: list[int]) -> Callable[[BoltBucket], None]:
    def step(bucket: BoltBucket) -> None:
        for number in numbers:
            bucket.delete(key(number))

    return step


def shuffled(numbers: range) -> list[int]:
    return random.Random(1).sample(list(numbers), len(numbers))


def test_keys_at_random_fill_half_a_page_or_more() -> None:
    tree = shape([put(shuffled(range(KEYS)))])
    assert 0.5 < tree.fill() < 0.9
    assert min(leaf.size for leaf in tree.leaves) >= PAGE_SIZE // 3
    assert len(tree.levels) == 3


def test_keys_in_order_fill_their_pages() -> None:
    tree = shape([put(list(range(KEYS)))])
    assert tree.fill() > 0.9


def test_keys_in_order_behind_others_fill_their_pages_too() -> None:
    tree = shape([put(shuffled(range(500))), put(list(range(500, KEYS)))])
    assert tree.fill() > 0.85


def test_keys_against_the_order_fill_half_a_page() -> None:
    tree = shape([put(list(range(KEYS, 0, -1)))])
    assert 0.45 < tree.fill() < 0.7


@pytest.mark.parametrize("left", [0, 1, 5, 60])
def test_what_gets_small_is_merged(left: int) -> None:
    tree = shape([put(list(range(KEYS))), delete(shuffled(range(left, KEYS)))])
    assert sum(len(leaf.keys) for leaf in tree.leaves) == left
    assert len(tree.leaves) <= max(left // 5, 1)
    assert all(node.size >= PAGE_SIZE // 4 for node in tree.below_root)


def test_a_thinned_tree_keeps_its_pages_a_quarter_full() -> None:
    numbers = shuffled(range(KEYS))
    tree = shape([put(numbers), *(delete(numbers[at : at + 300]) for at in range(0, 2400, 300))])
    assert all(node.size >= PAGE_SIZE // 4 for node in tree.below_root)


def test_a_large_value_has_a_leaf_of_its_own() -> None:
    tree = shape([put(list(range(40))), put([20], 5000)])
    [large] = [leaf for leaf in tree.leaves if leaf.size > PAGE_SIZE]
    assert large.keys == [key(20)]


def test_a_value_that_grows_splits_its_leaf() -> None:
    tree = shape([put(list(range(12)), 50), *(put([number], 400) for number in range(12))])
    assert all(leaf.size <= PAGE_SIZE for leaf in tree.leaves)


def test_keys_larger_than_a_page() -> None:
    def step(bucket: BoltBucket) -> None:
        for number in range(30):
            bucket.put(key(number) * 300, b"")

    tree = shape([step])
    # Each leaf has one such key; a branch cannot have fewer than two.
    assert all(len(leaf.keys) == 1 for leaf in tree.leaves)
    assert all(len(branch.children) in {2, 3} for branch in tree.branches)


def test_a_branch_with_one_child_has_nothing_to_merge() -> None:
    # No writer leaves one, but a file may hold one.
    pages = {
        3: buckets(3, {b"v1": 4}),
        4: branch(4, {b"a": 5}),
        5: branch(5, {b"a": 6, b"b": 7}),
        6: leaf(6, {b"a": b"kept"}),
        7: leaf(7, {b"b": b"goes"}),
    }
    disk = crafted(pages)
    engine = BoltEngine(disk)
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.bucket(b"v1")
        assert bucket is not None
        bucket.delete(b"b")
    with engine.begin() as transaction:
        assert transaction.root.tree(b"v1") == {b"a": b"kept"}
    assert check_disk(disk).faults == []
