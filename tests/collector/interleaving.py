"""Writers that interleave with a collection at chosen moments."""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from orlop.gc import run as running
from orlop.gc.node import CONTENT, IMAGE, INGEST, LEASE, SANDBOX, SNAPSHOT, split_snapshot
from orlop.gc.sweep import SweepBatches, sweep_batches
from orlop.gc.tracker import GraphTracker
from orlop.schema import containers, content, images, ingests, leases, sandboxes, snapshots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import Any

    from orlop.gc.resources import CheckedSession
    from orlop.kv import Transaction


@contextmanager
def interleaved(moment: str, write: Callable[[], None]) -> Iterator[None]:
    """Call `write` at one moment of each collection that runs in the block.

    Args:
        moment: `read`: when all records were read, before anything is marked; `marked`: when
            all is marked, before updates wait; `between`: before each piece of the sweep,
            which is as small as can be, or all where other resources take part.
        write: writes.
    """
    with {"read": _after_reading, "marked": _after_marking, "between": _between}[moment](write):
        yield


def _after_reading(write: Callable[[], None]) -> AbstractContextManager[object]:
    begin, catch_up_until_close = GraphTracker.begin, GraphTracker.catch_up_until_close
    waiting: list[Callable[[], None]] = []

    def begin_anew(self: GraphTracker) -> None:
        waiting.append(write)
        begin(self)

    def write_and_catch_up(self: GraphTracker) -> None:
        while waiting:
            waiting.pop()()
        catch_up_until_close(self)

    stack = ExitStack()
    stack.enter_context(mock.patch.object(GraphTracker, "begin", begin_anew))
    stack.enter_context(mock.patch.object(GraphTracker, "catch_up_until_close", write_and_catch_up))
    return stack


def _after_marking(write: Callable[[], None]) -> AbstractContextManager[object]:
    begin = GraphTracker.begin

    def begin_and_write(self: GraphTracker) -> None:
        begin(self)
        write()

    return mock.patch.object(GraphTracker, "begin", begin_and_write)


def _between(write: Callable[[], None]) -> AbstractContextManager[object]:
    run_batch = SweepBatches.run_batch
    sweep_with_sessions = running._Run._sweep_with_sessions

    def cut(*arguments: Any, **options: Any) -> Iterator[list[int]]:
        return sweep_batches(*arguments, **{**options, "size": 1})

    def run_one(self: SweepBatches, remaining: deque[list[int]], *arguments: Any) -> None:
        write()
        run_batch(self, deque([remaining.popleft()]), *arguments)

    def run_whole(self: running._Run, sessions: dict[str, CheckedSession]) -> None:
        write()
        sweep_with_sessions(self, sessions)

    stack = ExitStack()
    stack.enter_context(mock.patch.object(running, "sweep_batches", cut))
    stack.enter_context(mock.patch.object(SweepBatches, "run_batch", run_one))
    stack.enter_context(mock.patch.object(running._Run, "_sweep_with_sessions", run_whole))
    return stack


def remove_record(transaction: Transaction, kind: str, namespace: str, key: str) -> None:
    """Remove a record as its store does, if it is there."""
    if kind == SNAPSHOT:
        snapshotter, name = split_snapshot(key)
        bucket = snapshots.find(transaction, namespace, snapshotter)
        parent = snapshots.parent(bucket, name)
        if parent:
            snapshots.remove_child(bucket, parent, name)
        snapshots.delete(bucket, name)
        return
    store: Any = {
        LEASE: leases,
        INGEST: ingests,
        CONTENT: content,
        IMAGE: images,
        SANDBOX: sandboxes,
    }.get(kind, containers)
    store.delete(store.find(transaction, namespace), key)
