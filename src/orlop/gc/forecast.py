"""Forecasts: whether the next collection deletes data that no metadata names."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orlop.gc.inventory import list_backend
from orlop.storage.contract import CONTENT_BACKEND

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.gc.context import CollectionContext
    from orlop.gc.inventory import BackendInventory
    from orlop.gc.items import BackendItem


class Prospect(enum.Enum):
    """The act of the next collection on data that no record names."""

    REMOVED = "removed"
    SET_ASIDE = "set aside"
    """It stays until `release`: the metadata is or was in doubt, or a record lacks such data."""
    MOUNTED = "mounted"
    """It stays as long as something is mounted in it."""
    SUPPORTING = "supporting"
    """It stays as long as other snapshots descend from it."""
    UNTOUCHED = "untouched"
    """No collection looks at it."""
    ABSENT = "absent"
    """It is not there."""
    UNKNOWN = "unknown"
    """This database was opened without its backends, or one cannot be read."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The action of the next collection on a backend item, and the reason."""

    prospect: Prospect
    reason: str = ""


def forecast(
    context: CollectionContext, backend: str, is_it: Callable[[BackendItem], bool]
) -> Forecast:
    """Return the future of an item that no metadata names.

    Args:
        context: the database.
        backend: a snapshotter, or `CONTENT_BACKEND`.
        is_it: tells whether an item is meant.

    Raises:
        OrlopError, OSError: the backend cannot be read.
    """
    if context.content is None:
        return Forecast(Prospect.UNKNOWN)
    if backend != CONTENT_BACKEND and backend not in context.snapshotters:
        return Forecast(Prospect.UNTOUCHED, f"Orlop has no snapshotter {backend}")
    stock = list_backend(context, backend)
    data = list(stock.data())
    item = next(filter(is_it, data), None)
    if item is None:
        return Forecast(Prospect.ABSENT)
    named = context.transactor.read(stock.named)
    unnamed = {one for one in data if one not in named}
    return _forecast_of_unnamed(context, stock, item, unnamed)


def _forecast_of_unnamed(
    context: CollectionContext,
    stock: BackendInventory,
    item: BackendItem,
    unnamed: set[BackendItem],
) -> Forecast:
    keeps = context.quarantine.keeper(stock.entries)
    if keeps(item):
        return Forecast(Prospect.SET_ASIDE, context.quarantine.reason(item.snapshotter))
    uncertain = context.transactor.read(lambda one: stock.uncertain(one, unnamed=unnamed))
    if item in uncertain.data:
        return Forecast(Prospect.SET_ASIDE, uncertain.describe())
    mounted = stock.mounted({item})
    if item in mounted:
        return Forecast(Prospect.MOUNTED, f"something is mounted at {mounted[item]}")
    garbage = {one for one in unnamed if not keeps(one)} - uncertain.data
    is_free = item in stock.removable(garbage)
    return Forecast(Prospect.REMOVED if is_free else Prospect.SUPPORTING)


def forecast_of_waste(context: CollectionContext, backend: str) -> Forecast:
    """Return the future of data in a backend that writers or cleanups left half done."""
    if context.content is None:
        return Forecast(Prospect.UNKNOWN)
    doubt = context.quarantine.doubt(backend)
    return Forecast(Prospect.REMOVED) if doubt is None else Forecast(Prospect.SET_ASIDE, doubt)
