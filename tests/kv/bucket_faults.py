"""Buckets and counters that break one clause each; the class name is the fault."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from kv.wrapped_engine import WrappedBucket
from orlop.kv import (
    BucketExistsError,
    BucketNotFoundError,
    EngineError,
    IncompatibleValueError,
    KeyRequiredError,
    KeyTooLargeError,
    NestingTooDeepError,
    ReadOnlyError,
    ValueTooLargeError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kv.wrapped_engine import WrappedTransaction
    from orlop.kv import Bucket, Item, Tree


class CountsFromTwo(WrappedBucket):
    @property
    def sequence(self) -> int:
        return super().sequence + 1


class CutsZerosOff(WrappedBucket):
    def get(self, key: bytes) -> bytes | None:
        value = super().get(key)
        return value and value.rstrip(b"\0")


class TakesEmptyForMissing(WrappedBucket):
    def get(self, key: bytes) -> bytes | None:
        return super().get(key) or None


class KeepsTheFirstValue(WrappedBucket):
    def put(self, key: bytes, value: bytes) -> None:
        old = self.inner.get(key)
        super().put(key, value if old is None else old)


class DeletesNothing(WrappedBucket):
    def delete(self, key: bytes) -> None:
        if self.inner.get(key) is None:
            super().delete(key)


class DeletesTheNextOne(WrappedBucket):
    def delete(self, key: bytes) -> None:
        super().delete(next(self.inner.items(key), (key, b""))[0])


class RefusesToDeleteWhatIsMissing(WrappedBucket):
    def delete(self, key: bytes) -> None:
        if self.transaction.writable and next(self.inner.items(key), (b"",))[0] != key:
            raise BucketNotFoundError("no such key")
        super().delete(key)


class TakesBucketsForValues(WrappedBucket):
    def get(self, key: bytes) -> bytes | None:
        return b"" if self.inner.bucket(key) is not None else super().get(key)


class ShowsBucketsAsEmptyValues(WrappedBucket):
    def items(self, start: bytes = b"") -> Iterator[Item]:
        return ((key, value or b"") for key, value in super().items(start))


class OrdersShortKeysFirst(WrappedBucket):
    def items(self, start: bytes = b"") -> Iterator[Item]:
        return iter(sorted(super().items(start), key=lambda item: (len(item[0]), item[0])))


class OrdersSignedBytes(WrappedBucket):
    def items(self, start: bytes = b"") -> Iterator[Item]:
        return iter(sorted(super().items(start), key=lambda item: [at ^ 128 for at in item[0]]))


class CutsValuesOff(WrappedBucket):
    def put(self, key: bytes, value: bytes) -> None:
        super().put(key, value[:4096])


class CutsKeysOff(WrappedBucket):
    def put(self, key: bytes, value: bytes) -> None:
        super().put(key[:30_000], value)


class ReturnsTheOuterBucket(WrappedBucket):
    def create_bucket(self, name: bytes) -> Bucket:
        made = super().create_bucket(name)
        return self if self.path else made


class EmptiesWhatIsThere(WrappedBucket):
    def create_bucket_if_absent(self, name: bytes) -> Bucket:
        if self.path and self.inner.bucket(name) is not None:
            self.inner.delete_bucket(name)
        return super().create_bucket_if_absent(name)


class ListsWhatWasThereWhenItWasOpened(WrappedBucket):
    def __init__(
        self, inner: Bucket, transaction: WrappedTransaction, path: tuple[bytes, ...]
    ) -> None:
        super().__init__(inner, transaction, path)
        self.listed = list(inner.items())

    def items(self, start: bytes = b"") -> Iterator[Item]:
        return (item for item in self.listed if item[0] >= start)


class DeletesNoBucket(WrappedBucket):
    def delete_bucket(self, name: bytes) -> None:
        if self.inner.bucket(name) is None:
            super().delete_bucket(name)


class RemembersCounters(WrappedBucket):
    def delete_bucket(self, name: bytes) -> None:
        found = self.inner.bucket(name)
        self.transaction.notes[name] = found.sequence if found else 0
        super().delete_bucket(name)

    def create_bucket(self, name: bytes) -> Bucket:
        bucket = super().create_bucket(name)
        bucket.set_sequence(self.transaction.notes.pop(name, 0))
        return bucket


class KeepsNamesForOneKind(WrappedBucket):
    def delete(self, key: bytes) -> None:
        self.transaction.notes[key] = 1
        super().delete(key)

    def create_bucket(self, name: bytes) -> Bucket:
        if name in self.transaction.notes:
            raise IncompatibleValueError("a value had that name")
        return super().create_bucket(name)


class HoldsFewBuckets(WrappedBucket):
    def create_bucket(self, name: bytes) -> Bucket:
        if len(list(self.inner.items())) > 200:
            raise EngineError("full")
        return super().create_bucket(name)


class NestsToFifty(WrappedBucket):
    def create_bucket(self, name: bytes) -> Bucket:
        if len(self.path) >= 50:
            raise NestingTooDeepError("too deep")
        return super().create_bucket(name)


class NestsWithoutEnd(WrappedBucket):
    def create_bucket(self, name: bytes) -> Bucket:
        try:
            return super().create_bucket(name)
        except NestingTooDeepError:
            return self


class IgnoresEmptyKeys(WrappedBucket):
    def put(self, key: bytes, value: bytes) -> None:
        try:
            super().put(key, value)
        except KeyRequiredError:
            return


class IgnoresLongKeys(WrappedBucket):
    def put(self, key: bytes, value: bytes) -> None:
        try:
            super().put(key, value)
        except KeyTooLargeError:
            return


class IgnoresLongValues(WrappedBucket):
    def put(self, key: bytes, value: bytes) -> None:
        try:
            super().put(key, value)
        except ValueTooLargeError:
            return


class ReplacesBuckets(WrappedBucket):
    def put(self, key: bytes, value: bytes) -> None:
        if self.inner.bucket(key) is not None:
            self.inner.delete_bucket(key)
        super().put(key, value)


class ReplacesValues(WrappedBucket):
    def create_bucket(self, name: bytes) -> Bucket:
        if self.inner.get(name) is not None:
            self.inner.delete(name)
        return super().create_bucket(name)


class DeletesWhatItRefuses(WrappedBucket):
    def delete_bucket(self, name: bytes) -> None:
        try:
            super().delete_bucket(name)
        except IncompatibleValueError:
            self.inner.delete(name)
            raise


class CreatesTwice(WrappedBucket):
    def create_bucket(self, name: bytes) -> Bucket:
        try:
            return super().create_bucket(name)
        except BucketExistsError:
            return self.create_bucket_if_absent(name)


class DeletesMissingBuckets(WrappedBucket):
    def delete_bucket(self, name: bytes) -> None:
        try:
            super().delete_bucket(name)
        except BucketNotFoundError:
            return


class HoldsValuesOutermost(WrappedBucket):
    def put(self, key: bytes, value: bytes) -> None:
        if self.path:
            super().put(key, value)


class LetsReadersCount(WrappedBucket):
    def set_sequence(self, value: int) -> None:
        try:
            super().set_sequence(value)
        except ReadOnlyError:
            return


class AnswersForTheDeleted(WrappedBucket):
    def get(self, key: bytes) -> bytes | None:
        try:
            return super().get(key)
        except BucketNotFoundError:
            return None


class MovesWithoutCounters(WrappedBucket):
    def move_bucket(self, name: bytes, target: Bucket) -> None:
        super().move_bucket(name, target)
        moved = target.bucket(name)
        if moved is not None:
            moved.set_sequence(0)


class MovesNotFromTheOutermost(WrappedBucket):
    def move_bucket(self, name: bytes, target: Bucket) -> None:
        if not self.path:
            raise IncompatibleValueError("not from here")
        super().move_bucket(name, target)


class MovesACopy(WrappedBucket):
    def move_bucket(self, name: bytes, target: Bucket) -> None:
        moved = self.inner.bucket(name)
        if moved is not None:
            _copy(moved, target.create_bucket(name))
            self.inner.delete_bucket(name)


def _copy(source: Bucket, target: Bucket) -> None:
    target.set_sequence(source.sequence)
    for key, value in source.items():
        nested = source.bucket(key)
        if nested is not None:
            _copy(nested, target.create_bucket(key))
        else:
            target.put(key, value or b"")


class MovesOnlyOnce(WrappedBucket):
    def move_bucket(self, name: bytes, target: Bucket) -> None:
        super().move_bucket(name, target)
        self.transaction.notes[name] = 1

    def create_bucket(self, name: bytes) -> Bucket:
        if name in self.transaction.notes:
            raise BucketExistsError("it was here")
        return super().create_bucket(name)


class MovesOverWhatIsThere(WrappedBucket):
    def move_bucket(self, name: bytes, target: Bucket) -> None:
        if target.bucket(name) is not None and self.inner.bucket(name) is not None:
            target.delete_bucket(name)
        super().move_bucket(name, target)


class IgnoresMovesThatCannotBe(WrappedBucket):
    def move_bucket(self, name: bytes, target: Bucket) -> None:
        try:
            super().move_bucket(name, target)
        except (BucketNotFoundError, IncompatibleValueError):
            return


class StartsBehindTheStart(WrappedBucket):
    def items(self, start: bytes = b"") -> Iterator[Item]:
        return (item for item in super().items(start) if item[0] > start)


class IteratesByPlace(WrappedBucket):
    """As an iterator that keeps an index instead of a key."""

    def items(self, start: bytes = b"") -> Iterator[Item]:
        place = 0
        while (item := next(islice(self.inner.items(start), place, None), None)) is not None:
            yield item
            place += 1


class SharesItsIterator(WrappedBucket):
    shared: Iterator[Item] | None = None

    def items(self, start: bytes = b"") -> Iterator[Item]:
        if self.shared is None:
            self.shared = super().items(start)
        return self.shared


class ReturnsTheOldCount(WrappedBucket):
    def next_sequence(self) -> int:
        return super().next_sequence() - 1


class NeverCountsBack(WrappedBucket):
    def set_sequence(self, value: int) -> None:
        super().set_sequence(max(value, self.inner.sequence))


class CountsWithAFloat(WrappedBucket):
    def set_sequence(self, value: int) -> None:
        super().set_sequence(int(float(value)))


class CountsInOnePlace(WrappedBucket):
    @property
    def sequence(self) -> int:
        return self.transaction.inner.root.sequence


class CountsOnlyInside(WrappedBucket):
    def next_sequence(self) -> int:
        return super().next_sequence() if self.path else self.inner.sequence + 1


class ForgetsItsCountAtAPut(WrappedBucket):
    def put(self, key: bytes, value: bytes) -> None:
        super().put(key, value)
        self.inner.set_sequence(0)


class ForgetsWhatIsNested(WrappedBucket):
    def tree(self, name: bytes) -> Tree | None:
        found = self.inner.tree(name)
        return found and {key: value for key, value in found.items() if isinstance(value, bytes)}


class CreatesTreesInParts(WrappedBucket):
    def create_tree(self, name: bytes, tree: Tree) -> None:
        bucket = self.inner.create_bucket(name)
        for key, value in tree.items():
            if isinstance(value, bytes):
                bucket.put(key, value)
            else:
                bucket.create_tree(key, value)


class CreatesTreesWithoutWhatIsNested(WrappedBucket):
    def create_tree(self, name: bytes, tree: Tree) -> None:
        flat: Tree = {key: value for key, value in tree.items() if isinstance(value, bytes)}
        super().create_tree(name, flat)


class ListsTreesBackward(WrappedBucket):
    def trees(self, start: bytes = b"") -> Iterator[tuple[bytes, Tree]]:
        return reversed(list(self.inner.trees(start)))
