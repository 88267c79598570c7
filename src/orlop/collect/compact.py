"""The graph of a collection: what `graph` holds as facts, in some bytes for each node.

It says the same as `graph` does, which answers questions: a test compares them. Nodes are
numbers here, and references lie in arrays, so that a million records take some hundred
megabytes, and Python's own collector has nothing to go through.

Source: containerd, core/metadata/gc.go; spec/metadata.md 3.3 and 3.4.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from orlop.collect.facts import Edge, Facts
from orlop.collect.node import LEASE, SWEPT
from orlop.collect.numbers import Numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from whenever import Instant

    from orlop.collect.conditions import Comparison
    from orlop.collect.node import Node
    from orlop.collect.resources import Collection

_EXISTS: Final = 1
_ROOT: Final = 2
_SWEPT: Final = 4
_LEASE: Final = 8
_EXPIRES: Final = 16

# What the last two bits of a reference say; the number of its target stands before them.
_WHOLE: Final = 0
"""Only a whole node refers to it, whole."""
_ALIKE: Final = 1
"""A whole node refers to it whole, and a flat one flat."""
_TO_FLAT: Final = 2
"""A whole node refers to it flat."""

WASTE_MIN: Final = 100_000
"""From so many references on that nobody has any more, they are dropped."""

_NONE: Final = 0
"""Where a list of references to a node ends; the slot 0 is never used."""


class CompactGraph:
    """What the records of a database refer to, by number.

    Attributes:
        swept_count: how many records there are that a collection may remove.
    """

    def __init__(self) -> None:
        self._numbers = Numbers()
        self._flags = bytearray()
        self._start = array("Q")
        self._count = array("I")
        # Slot by slot: what is referred to, by whom, and the next slot that refers to it too.
        self._references = array("I", [0])
        self._referrers = array("I", [0])
        self._next = array("I", [_NONE])
        self._first = array("I")
        self._waste = 0
        self.swept_count = 0
        # Few records have these.
        self._expires: dict[int, Instant] = {}
        self._parents: dict[int, tuple[int, ...]] = {}
        self._children: dict[int, list[int]] = {}
        self._conditions: dict[int, tuple[tuple[int, tuple[Comparison, ...]], ...]] = {}
        self._waiting: dict[int, set[int]] = {}
        self._used_at: dict[int, tuple[int, ...]] = {}
        self._leased: dict[int, list[int]] = {}

    def __len__(self) -> int:
        """Return how many numbers there are; some are only names."""
        return len(self._flags)

    def __iter__(self) -> Iterator[Node]:
        """Iterate over the records that exist."""
        return (self.node(number) for number in range(len(self)) if self._flags[number] & _EXISTS)

    def __contains__(self, node: Node) -> bool:
        number = self._numbers.find(node)
        return number is not None and bool(self._flags[number] & _EXISTS)

    def node(self, number: int) -> Node:
        """Return the node that has a number, whole."""
        return self._numbers.node(number)

    def find(self, node: Node) -> int | None:
        """Return the number of a node, `None` where nothing has that name."""
        return self._numbers.find(node)

    def add(self, facts: Facts) -> int:
        """Add the facts of a record that is not there yet; return its number."""
        number = self._number(facts.node)
        self._start[number] = len(self._references)
        for edge in facts.references:
            kind = _ALIKE if edge.follows_flat else _TO_FLAT if edge.target.is_flat else _WHOLE
            self._refer(number, self._number(edge.target), kind)
        self._count[number] = len(self._references) - self._start[number]
        flags = _EXISTS
        if facts.root:
            flags |= _ROOT
        if facts.node.type in SWEPT:
            flags |= _SWEPT
            self.swept_count += 1
        if facts.node.type == LEASE:
            flags |= _LEASE
        if facts.expires_at is not None:
            flags |= _EXPIRES
            self._expires[number] = facts.expires_at
        self._flags[number] = flags
        self._add_rare(number, facts)
        return number

    def _refer(self, number: int, target: int, kind: int) -> None:
        self._next.append(self._first[target])
        self._first[target] = len(self._references)
        self._references.append(target << 2 | kind)
        self._referrers.append(number)

    def _add_rare(self, number: int, facts: Facts) -> None:
        if facts.parents:
            parents = tuple(self._number(edge.target) for edge in facts.parents)
            self._parents[number] = parents
            for parent in parents:
                self._children.setdefault(parent, []).append(number)
        if facts.conditional:
            conditions = tuple(
                (self._number(one.edge.target), one.comparisons) for one in facts.conditional
            )
            self._conditions[number] = conditions
            for target, _ in conditions:
                self._waiting.setdefault(target, set()).add(number)
        if facts.used_at:
            self._used_at[number] = facts.used_at

    def replace(self, node: Node, facts: Facts | None) -> set[int]:
        """Put what a record says now in the place of what it said; `None`: it is gone.

        Returns:
            The numbers of nodes that may refer to more than before.
        """
        number = self._numbers.find(node)
        if number is not None and self._flags[number]:
            self._forget(number)
        if facts is None:
            return set()
        number = self.add(facts)
        return {number, *self._parents.get(number, ()), *self._waiting.get(number, ())}

    def _forget(self, number: int) -> None:
        self.swept_count -= bool(self._flags[number] & _SWEPT)
        self._flags[number] = 0
        self._waste += self._count[number]
        self._count[number] = 0
        self._expires.pop(number, None)
        self._used_at.pop(number, None)
        for parent in self._parents.pop(number, ()):
            children = self._children[parent]
            children.remove(number)
            if not children:
                del self._children[parent]
        for target, _ in self._conditions.pop(number, ()):
            waiting = self._waiting.get(target)
            if waiting is not None:
                waiting.discard(number)
                if not waiting:
                    del self._waiting[target]
        if self._waste > max(WASTE_MIN, len(self._references) // 2):
            self._drop_waste()

    def _drop_waste(self) -> None:
        before, starts = self._references, self._start
        self._references, self._referrers = array("I", [0]), array("I", [0])
        self._next, self._first = array("I", [_NONE]), array("I", bytes(4 * len(self)))
        self._start, self._waste = array("Q", starts), 0
        for number, count in enumerate(self._count):
            start = starts[number]
            self._start[number] = len(self._references)
            for one in before[start : start + count]:
                self._refer(number, one >> 2, one & 3)

    def add_collections(
        self, collections: Mapping[str, Collection], namespaces: Iterable[str]
    ) -> set[int]:
        """Add what other resources say, by their type; the records must be there before.

        Args:
            collections: the part of each kind of resource in a run.
            namespaces: those that exist.

        Returns:
            The numbers of nodes that may refer to more than before.
        """
        leases = [number for number, flags in enumerate(self._flags) if flags & _LEASE]
        places = tuple(namespaces)
        affected: set[int] = set()
        for kind, collection in collections.items():
            nodes = dict.fromkeys(collection.all(), _EXISTS | _SWEPT)
            active = {node for place in places for node in collection.active(place)}
            for lease in leases:
                node = self.node(lease)
                for held in collection.leased(node.namespace, node.key):
                    self._leased.setdefault(lease, []).append(self._number(held))
                    nodes.setdefault(held, _EXISTS)
                    affected.add(lease)
            for node in active:
                nodes.setdefault(node, _EXISTS)
            for node, flags in nodes.items():
                edges = tuple(Edge(one, kind) for one in collection.references(node))
                root = kind if node in active else ""
                number = self.add(Facts(node, root=root, references=edges))
                self.swept_count += bool(flags & _SWEPT)
                self._flags[number] = flags | (_ROOT if root else 0)
                affected.add(number)
            for place in places:
                for parent, child in collection.back_references(place):
                    number = self._number(parent)
                    self._children.setdefault(number, []).append(self._number(child))
                    affected.add(number)
        return affected

    def roots(self, now: Instant) -> Iterator[int]:
        """Iterate over the nodes that hold themselves at `now`."""
        for number, flags in enumerate(self._flags):
            if flags & _ROOT and not (flags & _EXPIRES and now > self._expires[number]):
                yield number

    def is_root(self, number: int, now: Instant) -> bool:
        """Tell whether a node holds itself at `now`."""
        return bool(self._flags[number] & _ROOT) and not self.has_expired(number, now)

    def has_expired(self, number: int, now: Instant) -> bool:
        """Tell whether `now` is after the expiry of a node."""
        return bool(self._flags[number] & _EXPIRES) and now > self._expires[number]

    def swept(self) -> Iterator[int]:
        """Iterate over the nodes that a collection may remove."""
        return (number for number, flags in enumerate(self._flags) if flags & _SWEPT)

    def references(self, number: int, now: Instant, *, is_flat: bool) -> Iterator[tuple[int, bool]]:
        """Iterate over what a node refers to at `now`, and whether flat; some may come twice."""
        start = self._start[number]
        own = self._references[start : start + self._count[number]]
        if is_flat:
            yield from ((one >> 2, True) for one in own if one & 3 == _ALIKE)
            return
        for child in self._children.get(number, ()):
            yield child, False
        if self._flags[number] & _LEASE and self.has_expired(number, now):
            return
        for one in own:
            yield one >> 2, one & 3 == _TO_FLAT
        for held in self._leased.get(number, ()):
            yield held, False
        if number in self._conditions:
            yield from ((target, False) for target in self._conditional(number, now))

    def referrers(self, number: int, now: Instant, *, is_flat: bool) -> Iterator[tuple[int, bool]]:
        """Iterate over what refers to a node, whole or flat, and whether that is flat itself.

        It is `references` backwards.
        """
        slot = self._first[number]
        while slot != _NONE:
            referrer, kind = self._referrers[slot], self._references[slot] & 3
            if self._has(referrer, slot):
                is_lease = bool(self._flags[referrer] & _LEASE)
                if (kind == _TO_FLAT) == is_flat and not (
                    is_lease and self.has_expired(referrer, now)
                ):
                    yield referrer, False
                if kind == _ALIKE and is_flat:
                    yield referrer, True
            slot = self._next[slot]
        if is_flat:
            return
        for parent in self._parents.get(number, ()):
            yield parent, False
        for waiting in self._waiting.get(number, ()):
            if number in self._conditional(waiting, now):
                yield waiting, False

    def _has(self, number: int, slot: int) -> bool:
        """Tell whether a reference is still one of a node's: what is replaced stays in its slot."""
        return 0 <= slot - self._start[number] < self._count[number]

    def expiries(self) -> Iterator[tuple[int, Instant]]:
        """Iterate over the nodes that expire, with the moments."""
        return iter(self._expires.items())

    def conditional(self) -> Iterator[int]:
        """Iterate over the nodes that refer to something under a condition."""
        return iter(self._conditions)

    def conditions(self) -> Iterator[tuple[tuple[Comparison, ...], tuple[int, ...]]]:
        """Iterate over the conditions, each with when its snapshot was used."""
        for conditions in self._conditions.values():
            for target, comparisons in conditions:
                yield comparisons, self._used_at.get(target, ())

    def exists(self, number: int) -> bool:
        """Tell whether there is a record."""
        return bool(self._flags[number] & _EXISTS)

    def is_swept(self, number: int) -> bool:
        """Tell whether there is a record, and a collection may remove it."""
        return bool(self._flags[number] & _SWEPT)

    def mentioned(self, number: int) -> Iterator[int]:
        """Iterate over all that a node may refer to at any moment, whatever the time."""
        yield from self._children.get(number, ())
        yield from self._leased.get(number, ())
        start = self._start[number]
        for one in self._references[start : start + self._count[number]]:
            yield one >> 2
        for target, _ in self._conditions.get(number, ()):
            yield target

    def _conditional(self, number: int, now: Instant) -> Iterator[int]:
        moment = now.timestamp(unit="nanosecond")
        for target, comparisons in self._conditions[number]:
            used = self._used_at.get(target, ())
            if any(one.holds(at, moment) for one in comparisons for at in used):
                yield target

    def _number(self, node: Node) -> int:
        number = self._numbers.number(node)
        if number == len(self._flags):
            self._flags.append(0)
            self._start.append(0)
            self._count.append(0)
            self._first.append(_NONE)
        return number
