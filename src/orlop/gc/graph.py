"""The graph: all that the records of a database refer to, in some bytes for each node.

It answers runs, plans and questions alike. Nodes are ids, references lie in arrays, and the
labels and fields that make them are numbers, so that a million records take some hundred
megabytes, and Python's own collector has nothing to go through.

A node can be reached whole or flat. Where that matters, a number stands for both the node and
its form: a *state* is the id, and in the last bit whether it is flat.

What a record says does not depend on the time; methods that depend on it are given the moment.

Source: containerd, core/metadata/gc.go; spec/metadata.md 3.3 and 3.4.
"""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING, Final, NamedTuple

from orlop.gc.edges import ALIKE, KIND_BITS, KIND_MASK, TO_FLAT, WHOLE, EdgeArrays
from orlop.gc.node import IMAGE, LEASE, SWEPT
from orlop.gc.node_ids import NodeIds

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping

    from whenever import Instant

    from orlop.gc.facts import Facts
    from orlop.gc.node import Node
    from orlop.gc.resources import CheckedSession
    from orlop.gc.rules import Comparison

_EXISTS: Final = 1
_ROOT: Final = 2
_SWEPT: Final = 4
_LEASE: Final = 8
_EXPIRES: Final = 16
_HAVING: Final = {
    flag: bytes(bool(flags & flag) for flags in range(256))
    for flag in (_EXISTS, _ROOT, _SWEPT, _LEASE)
}
"""For each flag, by all flags of a node: whether it is among them."""

_GROWTH: Final = 4_096
"""For so many more nodes there is room at once."""

# Who says that one node refers to another.
OWN: Final = 0
"""A field or label of the node that refers, or a plug-in that asks what a lease holds."""
CONDITION: Final = 1
"""A label of the node that refers, under a condition."""
BACK: Final = 2
"""A label of the node that is referred to: a back reference."""
RESOURCE: Final = 3
"""A plug-in, as a back reference."""


class Mention(NamedTuple):
    """A label or field by which one node refers to another, whether that holds it now or not.

    Attributes:
        source: the node that refers.
        rule: the label or field, by number.
        origin: one of the four above.
        kind: what it says of flat and whole, as in `edges`.
        is_met: whether its condition holds, if it has one.
    """

    source: int
    rule: int
    origin: int = OWN
    kind: int = WHOLE
    is_met: bool = True


class Graph:
    """Nodes and their references.

    Attributes:
        ids: of the nodes. Whoever adds one says so in `add_plain`.
        swept_count: how many records there are that a collection may remove.
        kept: the leases and ingests that hold themselves whatever the time, because this process
            uses them.
    """

    def __init__(self) -> None:
        self.ids = NodeIds()
        self._edges = EdgeArrays()
        self._flags = bytearray()
        self.swept_count = 0
        # Few records have these. Rules are numbers everywhere.
        self._expires: dict[int, Instant] = {}
        self.kept: set[int] = set()
        self._root_rules: dict[int, tuple[int, ...]] = {}
        # By child its parents, and by parent its children, each with the rule.
        self._parents: dict[int, tuple[tuple[int, int], ...]] = {}
        self._children: dict[int, list[tuple[int, int]]] = {}
        # By the node that has conditions: targets, comparisons and rules; then by target.
        self._conditions: dict[int, tuple[tuple[int, tuple[Comparison, ...], int], ...]] = {}
        self._waiting: dict[int, set[int]] = {}
        self._used_at: dict[int, tuple[int, ...]] = {}
        # What plug-ins say that leases hold, as states; and all that they say, by target.
        self._leased: dict[int, list[tuple[int, int]]] = {}
        self._resource_mentions: dict[int, list[Mention]] = {}
        # Resources of other kinds whose references are known.
        self._asked: set[int] = set()

    def __len__(self) -> int:
        """Return how many ids there are; some are only names."""
        return self.ids.count

    def __iter__(self) -> Iterator[Node]:
        """Iterate over the records that exist."""
        return map(self.node, self._having(_EXISTS))

    def __contains__(self, node: Node) -> bool:
        node_id = self.ids.find(node)
        return node_id is not None and self.exists(node_id)

    def node(self, node_id: int) -> Node:
        """Return the node that has an id, whole."""
        return self.ids.node(node_id)

    def node_of(self, state: int) -> Node:
        """Return the node of a state, whole or flat."""
        node = self.ids.node(state >> 1)
        return node.flat if state & 1 else node

    def find(self, node: Node) -> int | None:
        """Return the id of a node, `None` where nothing has that name."""
        return self.ids.find(node)

    def rule(self, rule_id: int) -> str:
        """Return the label or field that has a number."""
        return self._edges.rules[rule_id]

    def rule_id(self, rule: str) -> int:
        """Return the number of a label or field."""
        return self._edges.rule_id(rule)

    @property
    def is_mostly_unused(self) -> bool:
        """Whether more labels were numbered than there are references left."""
        return self._edges.is_mostly_rules

    def add(self, facts: Facts) -> int:
        """Add the facts of a record that is not there yet; return its id."""
        node_id = self._id(facts.node)
        references, rules = [], []
        for edge in facts.references:
            kind = ALIKE if edge.follows_flat else TO_FLAT if edge.target.is_flat else WHOLE
            references.append(self._id(edge.target) << KIND_BITS | kind)
            rules.append(self.rule_id(edge.rule))
        flags = flags_of(facts.node.type, is_root=bool(facts.root))
        if facts.expires_at is not None:
            flags |= _EXPIRES
            self._expires[node_id] = facts.expires_at
        self.add_plain(node_id, flags, references, rules)
        if facts.root and facts.root != facts.node.type:
            roots = [self.rule_id(rule) for rule in (facts.root, *facts.other_roots)]
            self._root_rules[node_id] = tuple(roots)
        if facts.parents or facts.conditional or facts.used_at:
            self._add_rare(node_id, facts)
        return node_id

    def add_plain(self, node_id: int, flags: int, references: list[int], rules: list[int]) -> None:
        """Add a record that is not there yet, and of which facts would say no more than this.

        Args:
            node_id: its id; it may be new, as those of what it refers to.
            flags: as `flags_of` has them.
            references: what it refers to, as `EdgeArrays` has it.
            rules: by which labels or fields, for each reference.
        """
        if self.ids.count > len(self._flags):
            self._grow()
        self._flags[node_id] = flags
        if flags & _SWEPT:
            self.swept_count += 1
        if references:
            self._edges.put(node_id, references, rules)

    def _add_rare(self, node_id: int, facts: Facts) -> None:
        if facts.parents:
            parents = [(self._id(edge.target), self.rule_id(edge.rule)) for edge in facts.parents]
            self._parents[node_id] = tuple(parents)
            for parent, rule in parents:
                self._children.setdefault(parent, []).append((node_id, rule))
        if facts.conditional:
            conditions = [
                (self._id(one.edge.target), one.comparisons, self.rule_id(one.edge.rule))
                for one in facts.conditional
            ]
            self._conditions[node_id] = tuple(conditions)
            for target, _, _ in conditions:
                self._waiting.setdefault(target, set()).add(node_id)
        if facts.used_at:
            self._used_at[node_id] = facts.used_at

    def replace(self, node: Node, facts: Facts | None) -> set[int]:
        """Replace the facts of a record by new ones; `None`: it is gone.

        Returns:
            The ids of nodes that may refer to more than before.
        """
        node_id = self.ids.find(node)
        if node_id is not None and self._flags[node_id]:
            self._forget(node_id)
        if facts is None:
            return set()
        node_id = self.add(facts)
        parents = [parent for parent, _ in self._parents.get(node_id, ())]
        return {node_id, *parents, *self._waiting.get(node_id, ())}

    def _forget(self, node_id: int) -> None:
        self.swept_count -= bool(self._flags[node_id] & _SWEPT)
        self._flags[node_id] = 0
        self._edges.forget(node_id)
        self._expires.pop(node_id, None)
        self._root_rules.pop(node_id, None)
        self._used_at.pop(node_id, None)
        for parent, rule in self._parents.pop(node_id, ()):
            children = self._children[parent]
            children.remove((node_id, rule))
            if not children:
                del self._children[parent]
        for target, _, _ in self._conditions.pop(node_id, ()):
            waiting = self._waiting.get(target)
            if waiting is not None:
                waiting.discard(node_id)
                if not waiting:
                    del self._waiting[target]

    def tidy(self, yield_to_writers: Callable[[], None]) -> None:
        """Drop the unused slots of references, if they are many; not to be done while updates wait.

        Args:
            yield_to_writers: is called periodically, so that updates can proceed.
        """
        self._edges.tidy(yield_to_writers)

    def add_sessions(
        self, sessions: Mapping[str, CheckedSession], namespaces: Iterable[str]
    ) -> set[int]:
        """Add the resources of other kinds, once; the records must be there before.

        Args:
            sessions: the part of each kind of resource in a run, by type.
            namespaces: those that exist.

        Returns:
            The ids of nodes that may refer to more than before.

        Raises:
            ResourceError: a plug-in failed.
        """
        leases = list(self._having(_LEASE))
        all_namespaces = tuple(namespaces)
        affected: set[int] = set()
        for kind, session in sessions.items():
            nodes: dict[Node, int] = {}
            rule = self.rule_id(kind)
            for node in session.all():
                nodes[node.whole] = _EXISTS | _ROOT if session.is_kept else _EXISTS | _SWEPT
            for namespace in all_namespaces:
                for node in session.active(namespace):
                    nodes[node.whole] = nodes.get(node.whole, _EXISTS) | _ROOT
                for parent, child in session.back_references(namespace):
                    affected.add(self._add_child(parent, child, rule))
            for lease in leases:
                holder = self.node(lease)
                for held in session.leased(holder.namespace, holder.key):
                    self._add_leased(lease, held, rule)
                    affected.add(lease)
                    if held.type == kind:
                        nodes.setdefault(held.whole, _EXISTS)
            for node, flags in nodes.items():
                affected.add(self._add_resource(session, node, flags))
        return affected

    def _add_child(self, parent: Node, child: Node, rule: int) -> int:
        """Add a back reference that a plug-in reported; return the id of its parent."""
        parent_id, child_id = self._id(parent), self._id(child)
        self._children.setdefault(parent_id, []).append((child_id, rule))
        mention = Mention(parent_id, rule, RESOURCE)
        self._resource_mentions.setdefault(child_id, []).append(mention)
        return parent_id

    def _add_leased(self, lease: int, held: Node, rule: int) -> None:
        """Add a reference of a lease that a plug-in reported."""
        held_id = self._id(held)
        self._leased.setdefault(lease, []).append((held_id << 1 | held.is_flat, rule))
        mention = Mention(lease, rule, OWN, TO_FLAT if held.is_flat else WHOLE)
        self._resource_mentions.setdefault(held_id, []).append(mention)

    def _add_resource(self, session: CheckedSession, node: Node, flags: int) -> int:
        """Add a resource of another kind, or flags to one; return its id."""
        node_id = self._id(node)
        if node_id not in self._asked:
            self.add_references(node_id, session.references(node))
        before = self._flags[node_id]
        self.swept_count += bool(flags & ~before & _SWEPT)
        self._flags[node_id] = before | flags
        return node_id

    def unasked(self, kinds: Container[str]) -> list[int]:
        """Return the nodes of these types that have not been asked for references yet."""
        return [one for one in self.ids.of_types(kinds) if one not in self._asked]

    def add_references(self, node_id: int, targets: Iterable[Node]) -> None:
        """Add the references of a resource of another kind. It need not exist."""
        self._asked.add(node_id)
        references = [
            self._id(one) << KIND_BITS | (TO_FLAT if one.is_flat else WHOLE) for one in targets
        ]
        if references:
            rule = self.rule_id(self.ids.type_of(node_id))
            self._edges.put(node_id, references, [rule] * len(references))

    def roots(self, now: Instant) -> Iterator[int]:
        """Iterate over the root nodes at `now`."""
        for node_id in self._having(_ROOT):
            if not self.has_expired(node_id, now):
                yield node_id
        for node_id in tuple(self.kept):
            if self._flags[node_id] & (_EXISTS | _ROOT) == _EXISTS:
                yield node_id

    def is_root(self, node_id: int, now: Instant) -> bool:
        """Whether a node is a root at `now`."""
        flags = self._flags[node_id]
        if node_id in self.kept:
            return bool(flags & _EXISTS)
        return bool(flags & _ROOT) and not self.has_expired(node_id, now)

    def root_rules(self, node_id: int) -> list[str]:
        """Return the type or the labels that make a node a root; none if it is no root."""
        if not self._flags[node_id] & _ROOT and node_id not in self.kept:
            return []
        rules = self._root_rules.get(node_id)
        if rules is None:
            return [self.ids.type_of(node_id)]
        return [self.rule(one) for one in rules]

    def has_expired(self, node_id: int, now: Instant) -> bool:
        """Whether `now` is after the expiry of a node."""
        if not self._flags[node_id] & _EXPIRES or node_id in self.kept:
            return False
        return now > self._expires[node_id]

    def expires_at(self, node_id: int) -> Instant | None:
        """Return the expiry of a node; `None` where it has none, or is kept from it."""
        return None if node_id in self.kept else self._expires.get(node_id)

    def swept(self) -> list[Node]:
        """Return the nodes that a collection may remove, in the order of a sweep."""
        return [self.node(one) for one in self.in_scan_order(self.swept_ids())]

    def swept_ids(self) -> Iterator[int]:
        """Iterate over the nodes that a collection may remove."""
        return self._having(_SWEPT)

    def in_scan_order(self, node_ids: Iterable[int]) -> list[int]:
        """Return nodes in the order in which a scan reads them, resources of other kinds last."""
        return sorted(node_ids, key=self.ids.scan_order)

    def _having(self, flag: int) -> Iterator[int]:
        """Iterate over the nodes that have a flag, as these are now."""
        return compress(range(len(self._flags)), self._flags.translate(_HAVING[flag]))

    @property
    def counts(self) -> array[int]:
        """How many references each node has by its own fields and labels."""
        return self._edges.counts

    @property
    def has_other_references(self) -> bool:
        """Whether any node refers to something for another reason."""
        return bool(self._children or self._conditions or self._leased)

    def following(self, state: int, now: Instant) -> list[int]:
        """Return the states that a state refers to at `now`, perhaps with duplicates."""
        node_id = state >> 1
        own = self._edges.of(node_id)
        if state & 1:
            return [one >> 1 | 1 for one in own if one & KIND_MASK == ALIKE]
        if self._flags[node_id] & _LEASE and self.has_expired(node_id, now):
            found = []
        else:
            # The last bit of a kind and that of a state ask the same where the node is whole.
            found = [one >> 1 for one in own]
            if self._leased:
                found += [target for target, _ in self._leased.get(node_id, ())]
            if node_id in self._conditions:
                found += [target << 1 for target, _ in self._met(node_id, now)]
        if self._children:
            found += [child << 1 for child, _ in self._children.get(node_id, ())]
        return found

    def references(self, state: int, now: Instant) -> Iterator[tuple[int, int]]:
        """Iterate over the states that a state refers to at `now`, each with the rule.

        That is `following` in containerd's order, but without the back references of images that
        are roots: containerd has none, because those are held without them.
        """
        node_id = state >> 1
        own = zip(self._edges.of(node_id), self._edges.rules_of(node_id), strict=True)
        if state & 1:
            for reference, rule in own:
                if reference & KIND_MASK == ALIKE:
                    yield reference >> 1 | 1, rule
            return
        for child, rule in self._children.get(node_id, ()):
            if self.ids.type_of(child) != IMAGE or not self.is_root(child, now):
                yield child << 1, rule
        if self._flags[node_id] & _LEASE and self.has_expired(node_id, now):
            return
        yield from self._leased.get(node_id, ())
        for reference, rule in own:
            yield reference >> 1, rule
        for target, rule in self._met(node_id, now):
            yield target << 1, rule

    def mentions(self, node_id: int, now: Instant) -> Iterator[Mention]:
        """Iterate over all references to a node, in force or not."""
        for source, rule, kind in self._edges.to(node_id):
            yield Mention(source, rule, OWN, kind)
        for parent, rule in self._parents.get(node_id, ()):
            yield Mention(parent, rule, BACK)
        for source in self._waiting.get(node_id, ()):
            met = self._met(source, now)
            for target, _, rule in self._conditions[source]:
                if target == node_id:
                    yield Mention(source, rule, CONDITION, is_met=(target, rule) in met)
        if self._resource_mentions:
            yield from self._resource_mentions.get(node_id, ())

    def referrers(self, state: int, now: Instant) -> Iterator[tuple[int, int]]:
        """Iterate over the states that refer to a state at `now`, each with the rule.

        It is `following` backwards.
        """
        is_flat = bool(state & 1)
        for source, rule, origin, kind, is_met in self.mentions(state >> 1, now):
            if origin != OWN:
                if is_met and not is_flat:
                    yield source << 1, rule
                continue
            is_lease = self._flags[source] & _LEASE
            if (kind == TO_FLAT) == is_flat and not (is_lease and self.has_expired(source, now)):
                yield source << 1, rule
            if kind == ALIKE and is_flat:
                yield source << 1 | 1, rule

    def expiries(self) -> Iterator[tuple[int, Instant]]:
        """Iterate over the nodes that expire, with the moments."""
        return iter(self._expires.items())

    def conditional(self) -> Iterator[int]:
        """Iterate over the nodes that refer to something under a condition."""
        return iter(self._conditions)

    def conditions(self) -> Iterator[tuple[tuple[Comparison, ...], tuple[int, ...]]]:
        """Iterate over the conditions, each with when its snapshot was used."""
        for conditions in self._conditions.values():
            for target, comparisons, _ in conditions:
                yield comparisons, self._used_at.get(target, ())

    def exists(self, node_id: int) -> bool:
        """Whether the record exists."""
        return bool(self._flags[node_id] & _EXISTS)

    def is_swept(self, node_id: int) -> bool:
        """Whether the record exists, and a collection may delete it."""
        return bool(self._flags[node_id] & _SWEPT)

    def is_lease(self, node_id: int) -> bool:
        """Whether the record exists, and is a lease."""
        return bool(self._flags[node_id] & _LEASE)

    def children(self, node_id: int) -> list[int]:
        """Return the nodes that a node keeps by their back references, or by a plug-in."""
        return [child for child, _ in self._children.get(node_id, ())]

    def parents(self, node_id: int) -> list[int]:
        """Return the nodes that keep a node by its own back references."""
        return [parent for parent, _ in self._parents.get(node_id, ())]

    def mentioned(self, node_id: int) -> Iterator[int]:
        """Iterate over the nodes that a node may refer to at any moment."""
        for child, _ in self._children.get(node_id, ()):
            yield child
        for state, _ in self._leased.get(node_id, ()):
            yield state >> 1
        for one in self._edges.of(node_id):
            yield one >> KIND_BITS
        for target, _, _ in self._conditions.get(node_id, ()):
            yield target

    def _met(self, node_id: int, now: Instant) -> list[tuple[int, int]]:
        """Return the targets of a node's conditions that are met now, each with the rule."""
        conditions = self._conditions.get(node_id)
        if conditions is None:
            return []
        moment = now.timestamp(unit="nanosecond")
        return [
            (target, rule)
            for target, comparisons, rule in conditions
            if any(
                one.holds(at, moment) for one in comparisons for at in self._used_at.get(target, ())
            )
        ]

    def _id(self, node: Node) -> int:
        node_id = self.ids.of(node)
        if node_id >= len(self._flags):
            self._grow()
        return node_id

    def _grow(self) -> None:
        """Make room for all nodes, and for some more."""
        room = self.ids.count + _GROWTH
        self._flags.extend(bytes(room - len(self._flags)))
        self._edges.grow(room)


def flags_of(kind: str, *, is_root: bool) -> int:
    """Return the flags of a record.

    Args:
        kind: the type of its node.
        is_root: whether it holds itself.
    """
    flags = _EXISTS
    if is_root:
        flags |= _ROOT
    if kind in SWEPT:
        flags |= _SWEPT
    if kind == LEASE:
        flags |= _LEASE
    return flags
