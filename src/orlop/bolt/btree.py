"""A bucket's tree: search, insert and delete, with nodes that split and merge at once.

bbolt leaves a node whole until commit, so that n puts in one transaction cost n squared.
Here a node is split as soon as it is larger than a page, and joined with a neighbour as
soon as it is smaller than a quarter; what a put costs does not depend on those before it.

Source: go.etcd.io/bbolt, node.go (the rules of split and merge), cursor.go (the search).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final

from orlop.bolt.node import BUCKET_FLAG, EMPTY_SIZE, Branch, Leaf
from orlop.kv.errors import CorruptError, IncompatibleValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orlop.bolt.dirty import DirtyNodes
    from orlop.bolt.node import BucketState, Node
    from orlop.bolt.pager import Pager

MAX_DEPTH: Final = 64
"""No sound tree is deeper: with two keys a branch it would have 2 ** 64 leaves."""

_MIN_BRANCH_CHILDREN: Final = 2


def child_index(branch: Branch, key: bytes) -> int:
    """Return the place of the child in which `key` belongs."""
    return max(bisect_right(branch.keys, key) - 1, 0)


def find_leaf(pager: Pager, node: Node, key: bytes) -> Leaf:
    """Return the leaf below `node` in which `key` belongs.

    Raises:
        CorruptError: the tree has a cycle, or a page is damaged.
    """
    for _ in range(MAX_DEPTH):
        if isinstance(node, Leaf):
            return node
        # As `child_index`, without a call at each level.
        index = bisect_right(node.keys, key)
        child = node.children[index - 1 if index else 0]
        if isinstance(child, int):
            # As `load`, without a call for what was asked for of late.
            known = pager.young.get(child)
            node = pager.load(child) if known is None else known
        else:
            node = child
    raise CorruptError(f"the tree is deeper than {MAX_DEPTH} levels")


def position(leaf: Leaf, key: bytes) -> tuple[int, bool]:
    """Return where `key` is or would be in the leaf, and whether it is there."""
    index = bisect_left(leaf.keys, key)
    return index, index < len(leaf.keys) and leaf.keys[index] == key


def put(dirty: DirtyNodes, root: Node, key: bytes, value: bytes | BucketState, flag: int) -> Node:
    """Set a value or a nested bucket under `key`; return the tree's new root.

    Raises:
        IncompatibleValueError: a nested bucket has the key and a value would take its place,
            or the other way round. Nothing has changed.
    """
    path, leaf = _find(dirty, root, key)
    keys = leaf.keys
    index = bisect_left(keys, key)
    found = index < len(keys) and keys[index] == key
    if found and (leaf.flags[index] ^ flag) & BUCKET_FLAG:
        raise IncompatibleValueError(f"a {'value' if flag else 'bucket'} has the name {key!r}")
    if leaf.owner is not dirty:
        leaf = _make_writable(dirty, path, leaf)
        root = path[0][0] if path else leaf
    if not index:
        _lower_keys(path, key)
    if found:
        leaf.replace(index, value)
    else:
        leaf.insert(index, key, value, flag)
    if leaf.size <= dirty.page_size:
        return root
    if index == len(leaf.keys) - 1 and all(at == len(up.keys) - 1 for up, at in path):
        # Keys that come in order fill a page before the next one begins.
        return _restore_after_append(dirty, path, leaf)
    return _restore(dirty, path, leaf, shrinking=False)


def delete(dirty: DirtyNodes, root: Node, key: bytes) -> Node:
    """Remove the element under `key`, which is there; return the tree's new root."""
    path, leaf = _find(dirty, root, key)
    leaf = _make_writable(dirty, path, leaf)
    leaf.remove(position(leaf, key)[0])
    return _restore(dirty, path, leaf, shrinking=True)


def _find(dirty: DirtyNodes, root: Node, key: bytes) -> tuple[list[tuple[Branch, int]], Leaf]:
    """Return the way to the leaf in which `key` belongs, and the leaf; nothing changes."""
    path: list[tuple[Branch, int]] = []
    node = root
    while isinstance(node, Branch):
        if len(path) == MAX_DEPTH:
            raise CorruptError(f"the tree is deeper than {MAX_DEPTH} levels")
        index = bisect_right(node.keys, key)
        if index:
            index -= 1
        path.append((node, index))
        child = node.children[index]
        node = dirty.load(child) if isinstance(child, int) else child
    return path, node


def _make_writable(dirty: DirtyNodes, path: list[tuple[Branch, int]], leaf: Leaf) -> Leaf:
    """Make every node of `path`, and the leaf, writable; return the leaf."""
    above: Branch | None = None
    place = 0
    for depth, (branch, index) in enumerate(path):
        owned = branch
        if branch.owner is not dirty:
            dirty.free(branch)
            owned = branch.copy(dirty)
            path[depth] = owned, index
            if above is not None:
                above.children[place] = owned
        above, place = owned, index
    if leaf.owner is not dirty:
        dirty.free(leaf)
        leaf = leaf.copy(dirty)
        if above is not None:
            above.children[place] = leaf
    return leaf


def _lower_keys(path: list[tuple[Branch, int]], key: bytes) -> None:
    """Lower the keys of the branches on the path, so that they include `key`."""
    for branch, index in path:
        if key < branch.keys[index]:
            branch.set_key(index, key)


def _restore_after_append(dirty: DirtyNodes, path: list[tuple[Branch, int]], leaf: Leaf) -> Node:
    pieces: list[Node] = [leaf]
    if len(leaf.keys) > 1:
        pieces.append(leaf.split(len(leaf.keys) - 1))
    if not path:
        return _restore_root(dirty, leaf, pieces)
    parent, index = path.pop()
    _set_children(parent, index, 1, pieces)
    return _restore(dirty, path, parent, shrinking=False)


def _restore(
    dirty: DirtyNodes, path: list[tuple[Branch, int]], node: Node, *, shrinking: bool
) -> Node:
    """Bring every node on the way up to a lawful size and the keys beside them up to date."""
    while path:
        parent, index = path.pop()
        if not node.keys:
            parent.remove(index)
        elif shrinking and _is_small(node, dirty.page_size) and len(parent.children) > 1:
            # First: a branch with one child may have a key larger than a page.
            _merge(dirty, parent, index)
        elif node.size > dirty.page_size:
            _set_children(parent, index, 1, _split(node, dirty.page_size))
        elif parent.keys[index] != node.keys[0]:
            parent.set_key(index, node.keys[0])
        node = parent
    return _restore_root(dirty, node, _split(node, dirty.page_size))


def _restore_root(dirty: DirtyNodes, root: Node, pieces: list[Node]) -> Node:
    while len(pieces) > 1:
        root = Branch([], [], EMPTY_SIZE, dirty)
        _set_children(root, 0, 0, pieces)
        pieces = _split(root, dirty.page_size)
    while isinstance(root, Branch) and len(root.children) == 1:
        only = root.children[0]
        dirty.free(root)
        root = dirty.load(only)
    if isinstance(root, Branch) and not root.children:
        return Leaf([], [], [], EMPTY_SIZE, dirty)
    return root


def _is_small(node: Node, page_size: int) -> bool:
    if isinstance(node, Branch) and len(node.children) < _MIN_BRANCH_CHILDREN:
        return True
    return node.size < page_size // 4


def _merge(dirty: DirtyNodes, parent: Branch, index: int) -> None:
    """Join the child at `index` with a neighbour; split the two again where they are too large."""
    first = max(index - 1, 0)
    left = dirty.writable_copy(dirty.load(parent.children[first]))
    right = dirty.load(parent.children[first + 1])
    if isinstance(left, Leaf) and isinstance(right, Leaf):  # noqa: SIM114 (narrows both)
        left.absorb(right)
    elif isinstance(left, Branch) and isinstance(right, Branch):
        left.absorb(right)
    else:
        raise CorruptError("a leaf and a branch stand side by side in one branch")
    dirty.free(right)
    _set_children(parent, first, 2, _split(left, dirty.page_size))


def _set_children(parent: Branch, index: int, count: int, pieces: list[Node]) -> None:
    """Put `pieces` in the place of `count` children from `index` on."""
    for _ in range(count):
        parent.remove(index)
    for offset, piece in enumerate(pieces):
        parent.insert(index + offset, piece)


def _split(node: Node, page_size: int) -> list[Node]:
    """Split a node until each part fits a page or cannot be split further."""
    pieces: list[Node] = [node]
    index = 0
    while index < len(pieces):
        piece = pieces[index]
        place = _split_place(piece) if piece.size > page_size else 0
        if place:
            pieces.insert(index + 1, piece.split(place))
        else:
            index += 1
    return pieces


def _split_place(node: Node) -> int:
    """Return where to cut in halves: 0 where there are too few elements for two pieces."""
    least = _MIN_BRANCH_CHILDREN if isinstance(node, Branch) else 1
    count = len(node.keys)
    if count < 2 * least:
        return 0
    half, place = EMPTY_SIZE, 0
    while place < count - least and (place < least or half < node.size // 2):
        half += node.element_size(place)
        place += 1
    return place


def leaves(load: Callable[[int], Node], root: Node, start: bytes) -> Iterator[Leaf]:
    """Iterate over the leaves of a tree that does not change, from the one of `start` on.

    Raises:
        CorruptError: the tree has a cycle, or a page is damaged.
    """
    path: list[tuple[Branch, int]] = []
    reached = b""
    node = root
    while True:
        while isinstance(node, Branch):
            if len(path) == MAX_DEPTH:
                raise CorruptError(f"the tree is deeper than {MAX_DEPTH} levels")
            index = child_index(node, start)
            path.append((node, index))
            child = node.children[index]
            node = load(child) if isinstance(child, int) else child
        yield node
        start = b""
        while path and path[-1][1] + 1 == len(path[-1][0].children):
            path.pop()
        if not path:
            return
        branch, index = path.pop()
        path.append((branch, index + 1))
        # A page that a damaged tree refers to again and again would be visited as often.
        require_order(reached, branch.keys[index + 1])
        reached = branch.keys[index + 1]
        child = branch.children[index + 1]
        node = load(child) if isinstance(child, int) else child


def require_order(lower: bytes, upper: bytes) -> None:
    """Raise CorruptError where two keys of branches, met one after the other, do not ascend."""
    if lower >= upper:
        raise CorruptError(f"the keys of a branch do not ascend: {lower!r}, {upper!r}")
