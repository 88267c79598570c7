"""The future of data in a backend that no metadata names: the next collection deletes it or not."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orlop.gc.dirt import CONTENT_BACKEND
from orlop.gc.stock import take_stock

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.gc.domain import Domain
    from orlop.gc.named import Datum
    from orlop.gc.stock import Stock


class Prospect(enum.Enum):
    """The act of the next collection on data that no record names."""

    REMOVED = "removed"
    SET_ASIDE = "set aside"
    """It stays until `release`: the metadata is or was in doubt, or a record lacks such data."""
    MOUNTED = "mounted"
    """It stays as long as something is mounted in it."""
    SUPPORTING = "supporting"
    """It stays as long as other snapshots stand on it."""
    UNTOUCHED = "untouched"
    """No collection looks at it."""
    ABSENT = "absent"
    """It is not there."""
    UNKNOWN = "unknown"
    """This database was opened without its backends, or one cannot be read."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The act of the next collection on a piece of data, and the reason."""

    prospect: Prospect
    reason: str = ""


def forecast(domain: Domain, backend: str, is_it: Callable[[Datum], bool]) -> Forecast:
    """Return the future of a datum that no metadata names.

    Args:
        domain: the database.
        backend: a snapshotter, or `CONTENT_BACKEND`.
        is_it: tells whether a datum is meant.

    Raises:
        OrlopError, OSError: the backend cannot be read.
    """
    if domain.content is None:
        return Forecast(Prospect.UNKNOWN)
    if backend != CONTENT_BACKEND and backend not in domain.snapshotters:
        return Forecast(Prospect.UNTOUCHED, f"Orlop has no snapshotter {backend}")
    stock = take_stock(domain, backend)
    data = list(stock.data())
    datum = next(filter(is_it, data), None)
    if datum is None:
        return Forecast(Prospect.ABSENT)
    named = domain.transactor.read(stock.named)
    unnamed = {one for one in data if one not in named}
    return _forecast_of_unnamed(domain, stock, datum, unnamed)


def _forecast_of_unnamed(
    domain: Domain, stock: Stock, datum: Datum, unnamed: set[Datum]
) -> Forecast:
    keeps = domain.quarantine.keeper(stock.entries)
    if keeps(datum):
        return Forecast(Prospect.SET_ASIDE, domain.quarantine.reason(datum.snapshotter))
    uncertain = domain.transactor.read(lambda one: stock.uncertain(one, unnamed=unnamed))
    if datum in uncertain.data:
        return Forecast(Prospect.SET_ASIDE, uncertain.describe())
    mounted = stock.mounted({datum})
    if datum in mounted:
        return Forecast(Prospect.MOUNTED, f"something is mounted at {mounted[datum]}")
    garbage = {one for one in unnamed if not keeps(one)} - uncertain.data
    is_free = datum in stock.removable(garbage)
    return Forecast(Prospect.REMOVED if is_free else Prospect.SUPPORTING)


def forecast_of_waste(domain: Domain, backend: str) -> Forecast:
    """Return the future of data in a backend that writers or cleanups left half done."""
    if domain.content is None:
        return Forecast(Prospect.UNKNOWN)
    doubt = domain.quarantine.doubt(backend)
    return Forecast(Prospect.REMOVED) if doubt is None else Forecast(Prospect.SET_ASIDE, doubt)
