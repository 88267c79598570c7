"""The garbage collector: deletes unreachable records, and data that no record names.

In reading order: `facts` (what one record refers to, by the table in `rules`), `graph` (all
records), `mark` (which of them are reachable), `sweep` (the others are deleted, in batches),
`cleanup` (data without a record is deleted from the backends). `run` does all of it; `plan`
shows the same without a change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.lazy_names import lazy_names

if TYPE_CHECKING:
    from orlop.gc.change_feed import ChangeFeed
    from orlop.gc.collector import Collector
    from orlop.gc.context import CollectionContext
    from orlop.gc.explain.paths import HoldingPath, Step
    from orlop.gc.journal import Entry, Journal
    from orlop.gc.node import Node, snapshot_node
    from orlop.gc.omissions import Omission
    from orlop.gc.plan import Plan, Removal, Statistics
    from orlop.gc.resources import Resource, ResourceSession
    from orlop.gc.schedule_policy import Settings
    from orlop.gc.scheduler import Scheduler
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "ChangeFeed": "orlop.gc.change_feed:ChangeFeed",
            "CollectionContext": "orlop.gc.context:CollectionContext",
            "Collector": "orlop.gc.collector:Collector",
            "Entry": "orlop.gc.journal:Entry",
            "HoldingPath": "orlop.gc.explain.paths:HoldingPath",
            "Journal": "orlop.gc.journal:Journal",
            "Node": "orlop.gc.node:Node",
            "Omission": "orlop.gc.omissions:Omission",
            "Plan": "orlop.gc.plan:Plan",
            "Removal": "orlop.gc.plan:Removal",
            "Resource": "orlop.gc.resources:Resource",
            "ResourceSession": "orlop.gc.resources:ResourceSession",
            "Scheduler": "orlop.gc.scheduler:Scheduler",
            "Settings": "orlop.gc.schedule_policy:Settings",
            "Statistics": "orlop.gc.plan:Statistics",
            "Step": "orlop.gc.explain.paths:Step",
            "snapshot_node": "orlop.gc.node:snapshot_node",
        },
    )

__all__ = [
    "ChangeFeed",
    "CollectionContext",
    "Collector",
    "Entry",
    "HoldingPath",
    "Journal",
    "Node",
    "Omission",
    "Plan",
    "Removal",
    "Resource",
    "ResourceSession",
    "Scheduler",
    "Settings",
    "Statistics",
    "Step",
    "snapshot_node",
]
