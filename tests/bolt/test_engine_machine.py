"""The engine against a dictionary, with readers that stay open, rollbacks and reopening."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bolt.gappy_files import PAGE_BY_PAGE
from bolt.model_bucket import Model, assert_sound_trees, contents
from bolt.simulated_disk import SimulatedDisk
from orlop.bolt import BoltEngine
from orlop.bolt.initialization import empty_database
from orlop.bolt.tools.check import check_disk

if TYPE_CHECKING:
    from orlop.bolt.transaction import BoltTransaction
    from orlop.kv import Bucket

names = st.sampled_from([b"a", b"b", b"c"])
paths = st.lists(names, max_size=2)
keys = st.one_of(
    st.integers(0, 400).map(lambda number: b"key-%04d" % number),
    st.binary(min_size=1, max_size=40).map(lambda tail: b"k" + tail),
    # Longer than a page of this test, so that branches overflow too.
    st.integers(0, 30).map(lambda number: b"key-%04d" % (number * 13) + b"long" * 300),
)
values = st.one_of(
    st.binary(max_size=30),
    st.integers(0, 9000).map(lambda length: b"x" * length),
)


class EngineMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.disk = SimulatedDisk(empty_database(1024))
        self.engine = self.open(None)
        self.committed: Model = {b"top": {}}
        self.readers: list[tuple[BoltTransaction, Model]] = []
        with self.engine.begin(writable=True) as transaction:
            transaction.root.create_bucket(b"top")
        self.writer = self.engine.begin(writable=True)
        self.model = copy.deepcopy(self.committed)

    def open(self, freelist_sync: bool | None) -> BoltEngine:  # noqa: FBT001 (as the rule has it)
        return BoltEngine(self.disk, freelist_sync=freelist_sync)

    def place(self, path: list[bytes]) -> tuple[Bucket, Model]:
        bucket: Bucket = self.writer.root.create_bucket_if_absent(b"top")
        inside = self.model.setdefault(b"top", {})
        assert isinstance(inside, dict)
        for name in path:
            bucket = bucket.create_bucket_if_absent(name)
            nested = inside.setdefault(name, {})
            assert isinstance(nested, dict)
            inside = nested
        return bucket, inside

    @rule(path=paths, key=keys, value=values)
    def put(self, path: list[bytes], key: bytes, value: bytes) -> None:
        bucket, inside = self.place(path)
        bucket.put(key, value)
        inside[key] = value
        assert bucket.get(key) == value

    @rule(path=paths, start=st.integers(0, 400), count=st.integers(1, 120), size=st.integers(0, 60))
    def put_many(self, path: list[bytes], start: int, count: int, size: int) -> None:
        bucket, inside = self.place(path)
        for number in range(start, start + count):
            key = b"key-%04d" % (number * 7919 % 1000)
            bucket.put(key, b"v" * size)
            inside[key] = b"v" * size

    @rule(path=paths, step=st.integers(2, 5))
    def delete_most(self, path: list[bytes], step: int) -> None:
        bucket, inside = self.place(path)
        for number, key in enumerate(sorted(inside)):
            if number % step and isinstance(inside[key], bytes):
                bucket.delete(key)
                del inside[key]
        assert_sound_trees(self.writer)

    @rule(path=paths, count=st.integers(1, 40))
    def put_long_keys(self, path: list[bytes], count: int) -> None:
        bucket, inside = self.place(path)
        for number in range(count):
            key = b"key-%04d" % (number * 13) + b"long" * 300
            bucket.put(key, b"v")
            inside[key] = b"v"

    @rule(path=paths, key=keys)
    def delete(self, path: list[bytes], key: bytes) -> None:
        bucket, inside = self.place(path)
        bucket.delete(key)
        inside.pop(key, None)
        assert bucket.get(key) is None

    @rule(path=paths, every=st.integers(1, 3), start=keys)
    def delete_while_iterating(self, path: list[bytes], every: int, start: bytes) -> None:
        bucket, inside = self.place(path)
        cursor = bucket.cursor()
        expected = [key for key in sorted(inside) if key >= start]
        seen = []
        item = cursor.seek(start)
        while item is not None:
            key, value = item
            seen.append(key)
            if value is not None and len(seen) % every == 0:
                cursor.delete()
                del inside[key]
            item = cursor.next()
        assert seen == expected

    @rule(path=paths, name=names)
    def delete_bucket(self, path: list[bytes], name: bytes) -> None:
        bucket, inside = self.place(path)
        if name in inside:
            bucket.delete_bucket(name)
            del inside[name]
        assert bucket.bucket(name) is None

    @rule(path=paths)
    def raise_sequence(self, path: list[bytes]) -> None:
        bucket, _ = self.place(path)
        before = bucket.sequence
        assert bucket.next_sequence() == before + 1

    @rule(path=paths)
    def walk_both_ways(self, path: list[bytes]) -> None:
        bucket, inside = self.place(path)
        cursor = bucket.cursor()
        backward = []
        item = cursor.last()
        while item is not None:
            backward.append(item[0])
            item = cursor.previous()
        assert backward == sorted(inside, reverse=True)

    @rule()
    def commit(self) -> None:
        assert_sound_trees(self.writer)
        self.writer.commit()
        self.committed = self.model
        self.begin_writer()
        assert check_disk(self.disk).faults == []

    @rule()
    def roll_back(self) -> None:
        self.writer.rollback()
        self.begin_writer()

    def begin_writer(self) -> None:
        self.writer = self.engine.begin(writable=True)
        self.model = copy.deepcopy(self.committed)

    @precondition(lambda self: len(self.readers) < 3)
    @rule()
    def begin_reader(self) -> None:
        self.readers.append((self.engine.begin(), copy.deepcopy(self.committed)))

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def end_reader(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.readers) - 1))
        reader, expected = self.readers.pop(index)
        assert contents(reader.root) == expected
        reader.rollback()

    @rule(freelist_sync=st.sampled_from([None, True, False]))
    def reopen(self, freelist_sync: bool | None) -> None:  # noqa: FBT001 (hypothesis passes by name)
        self.writer.rollback()
        for reader, _ in self.readers:
            reader.rollback()
        self.readers.clear()
        self.engine.close()
        self.disk = SimulatedDisk(self.disk.durable)
        self.engine = self.open(freelist_sync)
        self.begin_writer()

    @invariant()
    def the_writer_sees_its_changes(self) -> None:
        assert contents(self.writer.root) == self.model

    @invariant()
    def readers_see_their_version(self) -> None:
        for reader, expected in self.readers:
            assert contents(reader.root) == expected


class SearchingMachine(EngineMachine):
    """The same beside a search for free pages that goes on now and then, a page at a time."""

    def open(self, freelist_sync: bool | None) -> BoltEngine:  # noqa: FBT001 (as the rule has it)
        return BoltEngine(self.disk, freelist_sync=freelist_sync, searching=PAGE_BY_PAGE)

    @precondition(lambda self: self.engine._allocator.search is not None)
    @rule(steps=st.integers(1, 60))
    def search(self, steps: int) -> None:
        search = self.engine._allocator.search
        assert search is not None
        for _ in range(steps):
            if not search.step():
                break

    @precondition(lambda self: self.engine._allocator.search is None)
    @rule(numbers=st.lists(st.integers(0, 400), min_size=1, max_size=3), size=st.integers(0, 900))
    def put_in_an_opening_of_its_own(self, numbers: list[int], size: int) -> None:
        """As a short command does: space at the end of the file makes a search unnecessary."""
        self.reopen(None)
        for number in numbers:
            self.put([], b"key-%04d" % number, bytes(size))
        self.commit()


EngineMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestEngineMachine = EngineMachine.TestCase
SearchingMachine.TestCase.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None
)
TestSearchingMachine = SearchingMachine.TestCase
