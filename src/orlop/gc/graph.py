"""The graph of a collection: what `graph` holds as facts, in some bytes for each node.

It says the same as `graph` does, which answers questions: a test compares them. Nodes are
numbers here, and references lie in arrays, so that a million records take some hundred
megabytes, and Python's own collector has nothing to go through.

Source: containerd, core/metadata/gc.go; spec/metadata.md 3.3 and 3.4.
"""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING, Final

from orlop.gc.edges import ALIKE, KIND_BITS, KIND_MASK, TO_FLAT, WHOLE, EdgeArrays
from orlop.gc.node import LEASE, SWEPT
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
"""For each flag, by all flags of a number: whether it is among them."""

_GROWTH: Final = 4_096
"""For so many more numbers there is room at once."""


class Graph:
    """What the records of a database refer to, by number.

    Attributes:
        numbers: of the nodes. Whoever adds one says so in `add_plain`.
        swept_count: how many records there are that a collection may remove.
        kept: the leases and ingests that hold themselves whatever the time, because this process
            uses them.
    """

    def __init__(self) -> None:
        self.numbers = NodeIds()
        self._edges = EdgeArrays()
        self._flags = bytearray()
        self.swept_count = 0
        # Few records have these.
        self._expires: dict[int, Instant] = {}
        self.kept: set[int] = set()
        self._parents: dict[int, tuple[int, ...]] = {}
        self._children: dict[int, list[int]] = {}
        self._conditions: dict[int, tuple[tuple[int, tuple[Comparison, ...]], ...]] = {}
        self._waiting: dict[int, set[int]] = {}
        self._used_at: dict[int, tuple[int, ...]] = {}
        # In states, as `following` has them.
        self._leased: dict[int, list[int]] = {}
        # What resources of other kinds were asked about.
        self._listed: set[str] = set()
        self._leases_asked: set[int] = set()
        self._namespaces_asked: set[str] = set()
        # Resources of other kinds whose references are known.
        self._asked: set[int] = set()

    def __len__(self) -> int:
        """Return how many numbers there are; some are only names."""
        return self.numbers.count

    def __iter__(self) -> Iterator[Node]:
        """Iterate over the records that exist."""
        return map(self.node, self._having(_EXISTS))

    def __contains__(self, node: Node) -> bool:
        number = self.numbers.find(node)
        return number is not None and bool(self._flags[number] & _EXISTS)

    def node(self, number: int) -> Node:
        """Return the node that has a number, whole."""
        return self.numbers.node(number)

    def find(self, node: Node) -> int | None:
        """Return the number of a node, `None` where nothing has that name."""
        return self.numbers.find(node)

    def add(self, facts: Facts) -> int:
        """Add the facts of a record that is not there yet; return its number."""
        number = self._number(facts.node)
        references = []
        for edge in facts.references:
            kind = ALIKE if edge.follows_flat else TO_FLAT if edge.target.is_flat else WHOLE
            references.append(self._number(edge.target) << KIND_BITS | kind)
        flags = flags_of(facts.node.type, is_root=bool(facts.root))
        if facts.expires_at is not None:
            flags |= _EXPIRES
            self._expires[number] = facts.expires_at
        self.add_plain(number, flags, references)
        if facts.parents or facts.conditional or facts.used_at:
            self._add_rare(number, facts)
        return number

    def add_plain(self, number: int, flags: int, references: list[int]) -> None:
        """Add a record that is not there yet, and of which facts would say no more than this.

        Args:
            number: its number; it may be new, as those of what it refers to.
            flags: as `flags_of` has them.
            references: what it refers to, as `EdgeArrays` has it.
        """
        if self.numbers.count > len(self._flags):
            self._grow()
        self._flags[number] = flags
        if flags & _SWEPT:
            self.swept_count += 1
        if references:
            self._edges.put(number, references)

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
        number = self.numbers.find(node)
        if number is not None and self._flags[number]:
            self._forget(number)
        if facts is None:
            return set()
        number = self.add(facts)
        return {number, *self._parents.get(number, ()), *self._waiting.get(number, ())}

    def _forget(self, number: int) -> None:
        self.swept_count -= bool(self._flags[number] & _SWEPT)
        self._flags[number] = 0
        self._edges.forget(number)
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

    def tidy(self, yield_to_writers: Callable[[], None]) -> None:
        """Drop what changes have left behind, if it is much; not to be done while updates wait.

        Args:
            yield_to_writers: is called now and then, so that others get their turn.
        """
        self._edges.tidy(yield_to_writers)

    def add_sessions(
        self, sessions: Mapping[str, CheckedSession], namespaces: Iterable[str]
    ) -> set[int]:
        """Add the resources of other kinds; the records must be there before.

        Called again in a run, it asks about the leases and namespaces that are new.

        Args:
            sessions: the part of each kind of resource in a run, by type.
            namespaces: those that exist.

        Returns:
            The numbers of nodes that may refer to more than before.
        """
        leases = [one for one in self._having(_LEASE) if one not in self._leases_asked]
        places = [one for one in namespaces if one not in self._namespaces_asked]
        affected: set[int] = set()
        for kind, session in sessions.items():
            nodes: dict[Node, int] = {}
            existing = [] if kind in self._listed else session.all()
            for node in existing:
                nodes[node.whole] = _EXISTS | _ROOT if session.is_kept else _EXISTS | _SWEPT
            for place in places:
                for node in session.active(place):
                    nodes[node.whole] = nodes.get(node.whole, _EXISTS) | _ROOT
                for parent, child in session.back_references(place):
                    number = self._number(parent)
                    self._children.setdefault(number, []).append(self._number(child))
                    affected.add(number)
            for lease in leases:
                holder = self.node(lease)
                for held in session.leased(holder.namespace, holder.key):
                    state = self._number(held) << 1 | held.is_flat
                    self._leased.setdefault(lease, []).append(state)
                    affected.add(lease)
                    if held.type == kind:
                        nodes.setdefault(held.whole, _EXISTS)
            for node, flags in nodes.items():
                affected.add(self._add_resource(session, node, flags))
            self._listed.add(kind)
        self._leases_asked.update(leases)
        self._namespaces_asked.update(places)
        return affected

    def _add_resource(self, session: CheckedSession, node: Node, flags: int) -> int:
        """Add a resource of another kind, or flags to one; return its number."""
        number = self._number(node)
        if number not in self._asked:
            self.add_references(number, session.references(node))
        before = self._flags[number]
        self.swept_count += bool(flags & ~before & _SWEPT)
        self._flags[number] = before | flags
        return number

    def unasked(self, kinds: Container[str]) -> list[int]:
        """Return the nodes of these types whose references were not added."""
        return [one for one in self.numbers.of_types(kinds) if one not in self._asked]

    def add_references(self, number: int, targets: Iterable[Node]) -> None:
        """Add what a resource of another kind refers to. It need not exist."""
        self._asked.add(number)
        references = [
            self._number(one) << KIND_BITS | (TO_FLAT if one.is_flat else WHOLE) for one in targets
        ]
        if references:
            self._edges.put(number, references)

    def roots(self, now: Instant) -> Iterator[int]:
        """Iterate over the nodes that hold themselves at `now`."""
        for number in self._having(_ROOT):
            if not self.has_expired(number, now):
                yield number
        for number in tuple(self.kept):
            if self._flags[number] & (_EXISTS | _ROOT) == _EXISTS:
                yield number

    def is_root(self, number: int, now: Instant) -> bool:
        """Tell whether a node holds itself at `now`."""
        flags = self._flags[number]
        if number in self.kept:
            return bool(flags & _EXISTS)
        return bool(flags & _ROOT) and not self.has_expired(number, now)

    def has_expired(self, number: int, now: Instant) -> bool:
        """Tell whether `now` is after the expiry of a node."""
        if not self._flags[number] & _EXPIRES or number in self.kept:
            return False
        return now > self._expires[number]

    def swept(self) -> Iterator[int]:
        """Iterate over the nodes that a collection may remove."""
        return self._having(_SWEPT)

    def _having(self, flag: int) -> Iterator[int]:
        """Iterate over the numbers that have a flag, as these are now."""
        return compress(range(len(self._flags)), self._flags.translate(_HAVING[flag]))

    @property
    def counts(self) -> array[int]:
        """How many references each number has by its own fields and labels."""
        return self._edges.counts

    @property
    def has_other_references(self) -> bool:
        """Whether any number refers to something for another reason."""
        return bool(self._children or self._conditions or self._leased)

    def following(self, state: int, now: Instant) -> list[int]:
        """Return what a node refers to at `now`; some may come twice.

        Args:
            state: the number of the node, and in the last bit whether it is flat; so is the
                answer.
            now: the present.
        """
        number = state >> 1
        own = self._edges.of(number)
        if state & 1:
            return [one >> 1 | 1 for one in own if one & KIND_MASK == ALIKE]
        if self._flags[number] & _LEASE and self.has_expired(number, now):
            found = []
        else:
            # The last bit of a kind and that of a state ask the same where the node is whole.
            found = [one >> 1 for one in own]
            if self._leased:
                found += self._leased.get(number, [])
            if number in self._conditions:
                found += [target << 1 for target in self._conditional(number, now)]
        if self._children:
            found += [child << 1 for child in self._children.get(number, ())]
        return found

    def referrers(self, number: int, now: Instant, *, is_flat: bool) -> Iterator[tuple[int, bool]]:
        """Iterate over what refers to a node, whole or flat, and whether that is flat itself.

        It is `following` backwards.
        """
        for referrer, kind in self._edges.to(number):
            is_lease = bool(self._flags[referrer] & _LEASE)
            if (kind == TO_FLAT) == is_flat and not (is_lease and self.has_expired(referrer, now)):
                yield referrer, False
            if kind == ALIKE and is_flat:
                yield referrer, True
        if is_flat:
            return
        for parent in self._parents.get(number, ()):
            yield parent, False
        for waiting in self._waiting.get(number, ()):
            if number in self._conditional(waiting, now):
                yield waiting, False

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
        for state in self._leased.get(number, ()):
            yield state >> 1
        for one in self._edges.of(number):
            yield one >> KIND_BITS
        for target, _ in self._conditions.get(number, ()):
            yield target

    def _conditional(self, number: int, now: Instant) -> list[int]:
        """Return what a node refers to under conditions that hold now."""
        moment = now.timestamp(unit="nanosecond")
        return [
            target
            for target, comparisons in self._conditions[number]
            if any(
                one.holds(at, moment) for one in comparisons for at in self._used_at.get(target, ())
            )
        ]

    def _number(self, node: Node) -> int:
        number = self.numbers.number(node)
        if number >= len(self._flags):
            self._grow()
        return number

    def _grow(self) -> None:
        """Have room for all numbers, and for some more."""
        room = self.numbers.count + _GROWTH
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
