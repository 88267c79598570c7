"""Cursors that break one clause each; the class name is the fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kv.wrapped_engine import WrappedBucket, WrappedCursor

if TYPE_CHECKING:
    from orlop.kv import Cursor, Item


class SkipsEverySecond(WrappedCursor):
    def next(self) -> Item | None:
        super().next()
        return super().next()


class BeginsAgainAtTheEnd(WrappedCursor):
    def next(self) -> Item | None:
        return super().next() or super().first()


class FindsOnlyTheKeyItself(WrappedCursor):
    def seek(self, key: bytes) -> Item | None:
        found = super().seek(key)
        return found if found and found[0] == key else None


class TiresOnLongWalks(WrappedCursor):
    moves = 0

    def next(self) -> Item | None:
        self.moves += 1
        return None if self.moves > 500 else super().next()


class InventsAnItem(WrappedCursor):
    def first(self) -> Item | None:
        return super().first() or (b"", b"")


class SharesItsCursor(WrappedBucket):
    shared: Cursor | None = None

    def cursor(self) -> Cursor:
        if self.shared is None:
            self.shared = super().cursor()
        return self.shared


class MovesOnWhenItDeletes(WrappedCursor):
    def delete(self) -> None:
        super().delete()
        super().next()


class DeletesBuckets(WrappedCursor):
    key: bytes | None = None

    def first(self) -> Item | None:
        found = super().first()
        self.key = found[0] if found else None
        return found

    def delete(self) -> None:
        if self.key is not None and self.bucket.inner.bucket(self.key) is not None:
            self.bucket.inner.delete_bucket(self.key)
        else:
            super().delete()


class IsLostByADelete(WrappedCursor):
    lost = False

    def delete(self) -> None:
        super().delete()
        self.lost = True

    def next(self) -> Item | None:
        return None if self.lost else super().next()


class WalksOverWhatWasThere(WrappedCursor):
    """As a cursor that lists the bucket when it is placed."""

    def __init__(self, inner: Cursor, bucket: WrappedBucket) -> None:
        super().__init__(inner, bucket)
        self.listed: list[Item] = []
        self.place = -1

    def _placed(self, found: Item | None) -> Item | None:
        self.listed = list(self.bucket.inner.items())
        self.place = self.listed.index(found) if found in self.listed else -1
        return found

    def first(self) -> Item | None:
        return self._placed(super().first())

    def last(self) -> Item | None:
        return self._placed(super().last())

    def seek(self, key: bytes) -> Item | None:
        return self._placed(super().seek(key))

    def _stepped(self, step: int) -> Item | None:
        self.place += step
        return self.listed[self.place] if 0 <= self.place < len(self.listed) else None

    def next(self) -> Item | None:
        return self._stepped(1)

    def previous(self) -> Item | None:
        return self._stepped(-1)
