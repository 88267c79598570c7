"""Nodes in memory: the leaves and branches of a bucket's tree.

A node has an owner, the transaction that made it, and only that one may change it. A node
that was read from a page, or whose transaction has ended, is frozen: whoever wants to
change it makes a copy. So readers, the transaction that is being written out and the one
that already builds on it can share nodes without a lock.

A child is named by its page where it has one, else by the node itself. The key beside a
child is always exactly the first key below it: bbolt finds a child's place in its parent
by that key, and would add a second entry where the two differ.

Nodes are split as they grow (`orlop.bolt.btree`), so that no operation ever costs more than
one node, whatever a transaction has done before.

Source: go.etcd.io/bbolt, node.go.
"""

from __future__ import annotations

from typing import Final, TypeAlias

BUCKET_FLAG: Final = 0x01
"""Marks a leaf's element as a nested bucket."""

ELEMENT_SIZE: Final = 16
"""Bytes that each element takes in its page's table, in leaves and in branches."""

EMPTY_SIZE: Final = 16
"""Bytes that a node without elements takes: its page header."""

BUCKET_HEADER_SIZE: Final = 16
"""Bytes at the head of a bucket's value."""


class Leaf:
    """Keys with values or nested buckets.

    Attributes:
        keys: in ascending order.
        values: one for each key; for a nested bucket that the owner has changed, its
            `BucketState` in place of bytes.
        flags: one for each key; `BUCKET_FLAG` where a nested bucket is.
        size: bytes that the node takes in a file, page header included.
        owner: the `DirtyNodes` of the transaction that may change the node; None: it is frozen.
        page: the page that holds the node; 0 while there is none.
        span: the pages that it takes, overflow included.
    """

    __slots__ = ("flags", "keys", "owner", "page", "size", "span", "values")

    def __init__(
        self,
        keys: list[bytes],
        values: list[bytes | BucketState],
        flags: list[int],
        size: int,
        owner: object | None = None,
    ) -> None:
        self.keys = keys
        self.values = values
        self.flags = flags
        self.size = size
        self.owner = owner
        self.page = 0
        self.span = 1

    def copy(self, owner: object) -> Leaf:
        """Return a copy that `owner` may change."""
        return Leaf(self.keys[:], self.values[:], self.flags[:], self.size, owner)

    def insert(self, index: int, key: bytes, value: bytes | BucketState, flag: int) -> None:
        """Put a new element in front of the one at `index`."""
        self.keys.insert(index, key)
        self.values.insert(index, value)
        self.flags.insert(index, flag)
        self.size += ELEMENT_SIZE + len(key) + value_size(value)

    def replace(self, index: int, value: bytes | BucketState) -> None:
        """Set the value at `index`."""
        self.size += value_size(value) - value_size(self.values[index])
        self.values[index] = value

    def remove(self, index: int) -> None:
        """Remove the element at `index`."""
        self.size -= self.element_size(index)
        del self.keys[index], self.values[index], self.flags[index]

    def element_size(self, index: int) -> int:
        """Return the bytes that the element at `index` takes in a file."""
        return ELEMENT_SIZE + len(self.keys[index]) + value_size(self.values[index])

    def split(self, index: int) -> Leaf:
        """Cut off the elements from `index` on and return them as a new node."""
        right = Leaf(
            self.keys[index:],
            self.values[index:],
            self.flags[index:],
            EMPTY_SIZE,
            self.owner,
        )
        right.size += sum(map(right.element_size, range(len(right.keys))))
        self.size -= right.size - EMPTY_SIZE
        del self.keys[index:], self.values[index:], self.flags[index:]
        return right

    def absorb(self, right: Leaf) -> None:
        """Append all elements of the node to the right."""
        self.keys += right.keys
        self.values += right.values
        self.flags += right.flags
        self.size += right.size - EMPTY_SIZE


class Branch:
    """Keys with the nodes below them; each key is the first one of its child.

    Attributes: as in `Leaf`; `children` hold page ids, or nodes that have no page yet.
    """

    __slots__ = ("children", "keys", "owner", "page", "size", "span")

    def __init__(
        self,
        keys: list[bytes],
        children: list[int | Node],
        size: int,
        owner: object | None = None,
    ) -> None:
        self.keys = keys
        self.children = children
        self.size = size
        self.owner = owner
        self.page = 0
        self.span = 1

    def copy(self, owner: object) -> Branch:
        """Return a copy that `owner` may change."""
        return Branch(self.keys[:], self.children[:], self.size, owner)

    def set_key(self, index: int, key: bytes) -> None:
        """Set the key at `index`: the first key of the child there has changed."""
        self.size += len(key) - len(self.keys[index])
        self.keys[index] = key

    def insert(self, index: int, child: Node) -> None:
        """Put a child in front of the one at `index`."""
        self.keys.insert(index, child.keys[0])
        self.children.insert(index, child)
        self.size += ELEMENT_SIZE + len(child.keys[0])

    def remove(self, index: int) -> None:
        """Remove the child at `index`."""
        self.size -= self.element_size(index)
        del self.keys[index], self.children[index]

    def element_size(self, index: int) -> int:
        """Return the bytes that the element at `index` takes in a file."""
        return ELEMENT_SIZE + len(self.keys[index])

    def split(self, index: int) -> Branch:
        """Cut off the children from `index` on and return them as a new node."""
        right = Branch(self.keys[index:], self.children[index:], EMPTY_SIZE, self.owner)
        right.size += sum(map(right.element_size, range(len(right.keys))))
        self.size -= right.size - EMPTY_SIZE
        del self.keys[index:], self.children[index:]
        return right

    def absorb(self, right: Branch) -> None:
        """Append all children of the node to the right."""
        self.keys += right.keys
        self.children += right.children
        self.size += right.size - EMPTY_SIZE


Node: TypeAlias = "Leaf | Branch"


class BucketState:
    """A bucket as a value in its parent: its tree and its sequence. Never changed.

    Attributes:
        tree: the root: a page id, or a node that has no page (yet).
        sequence: the bucket's counter.
        inline: whether the tree is one small leaf that stands inside the value itself.
        size: bytes that the value takes in the parent's leaf.
    """

    __slots__ = ("inline", "sequence", "size", "tree")

    def __init__(self, tree: int | Node, sequence: int, page_size: int) -> None:
        self.tree = tree
        self.sequence = sequence
        self.inline = False
        self.size = BUCKET_HEADER_SIZE
        if (
            isinstance(tree, Leaf)
            and not tree.page
            # bbolt's rule: a quarter of a page, and no bucket inside.
            and tree.size <= page_size // 4
            and BUCKET_FLAG not in tree.flags
        ):
            self.inline = True
            self.size += tree.size


def value_size(value: bytes | BucketState) -> int:
    """Return the bytes that a leaf's value takes in a file."""
    return value.size if isinstance(value, BucketState) else len(value)
