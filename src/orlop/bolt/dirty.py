"""The nodes of one writing transaction: those that it owns, and those that it has replaced.

Source: the ownership of nodes is that of transient persistent trees (Clojure); the list of
freed pages is bbolt's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.bolt.node import BUCKET_FLAG, Branch, BucketState
from orlop.bolt.page import bucket_root
from orlop.kv.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.bolt.node import Leaf, Node
    from orlop.bolt.pager import Pager


class DirtyNodes:
    """The nodes that a writing transaction made, which it may change until it ends."""

    def __init__(self, pager: Pager) -> None:
        """Begin without nodes, on the file behind `pager`."""
        self.page_size = pager.page_size
        self._pager = pager
        self._freed: list[tuple[int, int]] = []
        self._replaced: list[Node] = []

    def load(self, child: int | Node) -> Node:
        """Return the node that a branch or bucket refers to by page, or contains."""
        return self._pager.load(child) if isinstance(child, int) else child

    def writable_copy(self, node: Node) -> Node:
        """Return the node if it is this transaction's own, else a copy that is."""
        if node.owner is self:
            return node
        self.free(node)
        return node.copy(self)

    def free(self, node: Node) -> None:
        """Note that a node is no longer part of the tree."""
        if node.page:
            self._freed.append((node.page, node.span))
        elif node.owner is not self:
            # Made by a transaction that is still being written: it gets its page by then.
            self._replaced.append(node)

    def free_bucket(self, tree: int | Node) -> None:
        """Free a whole tree, with the buckets nested in it.

        Raises:
            CorruptError: a page is damaged, or one is part of the tree twice.
        """
        pending: list[int | Node] = [tree]
        seen: set[int] = set()
        while pending:
            node = self.load(pending.pop())
            if node.page in seen:
                raise CorruptError(f"page {node.page} is part of a bucket twice")
            if node.page:
                seen.add(node.page)
            self.free(node)
            if isinstance(node, Branch):
                pending += node.children
            else:
                for value in _nested_buckets(node):
                    nested = bucket_tree(value)
                    if nested is not None:
                        pending.append(nested)

    def freed_pages(self) -> Iterator[int]:
        """Iterate over the pages that the version before still needs and this one does not."""
        for page, span in self._freed:
            yield from range(page, page + span)
        for node in self._replaced:
            if node.page:
                yield from range(node.page, node.page + node.span)


def bucket_tree(value: bytes | BucketState) -> int | Node | None:
    """Return a nested bucket's tree as its value names it; None where it has no page."""
    if isinstance(value, BucketState):
        return None if value.inline else value.tree
    return bucket_root(value) or None


def _nested_buckets(leaf: Leaf) -> Iterator[bytes | BucketState]:
    """Iterate over the values of a leaf that are nested buckets."""
    for flag, value in zip(leaf.flags, leaf.values, strict=True):
        if flag & BUCKET_FLAG:
            yield value
