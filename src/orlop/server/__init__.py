"""Metrics of a database for Prometheus; needs the extra `orlop[metrics]`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.lazy_names import lazy_names

if TYPE_CHECKING:
    from orlop.server.metrics import DatabaseCollector, exposition
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "DatabaseCollector": "orlop.server.metrics:DatabaseCollector",
            "exposition": "orlop.server.metrics:exposition",
        },
    )

__all__ = ["DatabaseCollector", "exposition"]
