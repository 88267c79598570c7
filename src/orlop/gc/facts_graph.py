"""The graph: all that the records of a database say to the collector, together.

It is read once, from one version, and answers for any moment: which nodes are roots then,
and what each node refers to. Plans and questions need all of that; a collection needs less,
and has it in `compact`.

Source: containerd, core/metadata/gc.go; spec/metadata.md 3.3 and 3.4.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from orlop.gc.facts import Edge, Facts
from orlop.gc.node import IMAGE, LEASE, SWEPT, Node
from orlop.gc.omissions import Omissions
from orlop.gc.rules import RuleBook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from whenever import Instant

    from orlop.gc.resources import CheckedSession
    from orlop.kv import Transaction


class Root(NamedTuple):
    """A node that is held by itself, and the type or label that says so."""

    node: Node
    rule: str


class FactsGraph:
    """Facts by node, and the back references between them."""

    def __init__(self) -> None:
        self._facts: dict[Node, Facts] = {}
        self._children: dict[Node, list[Edge]] = {}
        self._leased: dict[Node, list[Edge]] = {}
        self._resources: list[Node] = []
        self._sessions: Mapping[str, CheckedSession] = {}
        self._answers: dict[Node, tuple[Edge, ...]] = {}

    @classmethod
    def read(
        cls,
        transaction: Transaction,
        book: RuleBook | None = None,
        without: Omissions | None = None,
    ) -> FactsGraph:
        """Read the facts of all records.

        Args:
            transaction: the version to read.
            book: the rules; `None`: those without other resources.
            without: what to leave out; `None`: nothing.

        Raises:
            NotFoundError: something that is to be left out is not there.
        """
        graph = cls()
        omissions = without or Omissions()
        for facts in omissions.read_others(transaction, book or RuleBook()):
            graph.add(facts)
        return graph

    def add(self, facts: Facts) -> None:
        """Add the facts of a record that is not there yet."""
        self._facts[facts.node] = facts
        for parent in facts.parents:
            self._children.setdefault(parent.target, []).append(Edge(facts.node, parent.rule))

    def add_sessions(
        self, sessions: Mapping[str, CheckedSession], namespaces: Iterable[str]
    ) -> None:
        """Add the resources of other kinds; the records must be there before.

        Args:
            sessions: the part of each kind of resource in a run, by type.
            namespaces: those that exist.
        """
        leases = [node for node in self._facts if node.type == LEASE]
        places = tuple(namespaces)
        self._sessions = sessions
        for kind, session in sessions.items():
            existing = dict.fromkeys(one.whole for one in session.all())
            self._resources.extend(existing)
            active: set[Node] = set()
            nodes = dict.fromkeys(existing)
            for namespace in places:
                active.update(one.whole for one in session.active(namespace))
                for parent, child in session.back_references(namespace):
                    self._children.setdefault(parent, []).append(Edge(child, kind))
            for lease in leases:
                for node in session.leased(lease.namespace, lease.key):
                    self._leased.setdefault(lease, []).append(Edge(node, kind))
                    if node.type == kind:
                        nodes[node.whole] = None
            for node in {**nodes, **dict.fromkeys(active)}:
                root = kind if node in active else ""
                self.add(Facts(node, root=root, references=self._asked(node)))

    def forget_sessions(self) -> None:
        """Ask resources of other kinds no more: their part ends."""
        self._sessions = {}

    def _asked(self, node: Node) -> tuple[Edge, ...]:
        """Return what a resource of another kind refers to, if `node` is one. It need not exist."""
        known = self._answers.get(node)
        if known is None:
            session = self._sessions.get(node.type)
            targets = () if session is None else session.references(node)
            known = self._answers[node] = tuple(Edge(one, node.type) for one in targets)
        return known

    def keep(self, in_use: Iterable[Node]) -> None:
        """Let leases and ingests that are there hold themselves: this process uses them."""
        for node in in_use:
            facts = self._facts.get(node)
            if facts is not None:
                self._facts[node] = replace(facts, root=facts.root or node.type, expires_at=None)

    def __contains__(self, node: Node) -> bool:
        return node.whole in self._facts

    def __iter__(self) -> Iterator[Node]:
        return iter(self._facts)

    def facts(self, node: Node) -> Facts | None:
        """Return what a record says, `None` where there is none."""
        return self._facts.get(node.whole)

    def all_facts(self) -> Iterable[Facts]:
        """Return what all records say, in the order in which they were read."""
        return self._facts.values()

    def roots(self, now: Instant) -> Iterator[Root]:
        """Iterate over the nodes that hold themselves at `now`.

        What a lease or a sandbox holds is among its references.
        """
        for facts in self._facts.values():
            if facts.root and not facts.has_expired(now):
                yield Root(facts.node, facts.root)

    def references(self, node: Node, now: Instant) -> Iterator[Edge]:
        """Iterate over what a node refers to at `now`; some may come twice."""
        facts = self._facts.get(node.whole)
        if node.is_flat:
            for edge in () if facts is None else facts.references:
                if edge.follows_flat:
                    yield edge._replace(target=edge.target.flat)
            return
        yield from self._back_references(node, now)
        if facts is None and (self._answers or self._sessions):
            yield from self._asked(node)
        if facts is not None and not (node.type == LEASE and facts.has_expired(now)):
            yield from self._leased.get(node, ())
            yield from facts.references
            yield from self._conditional(facts, now)

    def swept(self) -> Iterator[Node]:
        """Iterate over the nodes that a collection may remove, in the order of a sweep."""
        for node in self._facts:
            if node.type in SWEPT:
                yield node
        yield from self._resources

    def _back_references(self, node: Node, now: Instant) -> Iterator[Edge]:
        for edge in self._children.get(node, ()):
            child = self._facts.get(edge.target)
            # containerd leaves them out for images that are roots: those are held without them.
            if child is None or child.node.type != IMAGE or child.has_expired(now):
                yield edge

    def _conditional(self, facts: Facts, now: Instant) -> Iterator[Edge]:
        if not facts.conditional:
            return
        moment = now.timestamp(unit="nanosecond")
        for conditional in facts.conditional:
            snapshot = self._facts.get(conditional.edge.target)
            used = () if snapshot is None else snapshot.used_at
            if any(one.holds(at, moment) for one in conditional.comparisons for at in used):
                yield conditional.edge


class FactsMark:
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
