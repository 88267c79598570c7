"""From changed nodes to pages: places are found, bytes are made, parents learn the places.

Children come before their parents, since a parent names the pages of its children, and the
buckets in a leaf before the leaf. A node is told its page only here and keeps it. Parents
name pages in place of nodes only when those are written: a transaction that already builds
on them would look for a page that is not there yet.

Source: go.etcd.io/bbolt, node.go (spill) and bucket.go (write).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from orlop.bolt.gil import yield_gil
from orlop.bolt.node import BUCKET_FLAG, Branch, BucketState, Leaf
from orlop.bolt.page import BUCKET_HEADER, encode_branch, encode_inline, encode_leaf
from orlop.kv.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.bolt.disk import Disk
    from orlop.bolt.node import Node
    from orlop.bolt.provenance import Provenance

_MAX_RUN_BYTES: Final = 1024 * 1024


class Spill:
    """Lays out one version. Nothing is written before `write`."""

    def __init__(self, page_size: int, allocate: Callable[[list[int]], list[int]]) -> None:
        """Take pages of `page_size` bytes from `allocate`.

        It is told how many pages each node takes, and says where each begins.
        """
        self._page_size = page_size
        self._allocate = allocate
        self._pages: dict[int, tuple[int, list[bytes]]] = {}
        self._children: list[tuple[Branch, list[int]]] = []
        self._values: list[tuple[Leaf, list[bytes]]] = []
        self.nodes: list[Node] = []

    def tree(self, tree: int | Node) -> int:
        """Lay out all nodes without a page; return the root's page."""
        if isinstance(tree, int):
            return tree
        # Room is asked for all nodes at once: the allocator can then put them side by side, and
        # one write takes what would else be one for each node.
        nodes = _without_page(tree)
        spans = [-(-node.size // self._page_size) for node in nodes]
        for node, span, page in zip(nodes, spans, self._allocate(spans), strict=True):
            self._place(node, span, page)
        return tree.page

    def page(self, page: int, span: int, length: int, chunks: list[bytes]) -> None:
        """Have chunks of `length` bytes written at `span` pages that are allocated already.

        Raises:
            CorruptError: they are longer or shorter than that, so that pages behind them would
                be overwritten, or what was there before would show through.
        """
        size = span * self._page_size
        if length > _MAX_RUN_BYTES:
            # A large value goes to the disk from where it lies; small ones are joined.
            found = sum(map(len, chunks))
            self._pages[page] = span, [*chunks, bytes(max(size - found, 0))]
        else:
            contents = b"".join(chunks)
            found = len(contents)
            self._pages[page] = span, [contents.ljust(size, b"\0")]
        if found != length or length > size:
            raise CorruptError(f"a page takes {found} bytes but counted {length}; not written")

    def write(self, disk: Disk, provenance: Provenance) -> None:
        """Write all pages, in ascending order, in runs as long as they are adjacent."""
        run: list[bytes] = []
        start = end = 0
        # In ascending order, so that adjacent pages join to runs: one call for many pages. A run
        # is bounded, and with it the time that one call takes.
        for page in sorted(self._pages):
            span, chunks = self._pages[page]
            offset = page * self._page_size
            if run and (offset != end or end - start > _MAX_RUN_BYTES):
                provenance.changing()
                disk.write(start, run)
                run = []
            if not run:
                start = end = offset
            run += chunks
            end += span * self._page_size
        if run:
            provenance.changing()
            disk.write(start, run)

    def settle(self) -> None:
        """Set the page ids of written children in their parents, so that nodes can be dropped."""
        # Only after the write: a version that fails to be written must leave the nodes as they
        # were. From here on parents name pages, so nodes below them can be dropped and read again.
        for branch, children in self._children:
            branch.children[:] = children
        for leaf, values in self._values:
            leaf.values[:] = values

    def _place(self, node: Node, span: int, page: int) -> None:
        yield_gil()
        if isinstance(node, Leaf):
            chunks = self._leaf(node, page, span - 1)
        else:
            # Children have been placed before their parents, so each of them has its page by now.
            children = [child if isinstance(child, int) else child.page for child in node.children]
            self._children.append((node, children))
            chunks = encode_branch(node, page, span - 1, children)
        self.page(page, span, node.size, chunks)
        node.span = span
        # Set last: until then the node counts as one without a page.
        node.page = page
        # Frozen: the next transaction makes a copy where it changes the node.
        node.owner = None
        self.nodes.append(node)

    def _leaf(self, leaf: Leaf, page: int, overflow: int) -> list[bytes]:
        if BUCKET_FLAG not in leaf.flags:
            # Only nested buckets are no bytes, and this leaf holds none.
            return encode_leaf(leaf, page, overflow, cast("list[bytes]", leaf.values))
        values = [
            _bucket_value(value) if isinstance(value, BucketState) else value
            for value in leaf.values
        ]
        self._values.append((leaf, values))
        return encode_leaf(leaf, page, overflow, values)


def _without_page(tree: Node) -> list[Node]:
    """Return the nodes of a tree that have no page, those below a node before it."""
    nodes: list[Node] = []
    # A list of what is to do: buckets nest deeper than Python's own stack would bear.
    pending = [tree]
    while pending:
        yield_gil()
        node = pending.pop()
        # A node with a page is in the file already, and so is all below it: a change would have
        # replaced every node from there up to the root.
        if not node.page:
            nodes.append(node)
            pending += _unplaced(node)
    nodes.reverse()
    return nodes


def _unplaced(node: Node) -> list[Node]:
    """Return the nodes that have to be laid out before `node`."""
    if isinstance(node, Branch):
        return [child for child in node.children if not isinstance(child, int)]
    if BUCKET_FLAG not in node.flags:
        return []
    return [
        value.tree
        for value in node.values
        if isinstance(value, BucketState) and not value.inline and not isinstance(value.tree, int)
    ]


def _bucket_value(state: BucketState) -> bytes:
    tree = state.tree
    if state.inline and isinstance(tree, Leaf):
        tree.owner = None
        return encode_inline(tree, state.sequence)
    return BUCKET_HEADER.pack(tree if isinstance(tree, int) else tree.page, state.sequence)
