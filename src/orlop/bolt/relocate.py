"""Relocation of pages in use from the end of a file, to make room for writes there.

A writer of a large file without a freelist writes at the end of the file until the free pages are
known. So that the file does not become longer and longer, the writer that had to wait for the free
pages, because that room was used up, makes room again. Unused pages at the end are then cut off by
`orlop.bolt.commit`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from orlop.bolt.node import BUCKET_FLAG, BUCKET_HEADER_SIZE, Branch, BucketState
from orlop.bolt.page import BUCKET_HEADER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orlop.bolt.dirty import DirtyNodes
    from orlop.bolt.node import Leaf, Node
    from orlop.bolt.reachable import Reachable

_SHARE: Final = 4
"""No more than this part of a file is made room, as 1 / share ..."""

_USED_SHARE: Final = 64
_MAX_USED: Final = 4096
"""... and no more pages in use are moved for that than this part, and this many."""


class Tail(NamedTuple):
    """The end of a version.

    Attributes:
        first: its first page.
        free: those of its pages that are free.
        path_pages: those on which nodes begin, and all pages on the path_pages there from the root.
    """

    first: int
    free: list[int]
    path_pages: set[int]


def find_tail(walk: Reachable, free: Sequence[range]) -> Tail | None:
    """Choose how much of the end of a version is to become free; None where nothing can.

    Args:
        walk: has seen all of the version.
        free: the runs of its free pages.
    """
    first = end = walk.high_water
    used = 0
    used_max = min(end // _USED_SHARE, _MAX_USED)
    while used < used_max and end - first < end // _SHARE:
        first -= 1
        used += walk.is_used(first)
    path_pages = _paths_to(walk, first)
    ends = [run for run in free if run.stop > first]
    free_pages = [page for run in ends for page in run if page >= first]
    available = sum(map(len, free)) - len(free_pages)
    # All on the path_pages is written elsewhere, too; twice that, for runs that are too short.
    if not path_pages or available < 2 * (used + len(path_pages)):
        return None
    return Tail(first, free_pages, path_pages)


def _paths_to(walk: Reachable, first: int) -> set[int]:
    path_pages: set[int] = set()
    for start in range(first, walk.high_water):
        if walk.is_used(start) and not walk.is_continuation(start):
            page = start
            while page and page not in path_pages:
                path_pages.add(page)
                page = walk.referrer(page)
    return path_pages


def relocate_nodes(dirty: DirtyNodes, state: BucketState, pages: set[int]) -> BucketState:
    """Make each node on `pages` writable, so that it is written elsewhere; return the new root.

    Args:
        dirty: the only writer that has changed anything since `pages` were looked for.
        state: the root bucket as that writer has left it.
        pages: what is to be moved, and all that lies on the way there from the root.

    Raises:
        CorruptError: a page is damaged. The changes must not be written any more.
        OSError: a page cannot be read; likewise.
    """
    if not _is_wanted(state.tree, pages):
        return state
    root = dirty.writable_copy(dirty.load(state.tree))
    pending = [root]
    while pending:
        node = pending.pop()
        if isinstance(node, Branch):
            _relocate_children(dirty, node, pages, pending)
        else:
            _relocate_buckets(dirty, node, pages, pending)
    return BucketState(root, state.sequence, dirty.page_size)


def _is_wanted(tree: int | Node, pages: set[int]) -> bool:
    page = tree if isinstance(tree, int) else tree.page
    # A new node has no page, and may lie on the way.
    return not page or page in pages


def _relocate_children(
    dirty: DirtyNodes, branch: Branch, pages: set[int], pending: list[Node]
) -> None:
    for index, child in enumerate(branch.children):
        if _is_wanted(child, pages):
            owned = dirty.writable_copy(dirty.load(child))
            branch.children[index] = owned
            pending.append(owned)


def _relocate_buckets(dirty: DirtyNodes, leaf: Leaf, pages: set[int], pending: list[Node]) -> None:
    for index, flag in enumerate(leaf.flags):
        if not flag & BUCKET_FLAG:
            continue
        value = leaf.values[index]
        if isinstance(value, BucketState):
            tree, sequence = value.tree, value.sequence
            is_inline = value.inline
        else:
            tree, sequence = BUCKET_HEADER.unpack_from(value)
            is_inline = not tree
        if not is_inline and _is_wanted(tree, pages):
            owned = dirty.writable_copy(dirty.load(tree))
            leaf.replace(index, _in_pages(owned, sequence, dirty.page_size))
            pending.append(owned)


def _in_pages(tree: Node, sequence: int, page_size: int) -> BucketState:
    """Return a bucket that keeps its tree on pages of its own.

    Inline it would enlarge the leaf around it, and no space was allocated for that.
    """
    state = BucketState(tree, sequence, page_size)
    state.inline = False
    state.size = BUCKET_HEADER_SIZE
    return state
