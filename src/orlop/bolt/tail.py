"""The end of a file, and the pages that must move to make it free.

Who opens a large file without a freelist writes at its end until the free pages are known. So
that the file does not become longer and longer, somebody has to make room there now and then:
who knows the free pages, and was kept waiting for them because the room was used up. Pages at
the end that nobody uses any more are then cut off by `orlop.bolt.writeout`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from orlop.bolt.node import BUCKET_FLAG, BUCKET_HEADER_SIZE, Branch, BucketState
from orlop.bolt.page import BUCKET_HEADER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orlop.bolt.edit import Edit
    from orlop.bolt.node import Leaf, Node
    from orlop.bolt.reachable import Reachable

_SHARE: Final = 4
"""No more than this part of a file is made room, as 1 / share ..."""

_USED_SHARE: Final = 64
_USED_MAX: Final = 4096
"""... and no more pages in use are moved for that than this part, and this many."""


class Tail(NamedTuple):
    """The end of a version.

    Attributes:
        first: its first page.
        free: those of its pages that are free.
        ways: those on which nodes begin, and all pages on the ways there from the root.
    """

    first: int
    free: list[int]
    ways: set[int]


def find_tail(walk: Reachable, free: Sequence[range]) -> Tail | None:
    """Choose how much of the end of a version is to become free; None where nothing can.

    Args:
        walk: has seen all of the version.
        free: the runs of its free pages.
    """
    first = end = walk.high_water
    used = 0
    used_max = min(end // _USED_SHARE, _USED_MAX)
    while used < used_max and end - first < end // _SHARE:
        first -= 1
        used += walk.is_used(first)
    ways = _ways_to(walk, first)
    ends = [run for run in free if run.stop > first]
    free_pages = [page for run in ends for page in run if page >= first]
    available = sum(map(len, free)) - len(free_pages)
    # All on the ways is written elsewhere, too; twice that, for runs that are too short.
    if not ways or available < 2 * (used + len(ways)):
        return None
    return Tail(first, free_pages, ways)


def _ways_to(walk: Reachable, first: int) -> set[int]:
    ways: set[int] = set()
    for start in range(first, walk.high_water):
        if walk.is_used(start) and not walk.is_continuation(start):
            page = start
            while page and page not in ways:
                ways.add(page)
                page = walk.referrer(page)
    return ways


def move(edit: Edit, state: BucketState, pages: set[int]) -> BucketState:
    """Have `edit` own each node on `pages`, so that it is written elsewhere; return the new root.

    Args:
        edit: the only one that has changed anything since `pages` were looked for.
        state: the root bucket as the edit has left it.
        pages: what is to be moved, and all that lies on the way there from the root.

    Raises:
        CorruptError: a page is damaged. The edit must not be written any more.
        OSError: a page cannot be read; likewise.
    """
    if not _is_wanted(state.tree, pages):
        return state
    root = edit.own(edit.resolve(state.tree))
    pending = [root]
    while pending:
        node = pending.pop()
        if isinstance(node, Branch):
            _own_children(edit, node, pages, pending)
        else:
            _own_buckets(edit, node, pages, pending)
    return BucketState(root, state.sequence, edit.page_size)


def _is_wanted(tree: int | Node, pages: set[int]) -> bool:
    page = tree if isinstance(tree, int) else tree.page
    # What the edit has made has no page, and may lie on the way.
    return not page or page in pages


def _own_children(edit: Edit, branch: Branch, pages: set[int], pending: list[Node]) -> None:
    for index, child in enumerate(branch.children):
        if _is_wanted(child, pages):
            owned = edit.own(edit.resolve(child))
            branch.children[index] = owned
            pending.append(owned)


def _own_buckets(edit: Edit, leaf: Leaf, pages: set[int], pending: list[Node]) -> None:
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
            owned = edit.own(edit.resolve(tree))
            leaf.replace(index, _in_pages(owned, sequence, edit.page_size))
            pending.append(owned)


def _in_pages(tree: Node, sequence: int, page_size: int) -> BucketState:
    """Return a bucket whose tree stays on pages of its own.

    Inline it would make the leaf around it larger, and nobody has made room for that.
    """
    state = BucketState(tree, sequence, page_size)
    state.inline = False
    state.size = BUCKET_HEADER_SIZE
    return state
