"""A tree whose root may change under its cursors: the base class of buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orlop.bolt.node import Node
    from orlop.bolt.transaction_state import TransactionState


class TreeHandle:
    """The tree of one bucket in one transaction.

    Attributes:
        transaction: the transaction.
        revision: raised by every change of the tree, so that cursors notice.
    """

    __slots__ = ("revision", "transaction")

    def __init__(self, transaction: TransactionState) -> None:
        """Begin with the first revision."""
        self.transaction = transaction
        self.revision = 0

    @property
    def root(self) -> Node:
        """The tree's root, as the transaction sees it."""
        raise NotImplementedError

    def delete(self, key: bytes) -> None:
        """Delete the value under `key`; nothing happens where there is none."""
        raise NotImplementedError
