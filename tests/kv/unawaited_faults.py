"""Faults in commits that nobody waits for."""

from __future__ import annotations

from kv.wrapped_engine import WrappedTransaction


class CommitsNothingWithTheNext(WrappedTransaction):
    def commit_with_next(self) -> None:
        if self.writable and not self.has_ended:
            self.rollback()
        else:
            super().commit_with_next()
