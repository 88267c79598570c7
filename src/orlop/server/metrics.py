"""The metrics of a database, as Prometheus reads them. Needs the extra `orlop[metrics]`.

Source: prometheus_client, custom collectors; the Prometheus text format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from orlop.gc.metrics import COUNTER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orlop.database import Database
    from orlop.gc.metrics import Sample


class DatabaseCollector(Collector):
    """Gives the metrics of an open database to a registry of prometheus_client."""

    def __init__(self, database: Database) -> None:
        """Make a collector; `registry.register` takes it.

        Args:
            database: what to measure. Unregister this before it closes.
        """
        self._database = database

    def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        """Return the metrics as they are now."""
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for sample in self._database.gc.samples():
            if sample.name not in families:
                families[sample.name] = _family(sample)
            families[sample.name].add_metric(list(sample.labels.values()), sample.value)
        return families.values()


def _family(sample: Sample) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if sample.kind == COUNTER else GaugeMetricFamily
    return kind(sample.name, sample.help, labels=list(sample.labels))


def exposition(database: Database) -> bytes:
    """Return the metrics of a database in the text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(DatabaseCollector(database))
    return generate_latest(registry)
