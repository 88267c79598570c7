"""Groups without threads: a transaction ends but its flush is left for later."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orlop.bolt import BoltEngine
    from orlop.bolt.group_commit import Group
    from orlop.bolt.transaction import BoltTransaction


def gather(engine: BoltEngine, transaction: BoltTransaction) -> Group:
    """End a writing transaction as its commit does, up to the place where it waits."""
    state = transaction._root.settle()
    assert state is not None, "the transaction has changed nothing"
    transaction.is_over = True
    group = engine._groups.add(transaction.dirty, state)
    holder = engine._turn.holder
    assert holder is not None
    engine._turn.release(holder)
    return group


def flush(engine: BoltEngine, group: Group) -> int:
    """Make a group durable, as the first of its writers does; return its version."""
    engine._groups.wait(group)
    return group.number
