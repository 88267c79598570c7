"""What a collector works on: transactions, backends, and the locks between their users.

The database fills it in; so the collector can be read, and tested, without the database.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orlop.collect.reports import Reports
    from orlop.collect.resources import Resource
    from orlop.model.backends import ContentBackend, SnapshotBackend
    from orlop.stores.locks import SharedLock
    from orlop.stores.scope import Transactor


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A database as its collector sees it.

    Attributes:
        transactor: where transactions and the time come from, and events go.
        read_only: whether the database was opened for reading.
        reports: is told of all that updates touch, once it is durable, before the gate is left.
        gate: updates hold a share of it, a sweep has it alone.
        content: what keeps blobs; `None` for a bare database.
        content_lock: shared by those who use it; its cleanup has it alone.
        snapshotters: what keeps snapshots, by name; empty for a bare database.
        snapshot_lock: returns such a lock for each of them.
        resources: kinds of resources that take part, by type; may grow while the database
            is open.
    """

    transactor: Transactor
    read_only: bool
    reports: Reports
    gate: SharedLock
    content: ContentBackend | None
    content_lock: SharedLock
    snapshotters: Mapping[str, SnapshotBackend]
    snapshot_lock: Callable[[str], SharedLock]
    resources: dict[str, Resource] = field(default_factory=dict)
