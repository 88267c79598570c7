"""From changed nodes to pages: places are found, bytes are made, parents learn the places.

Children come before their parents, since a parent names the pages of its children. A node
is told its page only here and keeps it; a transaction that already builds on it sees both
forms as the same.

Source: go.etcd.io/bbolt, node.go (spill) and bucket.go (write).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.bolt.node import BucketState, Leaf
from orlop.bolt.page import BUCKET_HEADER, encode_branch, encode_leaf
from orlop.kv.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.bolt.disk import Disk
    from orlop.bolt.node import Branch, Node

_RUN_BYTES_MAX = 1024 * 1024


class Spill:
    """Lays out one version. Nothing is written before `write`."""

    def __init__(self, page_size: int, allocate: Callable[[int], int]) -> None:
        """Take pages of `page_size` bytes from `allocate(count)`."""
        self._page_size = page_size
        self._allocate = allocate
        self._pages: dict[int, list[bytes]] = {}
        self.nodes: list[Node] = []

    def tree(self, tree: int | Node) -> int:
        """Lay out what has no page yet; return the root's page."""
        if isinstance(tree, int):
            return tree
        if not tree.page:
            if isinstance(tree, Leaf):
                self._leaf(tree)
            else:
                self._branch(tree)
        return tree.page

    def page(self, page: int, chunks: list[bytes]) -> None:
        """Have chunks written at a page that is allocated already."""
        self._pages[page] = chunks

    def write(self, disk: Disk) -> None:
        """Write all pages, in ascending order, in runs as long as they are adjacent."""
        run: list[bytes] = []
        start = end = 0
        for page in sorted(self._pages):
            chunks = self._pages[page]
            offset = page * self._page_size
            if run and (offset != end or end - start > _RUN_BYTES_MAX):
                disk.write(start, run)
                run = []
            if not run:
                start = end = offset
            length = sum(map(len, chunks))
            padding = -length % self._page_size
            run.append(b"".join([*chunks, bytes(padding)]))
            end += length + padding
        if run:
            disk.write(start, run)

    def _place(self, node: Node) -> int:
        span = -(-node.size // self._page_size)
        node.span = span
        # Set last: until then the node counts as one without a page.
        node.page = self._allocate(span)
        node.owner = None
        self.nodes.append(node)
        return node.page

    def _leaf(self, leaf: Leaf) -> None:
        self._settle_values(leaf)
        page = self._place(leaf)
        self._pages[page] = self._checked(leaf, encode_leaf(leaf, page, leaf.span - 1))

    def _branch(self, branch: Branch) -> None:
        children = [self.tree(child) for child in branch.children]
        page = self._place(branch)
        self._pages[page] = self._checked(
            branch, encode_branch(branch, page, branch.span - 1, children)
        )
        # Named by their pages from now on, so that the cache may forget them.
        branch.children[:] = children

    def _settle_values(self, leaf: Leaf) -> None:
        """Turn the nested buckets that have changed into the bytes of their values."""
        for index, value in enumerate(leaf.values):
            if isinstance(value, BucketState):
                leaf.values[index] = self._bucket_value(value)

    def _bucket_value(self, state: BucketState) -> bytes:
        if state.inline and isinstance(state.tree, Leaf):
            leaf = state.tree
            leaf.owner = None
            chunks = encode_leaf(leaf, 0, 0)
            return b"".join([BUCKET_HEADER.pack(0, state.sequence), *chunks])
        return BUCKET_HEADER.pack(self.tree(state.tree), state.sequence)

    def _checked(self, node: Node, chunks: list[bytes]) -> list[bytes]:
        # What the nodes counted while they changed is what the page takes, or the pages
        # behind it would be overwritten.
        length = sum(map(len, chunks))
        if length != node.size:
            raise CorruptError(f"a node takes {length} bytes but counted {node.size}; not written")
        return chunks
