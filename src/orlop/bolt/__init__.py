"""bbolt's file format in Python: pages, nodes, buckets and transactions.

This package knows pages and nothing of containers. It implements the contract of
`orlop.kv` and would stand alone as a library.

The idea: a file is a tree of pages that no transaction ever changes in place. Nodes in
memory follow the same rule: a node belongs to the transaction that made it and is frozen
when that transaction ends, so a later one may build on it before it has reached the disk,
and rolling back is forgetting. What makes a transaction real is one meta page, written
after everything that it points to is durable.

Source: go.etcd.io/bbolt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.lazy_names import lazy_names

if TYPE_CHECKING:
    from orlop.bolt.disk import Disk, FileDisk
    from orlop.bolt.engine import BoltEngine
    from orlop.bolt.opening import open_engine, read_file_state
    from orlop.bolt.tools.compaction import compact_if_worth
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "BoltEngine": "orlop.bolt.engine:BoltEngine",
            "Disk": "orlop.bolt.disk:Disk",
            "FileDisk": "orlop.bolt.disk:FileDisk",
            "compact_if_worth": "orlop.bolt.tools.compaction:compact_if_worth",
            "open_engine": "orlop.bolt.opening:open_engine",
            "read_file_state": "orlop.bolt.opening:read_file_state",
        },
    )

__all__ = ["BoltEngine", "Disk", "FileDisk", "compact_if_worth", "open_engine", "read_file_state"]
