"""The mark: what can be reached from the roots (tricolor, depth first).

White is what was not seen, grey what waits on the stack, black what was expanded. A node
that is reached flat and later whole is expanded again, because whole it refers to more.

Source: containerd, pkg/gc (Tricolor); spec/metadata.md 3.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from orlop.gc.node import Node


class Mark:
    """The nodes that were reached so far.

    Attributes:
        seen: as they were reached: flat and whole are two.
        reachable: without that difference: what is held.
    """

    def __init__(self, references: Callable[[Node], Iterable[Node]]) -> None:
        """Begin with nothing; `references` tells what a node refers to."""
        self._references = references
        self.seen: set[Node] = set()
        self.reachable: set[Node] = set()

    def reach(self, nodes: Iterable[Node]) -> None:
        """Mark nodes and all that can be reached from them."""
        grey = list(nodes)
        while grey:
            node = grey.pop()
            if node in self.seen:
                continue
            self.seen.add(node)
            self.reachable.add(node.whole)
            grey.extend(one for one in self._references(node) if one not in self.seen)
