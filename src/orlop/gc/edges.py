"""References between node ids, in arrays: forward in one piece, backward as a chain.

A reference takes 14 bytes, a node 16. What a node refers to is written anew as a whole when it
changes; what it was before stays in its slots until much of that is of no use any more.

Each reference has the label or field that makes it, as a number: the same few thousand texts
stand on a million records.
"""

from __future__ import annotations

import time
from array import array
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# What the last two bits of a reference say; the id of its target stands before them.
WHOLE: Final = 0
"""Only a whole node refers to it, whole."""
ALIKE: Final = 1
"""A whole node refers to it whole, and a flat one flat."""
TO_FLAT: Final = 2
"""A whole node refers to it flat."""
KIND_BITS: Final = 2
KIND_MASK: Final = 3

WASTE_MIN: Final = 100_000
"""From so many unused slots on they are dropped."""

_NODES_AT_ONCE: Final = 1_000
_NONE: Final = 0
"""Where a chain of references to a node ends; the slot 0 is never used."""

_SHORT_RULES_MAX: Final = 1 << 16
"""So many rules have room in two bytes each; four are used where there are more."""


class EdgeArrays:
    """References. Each is the id of its target with a kind behind it, and has a rule.

    Attributes:
        counts: how many references each node has.
        rules: the labels and fields that make references, by number.
    """

    def __init__(self) -> None:
        self.rules: list[str] = []
        self._rule_ids: dict[str, int] = {}
        # By node: its first slot, how many it has, and the first slot that refers to it.
        self._start = array("I")
        self.counts = array("I")
        self._first = array("I")
        # By slot: target and kind, the node that refers to it, by which rule, and the next slot
        # that refers to the same target.
        self._references = array("I", [_NONE])
        self._referrers = array("I", [_NONE])
        self._rules = array("H", [_NONE])
        self._next = array("I", [_NONE])
        self._waste = 0

    @property
    def is_mostly_rules(self) -> bool:
        """Whether more rules were numbered than there are references left."""
        return len(self.rules) > WASTE_MIN + len(self._references) - self._waste

    def rule_id(self, rule: str) -> int:
        """Return the number of a label or field, which gets one where it has none."""
        found = self._rule_ids.get(rule)
        if found is None:
            found = self._rule_ids[rule] = len(self.rules)
            self.rules.append(rule)
            if found == _SHORT_RULES_MAX:
                self._rules = array("I", self._rules)
        return found

    def grow(self, nodes: int) -> None:
        """Make room for so many nodes."""
        more = bytes(self._start.itemsize * (nodes - len(self._start)))
        for column in (self._start, self.counts, self._first):
            column.frombytes(more)

    def put(self, node_id: int, references: Sequence[int], rules: Sequence[int]) -> None:
        """Write the references of a node that has none, each with its rule."""
        first = self._first
        slot = len(self._references)
        self._start[node_id] = slot
        self.counts[node_id] = len(references)
        self._rules.extend(rules)
        for one in references:
            target = one >> KIND_BITS
            self._next.append(first[target])
            first[target] = slot
            self._references.append(one)
            self._referrers.append(node_id)
            slot += 1

    def of(self, node_id: int) -> array[int]:
        """Return the references of a node."""
        start = self._start[node_id]
        return self._references[start : start + self.counts[node_id]]

    def rules_of(self, node_id: int) -> array[int]:
        """Return the rule of each reference of a node."""
        start = self._start[node_id]
        return self._rules[start : start + self.counts[node_id]]

    def to(self, node_id: int) -> Iterator[tuple[int, int, int]]:
        """Iterate over the nodes that refer to one, with the rule and kind of each reference."""
        slot = self._first[node_id]
        while slot != _NONE:
            referrer = self._referrers[slot]
            # A reference that was replaced stays in its slot, but no node has that slot any more.
            if 0 <= slot - self._start[referrer] < self.counts[referrer]:
                yield referrer, self._rules[slot], self._references[slot] & KIND_MASK
            slot = self._next[slot]

    def forget(self, node_id: int) -> None:
        """Take all references from a node."""
        self._waste += self.counts[node_id]
        self.counts[node_id] = 0

    def tidy(self, yield_to_writers: Callable[[], None]) -> None:
        """Drop the slots that no node has any more, if they are many: all move together.

        Args:
            yield_to_writers: is called now and then, so that updates get their turn.
        """
        if self._waste <= max(WASTE_MIN, len(self._references) // 2):
            return
        before, rules = self._references, self._rules
        starts, counts = self._start, self.counts
        self._references = array("I", [_NONE])
        self._referrers = array("I", [_NONE])
        self._rules = array(rules.typecode, [_NONE])
        self._next = array("I", [_NONE])
        self._start, self.counts, self._first = array("I"), array("I"), array("I")
        self._waste = 0
        self.grow(len(starts))
        for node_id, count in enumerate(counts):
            start = starts[node_id]
            self.put(node_id, before[start : start + count], rules[start : start + count])
            if not node_id % _NODES_AT_ONCE:
                time.sleep(0)
                yield_to_writers()
