"""Every engine against a dictionary, step by step, for hypothesis to break.

The one module of the suite that needs hypothesis. A subclass says how a store is made, and
its `TestCase` is what a runner runs:

    class OurMachine(EngineMachine):
        def new_store(self): ...

    TestOurMachine = OurMachine.TestCase
"""

from __future__ import annotations

import copy
from contextlib import ExitStack
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orlop.testing.engine.expectations import Model, contents, expect_bucket, expect_equal
from orlop.testing.engine.store import PATIENCE_SECONDS

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from orlop.kv.contract import Bucket, Engine, Transaction, Tree
    from orlop.testing.engine.store import Store

_NAMES = st.sampled_from([b"a", b"b", b"c"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=3)
_KEYS = st.one_of(
    st.integers(0, 99).map(lambda number: b"key-%02d" % number),
    st.binary(min_size=1, max_size=20).map(lambda tail: b"k" + tail),
)
_VALUES = st.one_of(st.binary(max_size=30), st.integers(0, 6000).map(lambda length: b"x" * length))
_LEAVES: st.SearchStrategy[Tree] = st.dictionaries(_KEYS, _VALUES, max_size=60)
_TREES: st.SearchStrategy[Tree] = st.recursive(
    _LEAVES,
    lambda trees: st.builds(
        lambda values, nested: {**values, **nested},
        st.dictionaries(_KEYS, _VALUES, max_size=3),
        st.dictionaries(_NAMES, trees, max_size=3),
    ),
    max_leaves=4,
)
_MAX_READERS = 3


class EngineMachine(RuleBasedStateMachine):
    """One writer, a few readers that stay open, and reopening."""

    def new_store(self) -> AbstractContextManager[Store]:
        """Return a new database; the end of the block removes it."""
        raise NotImplementedError

    @initialize()
    def make(self) -> None:
        """Make a database and begin with a writer."""
        self.stack = ExitStack()
        self.store: Store = self.stack.enter_context(self.new_store())
        self.engine: Engine = self.store.open()
        self.committed: Model = {}
        self.readers: list[tuple[Transaction, Model]] = []
        self.is_left_to_next = False
        self._begin()

    def _begin(self) -> None:
        self.writer: Transaction = self.engine.begin(writable=True, timeout=PATIENCE_SECONDS)
        self.model: Model = copy.deepcopy(self.committed)

    def _place(self, path: list[bytes]) -> tuple[Bucket, Model]:
        bucket, inside = self.writer.root, self.model
        for name in path:
            bucket = bucket.create_bucket_if_absent(name)
            nested = inside.setdefault(name, {})
            if isinstance(nested, dict):
                inside = nested
        return bucket, inside

    @rule(path=_PATHS, key=_KEYS, value=_VALUES)
    def put(self, path: list[bytes], key: bytes, value: bytes) -> None:
        """Set a value."""
        bucket, inside = self._place(path)
        bucket.put(key, value)
        inside[key] = value
        expect_equal(bucket.get(key), value, "what was put is found")

    @rule(path=_PATHS, start=st.integers(0, 99), count=st.integers(1, 99), size=st.integers(0, 90))
    def put_many(self, path: list[bytes], start: int, count: int, size: int) -> None:
        """Set many values in no order."""
        bucket, inside = self._place(path)
        for number in range(start, start + count):
            key = b"key-%02d" % (number * 37 % 100)
            bucket.put(key, b"v" * size)
            inside[key] = b"v" * size

    @rule(path=_PATHS, name=_NAMES, tree=_TREES)
    def create_tree(self, path: list[bytes], name: bytes, tree: Tree) -> None:
        """Create a bucket with all that it holds, in the place of one that is there."""
        bucket, inside = self._place(path)
        if name in inside:
            bucket.delete_bucket(name)
        bucket.create_tree(name, tree)
        inside[name] = copy.deepcopy(tree)

    @rule(path=_PATHS, key=_KEYS)
    def delete(self, path: list[bytes], key: bytes) -> None:
        """Delete a value, there or not."""
        bucket, inside = self._place(path)
        bucket.delete(key)
        inside.pop(key, None)
        expect_equal(bucket.get(key), None, "what was deleted is gone")

    @rule(path=_PATHS, start=_KEYS, every=st.integers(1, 3), forward=st.booleans())
    def walk_and_delete(
        self, path: list[bytes], start: bytes, every: int, *, forward: bool
    ) -> None:
        """Walk with a cursor and delete on the way."""
        bucket, inside = self._place(path)
        cursor = bucket.cursor()
        item = cursor.seek(start) if forward else cursor.last()
        expected = sorted(key for key in inside if not forward or key >= start)
        seen = []
        while item is not None:
            seen.append(item[0])
            if item[1] is not None and len(seen) % every == 0:
                cursor.delete()
                del inside[item[0]]
            item = cursor.next() if forward else cursor.previous()
        expect_equal(seen, expected if forward else expected[::-1], "a walk passes every item once")

    @rule(path=_PATHS, start=_KEYS)
    def look_from(self, path: list[bytes], start: bytes) -> None:
        """Iterate from a key on."""
        bucket, inside = self._place(path)
        expected = sorted(key for key in inside if key >= start)
        expect_equal([key for key, _ in bucket.items(start)], expected, "items begin at the start")

    @rule(path=_PATHS, name=_NAMES)
    def delete_bucket(self, path: list[bytes], name: bytes) -> None:
        """Delete a bucket with all that it holds."""
        bucket, inside = self._place(path)
        if name in inside:
            bucket.delete_bucket(name)
            del inside[name]
        expect_equal(bucket.bucket(name), None, "a deleted bucket is gone")

    @rule(path=_PATHS, to=_PATHS, name=_NAMES)
    def move_bucket(self, path: list[bytes], to: list[bytes], name: bytes) -> None:
        """Move a bucket to where it may go."""
        bucket, inside = self._place(path)
        target, there = self._place(to)
        lies_within = to[: len(path) + 1] == [*path, name]
        if name in inside and name not in there and not lies_within:
            bucket.move_bucket(name, target)
            there[name] = inside.pop(name)

    @rule(path=_PATHS)
    def count(self, path: list[bytes]) -> None:
        """Raise a counter."""
        bucket, _ = self._place(path)
        before = bucket.sequence
        expect_equal(bucket.next_sequence(), before + 1, "a counter is raised by one")

    @rule()
    def commit(self) -> None:
        """Commit, and begin again."""
        self.writer.commit()
        self.committed = self.model
        self.is_left_to_next = False
        self._begin()

    @rule()
    def commit_with_next(self) -> None:
        """Leave a commit to the next one, and begin again."""
        self.writer.commit_with_next()
        self.committed = self.model
        self.is_left_to_next = True
        self._begin()

    @rule()
    def roll_back(self) -> None:
        """Roll back, and begin again."""
        self.writer.rollback()
        self._begin()

    @rule()
    @precondition(lambda self: len(self.readers) < _MAX_READERS and not self.is_left_to_next)
    def begin_reader(self) -> None:
        """Begin a reader that stays."""
        self.readers.append((self.engine.begin(), copy.deepcopy(self.committed)))

    @rule(at=st.integers(0, _MAX_READERS - 1))
    @precondition(lambda self: self.readers)
    def end_reader(self, at: int) -> None:
        """Look whether a reader still sees its version, and end it."""
        reader, model = self.readers.pop(at % len(self.readers))
        expect_equal(contents(reader.root), model, "a reader stays at its version")
        reader.rollback()

    @rule()
    def reopen(self) -> None:
        """Close and open again; uncommitted changes are gone."""
        self._end_all()
        self.engine.close()
        self.is_left_to_next = False
        self.engine = self.store.open()
        self._begin()

    @invariant()
    def agrees(self) -> None:
        """The writer sees the contents of the dictionary, in order."""
        expect_equal(contents(self.writer.root), self.model, "the engine agrees with a dictionary")
        for name in self.model:
            keys = [key for key, _ in expect_bucket(self.writer.root.bucket(name)).items()]
            expect_equal(keys, sorted(keys), "keys are ordered")

    def _end_all(self) -> None:
        self.writer.rollback()
        for reader, _ in self.readers:
            reader.rollback()
        self.readers.clear()

    def teardown(self) -> None:
        """End everything."""
        self._end_all()
        self.engine.close()
        self.stack.close()
