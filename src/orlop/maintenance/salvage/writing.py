"""Writing the recovered leaves into the new file, in transactions of some megabytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orlop.bolt.limits import MAX_NESTING
from orlop.bolt.node import BUCKET_FLAG
from orlop.bolt.page import decode_bucket
from orlop.bolt.tools.walk import nested_path
from orlop.kv.errors import CorruptError, EngineError
from orlop.maintenance.salvage.report import Loss

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.bolt.bucket import BoltBucket
    from orlop.bolt.engine import BoltEngine
    from orlop.bolt.node import Leaf
    from orlop.bolt.tools.walk import BucketPath
    from orlop.maintenance.salvage.reading import Spot

_TRANSACTION_BYTES: Final = 4 * 1024 * 1024


class Sink:
    """Takes leaves. Existing keys are never overwritten.

    Attributes:
        entries: how many values and buckets were taken since it was last set.
    """

    def __init__(self, target: BoltEngine, lose: Callable[[Loss], None]) -> None:
        """Write into `target`, and report losses to `lose`."""
        self.entries = 0
        self._target = target
        self._lose = lose
        self._writing = target.begin(writable=True)
        self._pending = 0

    def take(self, spot: Spot, leaf: Leaf) -> dict[bytes, bool]:
        """Take all that is on a leaf; see `orlop.maintenance.salvage.reading.Take`."""
        bucket = self._opened(spot)
        if bucket is None:
            return {}
        followed = {}
        for index, key in enumerate(leaf.keys):
            if bucket.find(key) is not None:
                self._lose_record(spot, key, "its key is there twice", is_gap=False)
            elif self._put(bucket, spot, leaf, index):
                followed[key] = spot.is_lost
        return followed

    def fill(
        self, spot: Spot, leaf: Leaf, is_gap: Callable[[BucketPath | None, bytes], bool]
    ) -> dict[bytes, bool]:
        """Restore the keys of a leaf that were lost in its place, and no other keys."""
        bucket = self._opened(spot)
        if bucket is None:
            return {}
        followed = {}
        for index, key in enumerate(leaf.keys):
            found = bucket.find(key)
            if found is not None:
                followed[key] = False
            elif (spot.is_lost or is_gap(spot.bucket, key)) and self._put(
                bucket, spot, leaf, index
            ):
                followed[key] = True
        return followed

    def add(self, spot: Spot, leaf: Leaf) -> dict[bytes, bool]:
        """Take the keys that are not there yet, and report none that are."""
        return self.fill(spot, leaf, lambda _path, _key: True)

    def set_sequence(self, sequence: int) -> None:
        """Set the counter of the outermost bucket."""
        self._writing.root.set_sequence(sequence)

    def commit(self) -> None:
        """Make the taken leaves durable."""
        self._writing.commit()

    def rollback(self) -> None:
        """Give up the leaves taken since the last commit."""
        self._writing.rollback()

    def _opened(self, spot: Spot) -> BoltBucket | None:
        if self._pending > _TRANSACTION_BYTES:
            self._writing.commit()
            self._writing, self._pending = self._target.begin(writable=True), 0
        bucket = self._writing.root
        path = spot.bucket
        try:
            if path is not None and path.depth > MAX_NESTING:
                raise CorruptError(f"nested in {path.depth} buckets")
            for name in () if path is None else path.names(MAX_NESTING):
                bucket = bucket.create_bucket_if_absent(name)
        except EngineError as error:
            self._lose(spot.lost(f"its bucket cannot be made: {error}"))
            return None
        return bucket

    def _put(self, bucket: BoltBucket, spot: Spot, leaf: Leaf, index: int) -> bool:
        key, value, flag = leaf.keys[index], leaf.values[index], leaf.flags[index]
        if not isinstance(value, bytes):
            return False
        try:
            if not flag & BUCKET_FLAG:
                bucket.put(key, value)
            else:
                self._put_bucket(bucket, spot, key, value)
        except EngineError as error:
            self._lose_record(spot, key, str(error), is_gap=True)
            return False
        self.entries += 1
        self._pending += len(key) + len(value)
        return True

    def _put_bucket(self, bucket: BoltBucket, spot: Spot, key: bytes, value: bytes) -> None:
        """Put a bucket, and its inline contents: in a damaged file buckets, too."""
        pending = [(bucket, spot.bucket, key, value)]
        while pending:
            outside, path, name, stored = pending.pop()
            nested = nested_path(path, name)
            header, inline = decode_bucket(stored)
            made = outside.create_bucket(name)
            made.set_sequence(header.sequence)
            if inline is None:
                if outside is not bucket:
                    self._lose_at(spot, nested, "its pages are named by an inline bucket")
                continue
            for inner, item, flag in zip(inline.keys, inline.values, inline.flags, strict=True):
                if not isinstance(item, bytes) or made.find(inner) is not None:
                    continue
                if not flag & BUCKET_FLAG:
                    made.put(inner, item)
                elif nested.depth < MAX_NESTING:
                    pending.append((made, nested, inner, item))
                else:
                    self._lose_at(
                        spot, nested_path(nested, inner), f"nested in {MAX_NESTING} buckets"
                    )
                    continue
                self.entries += 1

    def _lose_record(self, spot: Spot, key: bytes, why: str, *, is_gap: bool) -> None:
        self._lose_at(spot, nested_path(spot.bucket, key), why, is_gap=is_gap)

    def _lose_at(self, spot: Spot, path: BucketPath, why: str, *, is_gap: bool = False) -> None:
        self._lose(Loss(spot.page, path, why, is_of_record=True, is_gap=is_gap))
