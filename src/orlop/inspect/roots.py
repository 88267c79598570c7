"""The root nodes, with their references."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orlop.gc.explain.links import dangling

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whenever import Instant

    from orlop.gc.explain.links import Link
    from orlop.gc.marked import Marked
    from orlop.gc.node import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class RootRecord:
    """A record that holds itself.

    Attributes:
        node: the record.
        rule: its type, or the label that makes it a root.
        expires_at: after that moment it is none; `None`: it never ends by itself.
        references: how many things it refers to.
    """

    node: Node
    rule: str
    expires_at: Instant | None
    references: int


def roots(marked: Marked, *, namespace: str | None = None) -> Iterator[RootRecord]:
    """Iterate over the roots, namespace by namespace."""
    for node, rule in marked.roots.items():
        facts = marked.graph.facts(node)
        if facts is not None and namespace in {None, node.namespace}:
            edges = {edge.target.whole for edge in marked.graph.references(node, marked.now)}
            yield RootRecord(
                node=node, rule=rule, expires_at=facts.expires_at, references=len(edges)
            )


def dangling_links(marked: Marked, *, namespace: str | None = None) -> Iterator[Link]:
    """Iterate over the references to records that do not exist."""
    return (one for one in dangling(marked) if namespace in {None, one.source.namespace})
