"""Faults in unawaited commits, and in the serial numbers of changes."""

from __future__ import annotations

from kv.wrapped_engine import WrappedEngine, WrappedTransaction


class CommitsNothingWithTheNext(WrappedTransaction):
    def commit_with_next(self) -> None:
        if self.writable and not self.has_ended:
            self.rollback()
        else:
            super().commit_with_next()


class CountsWhatIsDurable(WrappedEngine):
    @property
    def serial(self) -> int:
        return self.inner.durable_serial


class CountsEveryWriter(WrappedEngine):
    @property
    def serial(self) -> int:
        return sum(one.inner.writable and one.has_ended for one in self.begun)
