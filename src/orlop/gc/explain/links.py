"""All references to a node, whether they keep it alive or not.

The mark says what holds; this says the rest, too: what a lease held until it expired, what
would be held if a condition were met, what is referred to by garbage only.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from orlop.gc.edges import ALIKE, TO_FLAT
from orlop.gc.graph import BACK, OWN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orlop.gc.graph import Graph, Mention
    from orlop.gc.mark import Mark
    from orlop.gc.marked import Marked
    from orlop.gc.node import Node


class Standing(enum.Enum):
    """Whether a reference keeps its target alive, and if not, why; as predicate text."""

    __hash__ = object.__hash__  # that of enumerations is slow, and all garbage is looked up

    HOLDS = "holds it"
    EXPIRED = "held it until it expired"
    UNMET = "would hold it under a condition that is not met"
    FLAT = "refers to it, but is itself held flat"
    UNREACHABLE = "refers to it, but nothing holds that either"


class Link(NamedTuple):
    """A label or field that refers to something.

    Attributes:
        source: the node that refers, whole.
        edge: the label or field.
        target: what is referred to, whole; it may not exist.
        standing: whether it holds its target.
        is_back: whether the label is the target's own, and names its source.
        is_flat: whether it holds its target flat only, if it does: so a flat lease does.
    """

    source: Node
    edge: str
    target: Node
    standing: Standing
    is_back: bool = False
    is_flat: bool = False


def links(marked: Marked) -> list[Link]:
    """Return all links between records, and between names that records mention."""
    return _links_to(marked, range(len(marked.graph)))


def links_to(marked: Marked, nodes: Iterable[Node]) -> list[Link]:
    """Return the links to some nodes, in the order in which a scan reads them."""
    found = map(marked.graph.find, nodes)
    return _links_to(marked, (node_id for node_id in found if node_id is not None))


def dangling(marked: Marked) -> list[Link]:
    """Return the links to nodes that do not exist, and back references from such nodes.

    Many are no fault: an index names the manifests of all platforms, and a store rarely has
    all of them.
    """
    graph = marked.graph
    missing = {node_id for node_id in range(len(graph)) if not graph.exists(node_id)}
    children = {child for parent in missing for child in graph.children(parent)}
    return [
        link
        for link in _links_to(marked, missing | children)
        if (link.source if link.is_back else link.target) not in graph
    ]


def standing(graph: Graph, mark: Mark, mention: Mention) -> Standing:
    """Return whether a mention holds its target, and if not, why."""
    source, origin = mention.source, mention.origin
    if not mention.is_met:
        return Standing.UNMET
    if origin == OWN and graph.is_lease(source) and graph.has_expired(source, mark.now):
        return Standing.EXPIRED
    if mark.has(source << 1):
        return Standing.HOLDS
    if mark.has(source << 1 | 1):
        return Standing.HOLDS if mention.kind == ALIKE else Standing.FLAT
    return Standing.UNREACHABLE


def _links_to(marked: Marked, node_ids: Iterable[int]) -> list[Link]:
    graph, mark = marked.graph, marked.mark
    found = [
        (node_id, mention)
        for node_id in node_ids
        for mention in graph.mentions(node_id, mark.now)
        if graph.exists(node_id if mention.origin == BACK else mention.source)
    ]
    found.sort(key=lambda one: _scan_order(graph, *one))
    return [
        Link(
            graph.node(mention.source),
            graph.rule(mention.rule),
            graph.node(target),
            standing(graph, mark, mention),
            is_back=mention.origin == BACK,
            is_flat=mention.kind == TO_FLAT,
        )
        for target, mention in found
    ]


def _scan_order(graph: Graph, target: int, mention: Mention) -> tuple[object, ...]:
    """Return the sort key of a link: the record that has the label or field, then that."""
    is_back = mention.origin == BACK
    record, other = (target, mention.source) if is_back else (mention.source, target)
    order = graph.ids.scan_order
    return order(record), is_back, graph.rule(mention.rule), order(other)
