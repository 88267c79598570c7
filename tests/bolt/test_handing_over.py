"""Long operations let threads and signals have their turn, compiled or not.

The interpreter hands the lock over where it also looks for signals. So a timer that counts the
time of the processor sends a signal every millisecond, and the handler looks at the same clock:
what others do on the machine does not count.
"""

from __future__ import annotations

import gc
import resource
import signal
from typing import TYPE_CHECKING

import pytest

from orlop.bolt import BoltEngine, open_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

    from orlop.kv import Bucket

PAIRS = 60_000
RECORDS = 15_000
INTERVAL_SECONDS = 0.001
UNTOLD_SECONDS_MAX = 0.03
"""It takes 0.01, since the timer ticks with the clock of the system; else it would take 0.4."""


def own_seconds() -> float:
    """Return for how long this thread has computed; inside the system others go on anyway."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_utime


class Handler:
    """Notes for how long it was not called while an operation was at work, in seconds."""

    def __init__(self) -> None:
        self.longest = self.whole = self._last = 0.0

    def __call__(self, _: int, __: FrameType | None) -> None:
        now = own_seconds()
        self.longest = max(self.longest, now - self._last)
        self._last = own_seconds()

    def watch(self, operation: Callable[[], object]) -> None:
        before = signal.signal(signal.SIGVTALRM, self)
        gc.disable()  # a pass over all objects is one call, however long it takes
        begun = self._last = own_seconds()
        signal.setitimer(signal.ITIMER_VIRTUAL, INTERVAL_SECONDS, INTERVAL_SECONDS)
        try:
            operation()
            ended = own_seconds()
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            gc.enable()
            signal.signal(signal.SIGVTALRM, before)
        self.longest = max(self.longest, ended - self._last)
        self.whole += ended - begun


@pytest.fixture
def handler() -> Iterator[Handler]:
    handler = Handler()
    yield handler
    assert handler.whole > 2 * UNTOLD_SECONDS_MAX, "too short to say anything"
    assert handler.longest < UNTOLD_SECONDS_MAX


def fill(root: Bucket) -> None:
    pairs = root.create_bucket(b"pairs")
    for number in range(PAIRS):
        pairs.put(b"%016x" % (number * 7919 % PAIRS), bytes(64))
    records = root.create_bucket(b"records")
    for number in range(RECORDS):
        record = records.create_bucket(b"%08d" % number)
        record.put(b"target", bytes(100))
        record.create_bucket(b"labels").put(b"team", b"a")


def test_long_operations_of_the_engine(tmp_path: Path, handler: Handler) -> None:
    engine = open_engine(tmp_path / "long.db", sync=False)
    assert isinstance(engine, BoltEngine)
    with engine.begin(writable=True) as transaction:
        handler.watch(lambda: fill(transaction.root))
        handler.watch(transaction.commit)
    with engine.begin() as transaction:
        handler.watch(lambda: transaction.root.tree(b"pairs"))
        handler.watch(lambda: transaction.root.tree(b"records"))
    handler.watch(engine.bytes_in_use)
    engine.close()


def test_long_changes_of_a_file_without_a_freelist(tmp_path: Path, handler: Handler) -> None:
    file = tmp_path / "long.db"
    engine = open_engine(file, sync=False)
    with engine.begin(writable=True) as transaction:
        fill(transaction.root)
    engine.close()
    engine = open_engine(file, sync=False)
    with engine.begin(writable=True) as transaction:
        handler.watch(lambda: transaction.root.tree(b"records"))
        handler.watch(lambda: transaction.root.delete_bucket(b"records"))
        handler.watch(lambda: transaction.root.delete_bucket(b"pairs"))
        handler.watch(transaction.commit)
    engine.close()
