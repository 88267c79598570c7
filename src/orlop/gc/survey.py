"""What lies in the backends, for a plan: how much it is, and what of it nothing names."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orlop.gc.dirt import CONTENT_BACKEND, shown
from orlop.gc.named import suspect_of
from orlop.gc.resources import reason_of
from orlop.gc.stock import ContentStock, take_stock
from orlop.model.errors import OrlopError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from orlop.gc.domain import Domain
    from orlop.gc.named import Datum
    from orlop.gc.stock import Stock

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Survey:
    """The data in the backends at one moment, each backend for itself.

    Attributes:
        stocks: what lies in each, by its name.
        failures: which backends could not be read, and why; their data is not in the plan.
    """

    stocks: dict[str, Stock] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def data(self) -> Iterator[Datum]:
        """Iterate over all data."""
        for stock in self.stocks.values():
            yield from stock.data()

    def blob_sizes(self) -> Mapping[str, int] | None:
        """Return the sizes of all blobs by their digests; `None` where they were not listed."""
        stock = self.stocks.get(CONTENT_BACKEND)
        return stock.blob_sizes if isinstance(stock, ContentStock) else None

    def deletable(self, named: Collection[Datum]) -> set[Datum]:
        """Return what a cleanup would delete if only `named` were named by the metadata."""
        deletable: set[Datum] = set()
        for stock in self.stocks.values():
            deletable.update(stock.removable({one for one in stock.data() if one not in named}))
        return deletable

    def entries(self, datum: Datum) -> Collection[tuple[str, str]]:
        """Return the entries by which a datum is found in a list of suspects."""
        stock = self.stocks.get(datum.snapshotter)
        return (suspect_of(datum),) if stock is None else stock.entries(datum)

    def total_bytes(self) -> int:
        """Return what everything takes on disk, in bytes."""
        return sum(self.size(datum) for datum in self.data())

    def size(self, datum: Datum) -> int:
        """Return what a datum takes on disk, in bytes; 0 where it is not there."""
        stock = self.stocks.get(datum.snapshotter)
        if stock is None:
            return 0
        try:
            return stock.size(datum)
        except Exception as error:  # noqa: BLE001 (a plug-in's may be any)
            self.failures.setdefault(shown(datum.snapshotter), reason_of(error))
            return 0


def survey(domain: Domain) -> Survey:
    """Look into all backends. One that cannot be read is noted, and left out."""
    found = Survey()
    names = [] if domain.content is None else [CONTENT_BACKEND]
    for name in (*names, *domain.snapshotters):
        try:
            found.stocks[name] = take_stock(domain, name)
        except (OrlopError, OSError) as error:
            found.failures[shown(name)] = str(error)
        except Exception as error:
            _logger.exception("%s could not be read", shown(name))
            found.failures[shown(name)] = reason_of(error)
    return found
