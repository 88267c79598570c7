"""A run: mark, catch up, sweep, clean up.

The parts are separate on purpose. What is marked is a version T of the metadata; the
catch-up brings the mark to the version that is swept. So far updates wait during all three,
as in containerd, and there is nothing to catch up with.

Source: containerd, core/metadata/db.go (GarbageCollect); spec/metadata.md 3.8.
"""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter_ns
from typing import TYPE_CHECKING

from orlop.collect.cleaning import Cleaning
from orlop.collect.dirt import CONTENT_BACKEND
from orlop.collect.graph import Graph
from orlop.collect.marked import Marked
from orlop.collect.planning import check_again
from orlop.collect.rules import RuleBook
from orlop.collect.statistics import Statistics
from orlop.collect.sweep import sweep
from orlop.model.errors import OrlopError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from whenever import Instant

    from orlop.collect.dirt import Dirt
    from orlop.collect.domain import Domain
    from orlop.collect.named import Datum
    from orlop.collect.node import Node
    from orlop.collect.plan import Plan
    from orlop.collect.resources import Collection
    from orlop.kv import Transaction

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Swept:
    """What mark and sweep did; the durations are in nanoseconds."""

    removed: list[Node]
    kept: int
    mark_nanoseconds: int
    sweep_nanoseconds: int
    pause_nanoseconds: int


def collect(domain: Domain, dirt: Dirt, plan: Plan | None = None) -> Statistics:
    """Remove what nothing holds.

    Args:
        domain: the database.
        dirt: which backends are to be cleaned.
        plan: what may be removed at most; `None`: all that nothing holds.

    Raises:
        FailedPreconditionError: the plan is out of date, or this thread has an update open.
    """
    with collections_begun(domain) as collections:
        swept = _mark_and_sweep(domain, collections, plan)
    # What was removed is durably gone from here on; a failure only leaves data behind.
    _finish(collections)
    only = None if plan is None else {one for removal in plan.nodes for one in removal.data}
    return _clean_up(domain, dirt, swept, only)


def mark(domain: Domain, collections: Mapping[str, Collection], now: Instant) -> Marked:
    """Read the graph from the newest version, and mark it for `now`."""
    return domain.transactor.read(
        lambda transaction: mark_in(domain, transaction, collections, now)
    )


def mark_in(
    domain: Domain, transaction: Transaction, collections: Mapping[str, Collection], now: Instant
) -> Marked:
    """Read the graph from the version of a transaction, and mark it for `now`."""
    labels = [(kind, domain.resources[kind].reference_label) for kind in collections]
    graph = Graph.read(transaction, RuleBook(labels))
    graph.add_collections(collections)
    return Marked(graph, now)


@contextmanager
def collections_begun(domain: Domain) -> Iterator[dict[str, Collection]]:
    """Begin the part of each other resource; all are cancelled if the block fails.

    One that cannot begin is left out.
    """
    collections: dict[str, Collection] = {}
    try:
        for kind, resource in sorted(domain.resources.items()):
            try:
                collections[kind] = resource.begin()
            except (OrlopError, OSError):
                _logger.exception("resources of type %s are left out of this collection", kind)
        yield collections
    except BaseException:
        cancel(collections)
        raise


def cancel(collections: Mapping[str, Collection]) -> None:
    """End the part of each other resource: nothing was removed."""
    for kind, collection in collections.items():
        try:
            collection.cancel()
        except (OrlopError, OSError):
            _logger.exception("the collection of type %s could not be cancelled", kind)


def _finish(collections: Mapping[str, Collection]) -> None:
    for kind, collection in collections.items():
        try:
            collection.finish()
        except (OrlopError, OSError):
            _logger.exception("the collection of type %s could not be finished", kind)


def _mark_and_sweep(
    domain: Domain, collections: Mapping[str, Collection], plan: Plan | None
) -> Swept:
    with domain.gate.exclusive():
        begun = perf_counter_ns()
        marked = mark(domain, collections, domain.transactor.clock.now())
        garbage = marked.garbage
        if plan is not None:
            garbage = domain.transactor.read(
                lambda transaction: check_again(transaction, marked, plan.nodes)
            )
        was_marked = perf_counter_ns()
        if garbage:
            with domain.transactor.update() as update:
                sweep(domain.transactor, update, garbage, collections)
        ended = perf_counter_ns()
    return Swept(
        removed=garbage,
        kept=marked.kept,
        mark_nanoseconds=was_marked - begun,
        sweep_nanoseconds=ended - was_marked,
        pause_nanoseconds=ended - begun,
    )


def _clean_up(domain: Domain, dirt: Dirt, swept: Swept, only: set[Datum] | None) -> Statistics:
    cleaning = Cleaning(domain, dirt, only)
    cleaning.run()
    content_nanoseconds = cleaning.durations.pop(CONTENT_BACKEND, 0)
    return Statistics(
        pause_nanoseconds=swept.pause_nanoseconds,
        mark_nanoseconds=swept.mark_nanoseconds,
        sweep_nanoseconds=swept.sweep_nanoseconds,
        content_nanoseconds=content_nanoseconds,
        snapshot_nanoseconds=cleaning.durations,
        removed=dict(Counter(node.type for node in swept.removed)),
        kept=swept.kept,
        deleted=cleaning.deleted,
        freed_bytes=cleaning.freed_bytes,
        failures=cleaning.failures,
    )
