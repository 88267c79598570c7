"""Metrics of collections: plain numbers, for any exporter.

Counters only grow while the database is open. Names and units are those that Prometheus asks
for: seconds, bytes, `_total`.

Source: containerd, core/metadata and plugins/gc (counter of collections by status, timer of
collections); Prometheus, metric and label naming.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from orlop.concurrency.ownership import Mutex
from orlop.gc.dirty_backends import shown
from orlop.storage.contract import CONTENT_BACKEND

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from whenever import Instant

    from orlop.gc.context import CollectionContext
    from orlop.gc.plan import Statistics

COUNTER: Final = "counter"
GAUGE: Final = "gauge"

_SECOND: Final = 10**9


class Sample(NamedTuple):
    """One number.

    Attributes:
        name: the name of the metric.
        kind: a counter, or a gauge.
        help: what it counts or measures.
        value: the number.
        labels: what tells samples of one metric apart.
    """

    name: str
    kind: str
    help: str
    value: float
    labels: Mapping[str, str] = {}


_COLLECTIONS: Final = ("orlop_gc_collections_total", "Collections, by how they ended.")
_REMOVED: Final = ("orlop_gc_removed_records_total", "Records that were removed, by type.")
_DELETED: Final = ("orlop_gc_deleted_total", "Blobs, ingests and snapshots deleted from disk.")
_FREED: Final = ("orlop_gc_freed_bytes_total", "Bytes that were freed on disk.")
_PARTS: Final = ("orlop_gc_seconds_total", "Time that collections took, by part.")
_CLEANUPS: Final = ("orlop_gc_cleanup_seconds_total", "Time that cleanups took, by backend.")
_FAILED_CLEANUPS: Final = ("orlop_gc_failed_cleanups_total", "Failed cleanups, by backend.")
_KEPT: Final = ("orlop_gc_kept_records", "Records that the last collection found to be held.")
_LONGEST: Final = ("orlop_gc_longest_pause_seconds", "The longest that updates had to wait.")
_CLAIMS: Final = ("orlop_gc_claims", "Names that are being made or named, by backend.")
_NEAREST: Final = (
    "orlop_gc_nearest_change_timestamp_seconds",
    "When time alone changes what is held, in seconds since 1970.",
)
_JOURNAL: Final = ("orlop_gc_journal_bytes", "What the journal takes.")
_JOURNAL_FAILURES: Final = ("orlop_gc_journal_failures_total", "Failed writes to the journal.")


class Metrics:
    """Counters of the collections of one database; thread-safe."""

    def __init__(self) -> None:
        self._mutex = Mutex()
        self._succeeded = 0
        self._failed = 0
        self._removed: Counter[str] = Counter()
        self._deleted = 0
        self._freed_bytes = 0
        self._parts: Counter[str] = Counter(pause=0, mark=0, sweep=0)
        self._cleanups: Counter[str] = Counter()
        self._failed_cleanups: Counter[str] = Counter()
        self._kept = 0
        self._longest_pause = 0

    def add(self, statistics: Statistics) -> None:
        """Count a collection that has ended well."""
        with self._mutex:
            self._succeeded += 1
            self._removed.update(statistics.removed)
            self._deleted += statistics.deleted
            self._freed_bytes += statistics.freed_bytes
            self._parts["pause"] += statistics.pause_nanoseconds
            self._parts["mark"] += statistics.mark_nanoseconds
            self._parts["sweep"] += statistics.sweep_nanoseconds
            self._cleanups[shown(CONTENT_BACKEND)] += statistics.content_nanoseconds
            self._cleanups.update(statistics.snapshot_nanoseconds)
            self._failed_cleanups.update(dict.fromkeys(statistics.failures, 1))
            self._kept = statistics.kept
            self._longest_pause = max(self._longest_pause, statistics.longest_pause_nanoseconds)

    def add_failure(self) -> None:
        """Count a collection that has failed."""
        with self._mutex:
            self._failed += 1

    def samples(self) -> Iterator[Sample]:
        """Return an iterator over the counts of this moment."""
        with self._mutex:  # no generator here: one that is read half-way would keep the lock
            samples = tuple(self._samples())
        return iter(samples)

    def _samples(self) -> Iterator[Sample]:
        statuses = {"success": self._succeeded, "fail": self._failed}
        yield from _counters(_COLLECTIONS, "status", statuses)
        yield from _counters(_REMOVED, "type", self._removed)
        yield _counter(_DELETED, self._deleted)
        yield _counter(_FREED, self._freed_bytes)
        yield from _counters(_PARTS, "part", _in_seconds(self._parts))
        yield from _counters(_CLEANUPS, "backend", _in_seconds(self._cleanups))
        yield from _counters(_FAILED_CLEANUPS, "backend", self._failed_cleanups)
        yield _gauge(_KEPT, self._kept)
        yield _gauge(_LONGEST, self._longest_pause / _SECOND)


def measured(context: CollectionContext, nearest: Instant | None) -> Iterator[Sample]:
    """Iterate over the gauges, measured now.

    Args:
        context: the database.
        nearest: the next moment at which something expires, if it is known.
    """
    for name in (CONTENT_BACKEND, *context.snapshotters):
        yield _gauge(_CLAIMS, len(context.claims(name)), backend=shown(name))
    if nearest is not None:
        yield _gauge(_NEAREST, nearest.timestamp(unit="nanosecond") / _SECOND)
    if context.journal is not None:
        yield _gauge(_JOURNAL, context.journal.size)
        yield _counter(_JOURNAL_FAILURES, context.journal.failures)


def _counters(metric: tuple[str, str], label: str, values: Mapping[str, float]) -> Iterator[Sample]:
    for name, value in sorted(values.items()):
        yield Sample(metric[0], COUNTER, metric[1], value, {label: name})


def _counter(metric: tuple[str, str], value: float) -> Sample:
    return Sample(metric[0], COUNTER, metric[1], value)


def _gauge(metric: tuple[str, str], value: float, **labels: str) -> Sample:
    return Sample(metric[0], GAUGE, metric[1], value, labels)


def _in_seconds(durations: Mapping[str, int]) -> dict[str, float]:
    return {name: nanoseconds / _SECOND for name, nanoseconds in durations.items()}
