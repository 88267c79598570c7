"""The collector: what is held, what is not, and the removal of the latter.

It reads as a story: `facts` (what one record says, by the table in `rules`), `graph` (all of
them), `mark` (what can be reached), `tracker` (and what others change meanwhile), `sweep` (the
rest goes from the metadata, in `turns`), `cleanup` (and then from the backends). `run` is all
of that; `plan` is the same without touching anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.lazy_names import lazy_names

if TYPE_CHECKING:
    from orlop.gc.agenda import Settings
    from orlop.gc.collector import Collector
    from orlop.gc.domain import Domain
    from orlop.gc.explain.paths import Path, Step
    from orlop.gc.journal import Entry, Journal
    from orlop.gc.node import Node
    from orlop.gc.omissions import Omission
    from orlop.gc.plan import Plan, Removal, Statistics
    from orlop.gc.reports import Reports
    from orlop.gc.resources import Collection, Resource
    from orlop.gc.schedule import Scheduler
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "Collection": "orlop.gc.resources:Collection",
            "Collector": "orlop.gc.collector:Collector",
            "Domain": "orlop.gc.domain:Domain",
            "Entry": "orlop.gc.journal:Entry",
            "Journal": "orlop.gc.journal:Journal",
            "Node": "orlop.gc.node:Node",
            "Omission": "orlop.gc.omissions:Omission",
            "Path": "orlop.gc.explain.paths:Path",
            "Plan": "orlop.gc.plan:Plan",
            "Removal": "orlop.gc.plan:Removal",
            "Reports": "orlop.gc.reports:Reports",
            "Resource": "orlop.gc.resources:Resource",
            "Scheduler": "orlop.gc.schedule:Scheduler",
            "Settings": "orlop.gc.agenda:Settings",
            "Statistics": "orlop.gc.plan:Statistics",
            "Step": "orlop.gc.explain.paths:Step",
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
