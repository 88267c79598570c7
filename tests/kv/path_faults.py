"""Transactions that find the wrong bucket by its path; the class name is the fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kv.wrapped_engine import WrappedTransaction

if TYPE_CHECKING:
    from orlop.kv import Bucket, Path


class FindsTheNewestByPath(WrappedTransaction):
    def bucket(self, path: Path) -> Bucket | None:
        return super().bucket(path) if self.writable else self.engine.newest(path)


class FindsByPathWhatWasCommitted(WrappedTransaction):
    def bucket(self, path: Path) -> Bucket | None:
        return self.engine.newest(path) if self.writable else super().bucket(path)
