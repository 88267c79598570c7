"""The collector: what is held, what is not, and the removal of the latter.

It reads as a story: `facts` (what one record says, by the table in `rules`), `graph` (all of
them), `mark` (what can be reached), `pursuit` (and what others change meanwhile), `sweep` (the
rest goes from the metadata, in `turns`), `cleanup` (and then from the backends). `run` is all
of that; `plan` is the same without touching anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.lazy_names import lazy_names

if TYPE_CHECKING:
    from orlop.collect.agenda import Settings
    from orlop.collect.collector import Collector
    from orlop.collect.domain import Domain
    from orlop.collect.journal import Entry, Journal
    from orlop.collect.node import Node
    from orlop.collect.omission import Omission
    from orlop.collect.paths import Path, Step
    from orlop.collect.plan import Plan, Removal
    from orlop.collect.reports import Reports
    from orlop.collect.resources import Collection, Resource
    from orlop.collect.schedule import Scheduler
    from orlop.collect.statistics import Statistics
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "Collection": "orlop.collect.resources:Collection",
            "Collector": "orlop.collect.collector:Collector",
            "Domain": "orlop.collect.domain:Domain",
            "Entry": "orlop.collect.journal:Entry",
            "Journal": "orlop.collect.journal:Journal",
            "Node": "orlop.collect.node:Node",
            "Omission": "orlop.collect.omission:Omission",
            "Path": "orlop.collect.paths:Path",
            "Plan": "orlop.collect.plan:Plan",
            "Removal": "orlop.collect.plan:Removal",
            "Reports": "orlop.collect.reports:Reports",
            "Resource": "orlop.collect.resources:Resource",
            "Scheduler": "orlop.collect.schedule:Scheduler",
            "Settings": "orlop.collect.agenda:Settings",
            "Statistics": "orlop.collect.statistics:Statistics",
            "Step": "orlop.collect.paths:Step",
        },
    )

__all__ = [
    "Collection",
    "Collector",
    "Domain",
    "Entry",
    "Journal",
    "Node",
    "Omission",
    "Path",
    "Plan",
    "Removal",
    "Reports",
    "Resource",
    "Scheduler",
    "Settings",
    "Statistics",
    "Step",
]
