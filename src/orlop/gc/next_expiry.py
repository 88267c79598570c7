"""The next expiry: the nearest moment at which time alone changes the set of held nodes.

That is the expiry of a lease, an image or an ingest, or the moment at which a condition on the
use of a snapshot begins or ceases to hold. An idle database collects then.

containerd collects only after changes: there, expired records of an idle database stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from whenever import Instant

from orlop.gc.fast_load import load_beside_writers
from orlop.gc.graph import Graph
from orlop.gc.rules import RuleBook

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orlop.gc.rules import Comparison
    from orlop.transactions import Transactions

_LOWEST: Final = Instant.MIN.timestamp(unit="nanosecond")
_HIGHEST: Final = Instant.MAX.timestamp(unit="nanosecond")
_INT64_MAX: Final = (1 << 63) - 1


class NextExpiry:
    """Finds the smallest of moments after the present; only one is kept."""

    def __init__(self, now: Instant) -> None:
        """Begin without any.

        Args:
            now: the present.
        """
        self._now = now.timestamp(unit="nanosecond")
        self._found: int | None = None

    @property
    def moment(self) -> Instant | None:
        """The first moment at which something is otherwise than now; `None`: there is none."""
        if self._found is None:
            return None
        return Instant.from_timestamp(self._found, unit="nanosecond")

    def add_expiry(self, expires_at: Instant) -> None:
        """Include an expiry, which takes effect strictly after its moment."""
        self._add(expires_at.timestamp(unit="nanosecond") + 1)

    def add_condition(self, comparisons: Iterable[Comparison], used_at: Iterable[int]) -> None:
        """Include a condition, which is met while any comparison is true.

        Args:
            comparisons: what it consists of.
            used_at: when the snapshot was used, in nanoseconds since 1970.
        """
        compared = tuple(comparisons)
        uses = tuple(used_at)

        def holds(now: int) -> bool:
            return any(one.holds(at, now) for one in compared for at in uses)

        holds_now = holds(self._now)
        changes = sorted({_change(one, at) for one in compared for at in uses})
        for moment in changes:
            if moment > self._now and holds(moment) != holds_now:
                self._add(moment)
                return

    def _add(self, moment: int) -> None:
        is_earlier = self._found is None or moment < self._found
        if is_earlier and self._now < moment and _LOWEST <= moment <= _HIGHEST:
            self._found = moment


def _change(comparison: Comparison, used_at: int) -> int:
    """Return the first moment at which a comparison is otherwise than before."""
    if comparison.is_less:
        return used_at + comparison.nanoseconds
    if comparison.nanoseconds >= _INT64_MAX:
        return _LOWEST  # more than that never is
    return used_at + comparison.nanoseconds + 1


def next_expiry(graph: Graph, now: Instant) -> Instant | None:
    """Return the nearest moment of a graph; `None`: there is none."""
    nearest = NextExpiry(now)
    for _, moment in graph.expiries():
        nearest.add_expiry(moment)
    for comparisons, used_at in graph.conditions():
        nearest.add_condition(comparisons, used_at)
    return nearest.moment


def read_next_expiry(transactor: Transactions, now: Instant) -> Instant | None:
    """Return the nearest moment of a database; records are read beside writers.

    Args:
        transactor: where to read.
        now: the present.

    Raises:
        UnavailableError: the file changes all the time.
        DataLossError: the database is damaged.
    """
    graph = Graph()
    load_beside_writers(graph, transactor, RuleBook(lasting=transactor.clock.lasting), _no_gate)
    return next_expiry(graph, now)


def _no_gate() -> None:
    """Do not yield: no writer waits for this."""
