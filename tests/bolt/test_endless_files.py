"""Files with cyclic or repeated references: reading them ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bolt.simulated_disk import SimulatedDisk
from campaigns.bombs import DEEP, bombs
from orlop.bolt.reader import ReadingEngine
from orlop.kv import Bucket, CorruptError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orlop.kv import Item

    Walk = Callable[[Bucket], Iterator[Item]]

ITEMS_MAX = 100_000


def by_items(bucket: Bucket) -> Iterator[Item]:
    yield from bucket.items()


def forwards(bucket: Bucket) -> Iterator[Item]:
    cursor = bucket.cursor()
    item = cursor.first()
    while item is not None:
        yield item
        item = cursor.next()


def backwards(bucket: Bucket) -> Iterator[Item]:
    cursor = bucket.cursor()
    item = cursor.last()
    while item is not None:
        yield item
        item = cursor.previous()


def count(root: Bucket, walk: Walk) -> int:
    found, pending = 0, [root]
    while pending:
        bucket = pending.pop()
        for key, value in walk(bucket):
            found += 1
            assert found < ITEMS_MAX
            inner = bucket.bucket(key) if value is None else None
            if inner is not None:
                pending.append(inner)
    return found


@pytest.mark.parametrize("walk", [by_items, forwards, backwards])
@pytest.mark.parametrize("name", [name for name, _ in bombs() if name != DEEP])
def test_an_endless_file_is_corrupt(name: str, walk: Walk) -> None:
    transaction = ReadingEngine(SimulatedDisk(dict(bombs())[name])).begin()
    with transaction, pytest.raises(CorruptError):
        count(transaction.root, walk)


@pytest.mark.parametrize("walk", [by_items, forwards, backwards])
def test_a_file_of_deep_buckets_is_read_whole(walk: Walk) -> None:
    with ReadingEngine(SimulatedDisk(dict(bombs())[DEEP])).begin() as transaction:
        assert count(transaction.root, walk) == 4999
