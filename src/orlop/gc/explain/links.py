"""Who refers to whom, whether that holds anything or not.

The graph says what holds; this says the rest, too: what a lease held until it expired, what
would be held if a condition were met, what only refers to something because nobody has removed
it yet.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from orlop.gc.facts import Edge
from orlop.gc.node import LEASE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.gc.facts import Facts
    from orlop.gc.marked import Marked
    from orlop.gc.node import Node


class Standing(enum.Enum):
    """What a link is worth, in words that follow the one who refers."""

    HOLDS = "holds it"
    EXPIRED = "held it until it expired"
    UNMET = "would hold it under a condition that is not met"
    FLAT = "refers to it, but is itself held flat"
    LOOSE = "refers to it, but nothing holds that either"


class Link(NamedTuple):
    """A label or field that refers to something.

    Attributes:
        source: who refers, whole.
        edge: the label or field.
        target: what is referred to, whole; it may not exist.
        standing: what the link is worth.
        is_back: whether the label is the target's own, and names its source.
        is_flat: whether it holds its target flat only, if it does: so a flat lease does.
    """

    source: Node
    edge: str
    target: Node
    standing: Standing
    is_back: bool = False
    is_flat: bool = False


def links(marked: Marked) -> Iterator[Link]:
    """Iterate over all links between records, and between names that records mention."""
    for facts in marked.graph.all_facts():
        yield from _forward(marked, facts)
        for parent in facts.parents:
            standing = _standing(marked, parent.target)
            yield Link(parent.target, parent.rule, facts.node, standing, is_back=True)


def dangling(marked: Marked) -> Iterator[Link]:
    """Iterate over the links that lead to what does not exist.

    Many are no fault: an index names the manifests of all platforms, and a store rarely has
    all of them.
    """
    for link in links(marked):
        missing = link.source if link.is_back else link.target
        if missing not in marked.graph:
            yield link


def _forward(marked: Marked, facts: Facts) -> Iterator[Link]:
    """Iterate over what a record refers to by its own fields and labels, or is said to."""
    node = facts.node
    standing = _standing(marked, node)
    for edge in facts.references:
        holds = standing is Standing.FLAT and edge.follows_flat
        worth = Standing.HOLDS if holds else standing
        yield Link(node, edge.rule, edge.target.whole, worth, is_flat=edge.target.is_flat)
    now = list(marked.graph.references(node, marked.now))
    for conditional in facts.conditional:
        met = conditional.edge in now
        yield Link(
            node,
            conditional.edge.rule,
            conditional.edge.target,
            standing if met else Standing.UNMET,
        )
    said = {*facts.references, *(one.edge for one in facts.conditional)}
    for edge in now:
        # What is left is what resources of other kinds say of this node.
        if edge not in said and not _is_back_reference(marked, node, edge):
            yield Link(node, edge.rule, edge.target.whole, standing)


def _standing(marked: Marked, source: Node) -> Standing:
    if source in marked.mark.seen:
        return Standing.HOLDS
    if source.flat in marked.mark.seen:
        return Standing.FLAT
    facts = marked.graph.facts(source)
    if source.type == LEASE and facts is not None and facts.has_expired(marked.now):
        return Standing.EXPIRED
    return Standing.LOOSE


def _is_back_reference(marked: Marked, node: Node, edge: Edge) -> bool:
    child = marked.graph.facts(edge.target)
    return child is not None and Edge(node, edge.rule) in child.parents
