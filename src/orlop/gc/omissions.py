"""Omissions: records, labels and fields that a plan is made without.

An omitted record is treated as if it had been deleted: references to it remain. An omitted label
or field is treated as if it had been removed from its record.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

from orlop.errors import InvalidArgumentError, NotFoundError
from orlop.gc.node import BUILT_IN, ORPHAN, Node
from orlop.gc.record_types import RECORD_TYPES, locate
from orlop.gc.scan import read_one

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orlop.gc.facts import Facts
    from orlop.gc.graph import Graph
    from orlop.gc.rules import RuleBook
    from orlop.kv import Transaction


class Omission(NamedTuple):
    """One thing that is left out.

    Attributes:
        node: the record.
        edge: a label of it, or a field as it is called where it refers to something; for a
            lease `content`, `snapshots`, `ingests` or `images`, which leaves out all of that
            kind. Empty: the whole record is left out.
    """

    node: Node
    edge: str = ""

    def __str__(self) -> str:
        return f'"{self.edge}" of {self.node}' if self.edge else str(self.node)


class Omissions:
    """All that is left out of one plan."""

    def __init__(self, omitted: Iterable[Omission] = ()) -> None:
        self._edges: dict[Node, set[str]] = {}
        for node, edge in omitted:
            if node.type not in BUILT_IN - {ORPHAN}:
                raise InvalidArgumentError(f"{node} is no record that could be left out")
            self._edges.setdefault(node.whole, set()).add(edge)

    def __bool__(self) -> bool:
        return bool(self._edges)

    def leave_out(self, graph: Graph, transaction: Transaction, book: RuleBook) -> None:
        """Take all of it out of a graph that has all records of a version.

        Raises:
            NotFoundError: something that is to be left out is not there.
        """
        for node, edges in self._edges.items():
            facts = _checked(transaction, node, edges, book)
            left = None if "" in edges else _without(transaction, facts, edges, book)
            graph.replace(node, left)


def _without(transaction: Transaction, facts: Facts, edges: Iterable[str], book: RuleBook) -> Facts:
    left = read_one(transaction, facts.node, book.ignoring(edges)) or facts
    return dataclasses.replace(
        left, references=tuple(one for one in left.references if one.rule not in edges)
    )


def _checked(transaction: Transaction, node: Node, edges: Iterable[str], book: RuleBook) -> Facts:
    """Return the facts of a record that has the labels and fields to leave out."""
    facts = read_one(transaction, node, book)
    if facts is None:
        raise NotFoundError(str(node))
    has = {"", *(edge.rule for edge in facts.references), *_labels(transaction, node)}
    for edge in edges:
        if edge not in has:
            raise NotFoundError(f'label or field "{edge}" of {node}')
    return facts


def _labels(transaction: Transaction, node: Node) -> dict[str, str]:
    group, key = locate(node)
    return RECORD_TYPES[node.type].table.labels(group.find(transaction), key)
