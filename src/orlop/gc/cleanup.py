"""The cleanup of a backend: data that no metadata names is deleted.

It runs after the sweep, while everybody goes on. What is garbage is found without a lock.
Then, some at a time, the names of it are taken (`orlop.stores.claims`), looked up in the
metadata once more, and their data is moved out of sight; only after that, with no name taken,
it is deleted: nobody waits for the disk. What somebody is making or naming is passed over. A
process that is killed at any point leaves what the next cleanup finds.

Source: containerd, core/metadata/content.go and snapshot.go (garbageCollect); spec/metadata.md
3.8. There the whole backend is locked meanwhile.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from orlop.gc.journal import DELETED, Entry
from orlop.gc.missing import Uncertain, settle_commits
from orlop.gc.named import FILES, Datum, still_named
from orlop.gc.resources import reason_of
from orlop.gc.stock import descendants, take_stock
from orlop.model.errors import FailedPreconditionError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from orlop.gc.domain import Domain
    from orlop.gc.stock import Stock

_NAMED_MAX: Final = 5
"""So many mounts are named in one message."""

_AT_ONCE: Final = 64
"""How many names are taken at once: whoever needs one of them waits that long."""

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Cleaned:
    """What a cleanup did.

    Attributes:
        deleted: how many blobs, ingests or snapshots it deleted.
        freed_bytes: what they took on disk.
        set_aside: how much is left because the metadata is or was in doubt.
        set_aside_bytes: what that takes on disk.
        passed_over: how many it left because somebody was making or naming them.
        warning: why something is kept for snapshots that have no data; empty: nothing is.
    """

    deleted: int = 0
    freed_bytes: int = 0
    set_aside: int = 0
    set_aside_bytes: int = 0
    passed_over: int = 0
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """What may be deleted.

    Attributes:
        only: what at most; `None`: all that nothing names.
        release: also what is set aside, or would be.
    """

    only: Collection[Datum] | None = None
    release: bool = False


def clean(
    domain: Domain,
    name: str,
    cleaned: Cleaned,
    order: Order,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Delete what no namespace names in a backend, and what removed data left there.

    Where the metadata is in doubt, that is set aside instead.

    Args:
        domain: the database.
        name: the snapshotter, or `CONTENT_BACKEND`.
        cleaned: where to note what was done, also if this fails half-way.
        order: what may be deleted.
        advance: is called before each step; what it raises ends the cleanup.

    Raises:
        FailedPreconditionError: something is mounted in what was to be deleted; all the rest was.
        OrlopError, OSError: something could not be read, noted or deleted.
    """
    domain.quarantine.require_unchanged()
    # The claims are watched from before the backend is looked at: what was named after that
    # was claimed.
    with domain.claims(name).watch() as claimed:
        unsettled = settle_commits(domain, name)
        stock = take_stock(domain, name)
        data = list(stock.data())
        advance()
        named = domain.transactor.read(stock.named) if data else set()
        unnamed = {one for one in data if one not in named}
        kept = set() if order.release else _kept(domain, name, stock, data, unnamed)
        idle = {one for one in unnamed - kept - unsettled if one.name not in claimed}
        uncertain = _uncertain(domain, stock, order, idle, unsettled)
        # What is set aside is listed before anything is deleted beside it.
        advance()
        still = [one for one in data if one in kept and one.name not in claimed]
        sizes = partial(_size, stock)
        cleaned.set_aside_bytes = domain.quarantine.settle(name, still, sizes)
        cleaned.set_aside = len(still)
        _note_uncertain(uncertain, sizes, cleaned)
        deletable = unnamed - kept - uncertain.data - unsettled
        garbage = {one for one in deletable if order.only is None or one in order.only}
        mounted = stock.mounted(garbage)
        garbage.difference_update(mounted)
        discarded: list[Datum] = []
        for batch in _batches(_removable(stock, garbage)):
            advance()
            discarded += _discard(domain, stock, batch, claimed, cleaned, advance)
    if unsettled and settle_commits(domain, name):  # what stood on them may be gone by now
        cleaned.passed_over += len(unsettled)
    if order.release or domain.quarantine.doubt(name) is None:
        domain.quarantine.require_unchanged()
        try:
            stock.cleanup({one for one in unnamed if one not in garbage}, advance)
        except OSError:
            cleaned.freed_bytes -= stock.left(discarded)
            raise
    advance()
    if order.release and order.only is None:
        domain.quarantine.release(name)
    if mounted:
        raise FailedPreconditionError(_describe_mounts(mounted))


def settle_at_opening(domain: Domain, name: str) -> None:
    """Settle the commits of snapshots that an earlier process left in a backend.

    What stands on such a snapshot, and has no name, is deleted first: it keeps the snapshot from
    being active again. What fails is tried again by the next cleanup.
    """
    try:
        unsettled = settle_commits(domain, name)
        if unsettled and domain.quarantine.doubt(name) is None:
            infos = list(domain.snapshotters[name].walk())
            above = descendants(infos, {datum.name for datum in unsettled})
            order = Order({Datum(FILES, one, name) for one in above})
            clean(domain, name, Cleaned(), order)
    except Exception:
        _logger.exception("what was being committed in %s is settled by the next collection", name)


def _kept(
    domain: Domain, name: str, stock: Stock, data: Sequence[Datum], unnamed: set[Datum]
) -> set[Datum]:
    """Return the unnamed data that is suspect; in doubt all that is there becomes suspect first."""
    domain.quarantine.suspect_all(name, {entry for one in data for entry in stock.entries(one)})
    suspects = domain.quarantine.suspects(name)
    return {one for one in unnamed if not suspects.isdisjoint(stock.entries(one))}


def _uncertain(
    domain: Domain, stock: Stock, order: Order, unnamed: set[Datum], unsettled: set[Datum]
) -> Uncertain:
    """Return what of the unnamed data could be what a record lacks, unless a person released it."""
    if order.release or not unnamed:
        return Uncertain()
    return domain.transactor.read(partial(stock.uncertain, unnamed=unnamed, known=unsettled))


def _note_uncertain(uncertain: Uncertain, size: Callable[[Datum], int], cleaned: Cleaned) -> None:
    if uncertain.data:
        cleaned.set_aside += len(uncertain.data)
        cleaned.set_aside_bytes += sum(map(size, uncertain.data))
        cleaned.warning = uncertain.describe()
        _logger.warning("%s", cleaned.warning)


def _describe_mounts(mounted: Mapping[Datum, str]) -> str:
    places = sorted(mounted.values())
    more = f", and {len(places) - _NAMED_MAX} more" if len(places) > _NAMED_MAX else ""
    return (
        f"something is mounted at {', '.join(places[:_NAMED_MAX])}{more}: nothing is deleted "
        "there; unmount it, and collect again"
    )


def _removable(stock: Stock, garbage: set[Datum]) -> list[Datum]:
    """Return what can go, in the order in which it must."""
    removable = stock.removable(garbage)
    for datum in sorted(garbage.difference(removable)):
        _logger.info("%s stays: others stand on it", datum.key)
    return removable


def _batches(data: Sequence[Datum]) -> list[Sequence[Datum]]:
    return [data[begin : begin + _AT_ONCE] for begin in range(0, len(data), _AT_ONCE)]


def _discard(
    domain: Domain,
    stock: Stock,
    batch: Sequence[Datum],
    claimed: AbstractSet[str],
    cleaned: Cleaned,
    advance: Callable[[], None],
) -> list[Datum]:
    """Move data out of sight, unless it was claimed since it was found to be garbage.

    Returns:
        What was moved.
    """
    sizes = {one: _size(stock, one) for one in batch}  # to count may take long
    gone: list[Datum] = []
    try:
        with stock.claims.take(one.name for one in batch) as taken:
            free = [one for one in batch if one.name in taken and one.name not in claimed]
            if domain.reports.has_unseen:
                domain.wait_for_disk()  # a writer past the stores claims nothing
            named = domain.transactor.read(partial(still_named, data=free))
            domain.quarantine.require_unchanged()
            advance()
            for one in stock.discard([one for one in free if one not in named]):
                gone.append(one)
                advance()
    finally:
        _count(domain, gone, sizes, cleaned)
    cleaned.passed_over += len(batch) - len(free)
    return gone


def _count(
    domain: Domain, gone: Sequence[Datum], sizes: Mapping[Datum, int], cleaned: Cleaned
) -> None:
    if domain.journal is not None:
        now = domain.transactor.clock.now()
        domain.journal.add(
            Entry(at=now, event=DELETED, type=one.type, key=one.key, bytes=sizes[one])
            for one in gone
        )
    cleaned.deleted += len(gone)
    cleaned.freed_bytes += sum(sizes[one] for one in gone)


def _size(stock: Stock, datum: Datum) -> int:
    try:
        return stock.size(datum)
    except Exception as error:  # noqa: BLE001 (a plug-in's may be any)
        _logger.info("what %s takes is not known: %s", datum.key, reason_of(error))
        return 0
