"""The rules: the labels and fields with a meaning to the collector.

This is the only table of them. The reading of records, the explanations and the documentation
use it; nothing else decides the effect of a label.

Source: containerd, core/metadata/gc.go; spec/metadata.md 3.2 to 3.4.
"""

from __future__ import annotations

import copy
import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orlop import labels
from orlop.gc.node import CONTAINER, CONTENT, IMAGE, INGEST, LEASE, SANDBOX, SNAPSHOT
from orlop.schema.codec.timestamps import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from whenever import Instant

COMMON: Final = "containerd.io/gc."
"""How the names of all labels begin that may mean anything here."""

_USED_AT: Final = "usedat"
_OPERATOR: Final = re.compile(r"[!<>=]=?")
_INT64_MAX: Final = (1 << 63) - 1
_INT64_MIN: Final = -(1 << 63)

_KNOWN_MAX: Final = 10_000
"""So many labels are remembered: most records have the same few, but a label may be anything."""


class Effect(enum.Enum):
    """The effect of a label."""

    ROOT = "holds its record"
    REFERENCE = "its record refers to what the value names"
    BACK_REFERENCE = "what the value names refers to its record"
    CONDITION = "its record refers to what the value names, while a condition holds"
    USED_AT = "when its record was used last, for conditions"
    EXPIRY = "until when its record holds anything"
    FLAT = "its record holds things without what they refer to"


class Tail(enum.Enum):
    """The text that may follow the name of a label, so that several can stand on one record."""

    NOTHING = "nothing"
    ANYTHING = "anything"
    SEPARATED = 'nothing, or "." or "/" and anything'
    SNAPSHOTTER = 'a snapshotter, then nothing, or "/" and anything'
    LOOSE_SNAPSHOTTER = 'as SNAPSHOTTER, with "." or "/" before it'


@dataclass(frozen=True, slots=True)
class LabelRule:
    """The meaning of a label.

    Attributes:
        name: how the name of the label begins.
        tail: the suffix that may follow.
        effect: its effect.
        on: the types on whose records it means this.
        target: the type of node that the value names; empty if it names none.
    """

    name: str
    tail: Tail
    effect: Effect
    on: frozenset[str]
    target: str = ""

    def snapshotter_of(self, label: str) -> str | None:
        """Return the snapshotter in the name of a label.

        Returns:
            The snapshotter, or an empty text where the rule has none; `None` where the label
            is another one.
        """
        if not label.startswith(self.name):
            return None
        rest = label[len(self.name) :]
        if self.tail is Tail.SNAPSHOTTER:
            return rest.partition("/")[0]
        if self.tail is Tail.LOOSE_SNAPSHOTTER:
            return rest.lstrip("./").partition("/")[0]
        if self.tail is Tail.NOTHING:
            return None if rest else ""
        if self.tail is Tail.SEPARATED and rest and rest[0] not in "./":
            return None
        return ""


@dataclass(frozen=True, slots=True)
class FieldRule:
    """The reference in a field of a record.

    Attributes:
        on: the type of the record.
        name: the field, as it is called in explanations.
        target: the type of node that it refers to.
        follows_flat: whether a flat node refers to it too (and then flat itself).
    """

    on: str
    name: str
    target: str
    follows_flat: bool = False


TARGET: Final = FieldRule(IMAGE, "target", CONTENT, follows_flat=True)
PARENT: Final = FieldRule(SNAPSHOT, "parent", SNAPSHOT, follows_flat=True)
ROOT_FILESYSTEM: Final = FieldRule(CONTAINER, "snapshot", SNAPSHOT)
EXPECTED: Final = FieldRule(INGEST, "expected", CONTENT)
LEASED_CONTENT: Final = FieldRule(LEASE, "content", CONTENT)
LEASED_SNAPSHOTS: Final = FieldRule(LEASE, "snapshots", SNAPSHOT)
LEASED_INGESTS: Final = FieldRule(LEASE, "ingests", INGEST)
LEASED_IMAGES: Final = FieldRule(LEASE, "images", IMAGE)

FIELD_RULES: Final = (
    TARGET,
    PARENT,
    ROOT_FILESYSTEM,
    EXPECTED,
    LEASED_CONTENT,
    LEASED_SNAPSHOTS,
    LEASED_INGESTS,
    LEASED_IMAGES,
)

ROOTS_BY_TYPE: Final = {
    LEASE: "a lease that has not expired",
    IMAGE: "an image that has not expired",
    INGEST: "an ingest that has not expired, or that a writer of this process has open",
    CONTAINER: "a container",
    SANDBOX: "a sandbox",
}
"""The types of records that are roots, with the words that explanations use."""

_BLOBS: Final = frozenset({CONTENT, SNAPSHOT})
_REFERRERS: Final = frozenset({CONTENT, SNAPSHOT, IMAGE, CONTAINER, SANDBOX})
_CHILDREN: Final = frozenset({CONTENT, SNAPSHOT, IMAGE, CONTAINER})

LABEL_RULES: Final = (
    LabelRule(labels.GC_ROOT, Tail.ANYTHING, Effect.ROOT, _BLOBS),
    LabelRule(labels.GC_REF_CONTENT, Tail.SEPARATED, Effect.REFERENCE, _REFERRERS, CONTENT),
    LabelRule(labels.GC_REF_IMAGE, Tail.SEPARATED, Effect.REFERENCE, _REFERRERS, IMAGE),
    LabelRule(labels.GC_REF_SNAPSHOT, Tail.SNAPSHOTTER, Effect.REFERENCE, _REFERRERS, SNAPSHOT),
    LabelRule(
        labels.GC_BREF_CONTAINER, Tail.SEPARATED, Effect.BACK_REFERENCE, _CHILDREN, CONTAINER
    ),
    LabelRule(labels.GC_BREF_CONTENT, Tail.SEPARATED, Effect.BACK_REFERENCE, _CHILDREN, CONTENT),
    LabelRule(labels.GC_BREF_IMAGE, Tail.SEPARATED, Effect.BACK_REFERENCE, _CHILDREN, IMAGE),
    LabelRule(
        labels.GC_BREF_SNAPSHOT, Tail.SNAPSHOTTER, Effect.BACK_REFERENCE, _CHILDREN, SNAPSHOT
    ),
    LabelRule(
        # containerd does not ask for the "." behind it.
        labels.GC_COND_SNAPSHOT.rstrip("."),
        Tail.LOOSE_SNAPSHOTTER,
        Effect.CONDITION,
        frozenset({CONTENT, IMAGE}),
        SNAPSHOT,
    ),
    LabelRule(labels.GC_COND_VALUE_USED_AT, Tail.ANYTHING, Effect.USED_AT, frozenset({SNAPSHOT})),
    LabelRule(labels.GC_EXPIRE, Tail.NOTHING, Effect.EXPIRY, frozenset({LEASE, IMAGE})),
    LabelRule(labels.GC_FLAT, Tail.NOTHING, Effect.FLAT, frozenset({LEASE})),
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of one label on one record."""

    rule: LabelRule
    label: str
    snapshotter: str
    value: str

    @property
    def key(self) -> str:
        """The key of the node that the value names."""
        return f"{self.snapshotter}/{self.value}" if self.rule.target == SNAPSHOT else self.value


@dataclass(frozen=True, slots=True)
class Comparison:
    """One condition: how long ago the snapshot was used, against a duration.

    Attributes:
        is_less: whether it must be less than the duration; else more.
        nanoseconds: the duration.
    """

    is_less: bool
    nanoseconds: int

    def holds(self, used_at: int, now: int) -> bool:
        """Return whether it holds for a snapshot that was used at `used_at`.

        Args:
            used_at: in nanoseconds since 1970.
            now: the present, in nanoseconds since 1970.
        """
        # Go's durations end where 64 bits do.
        elapsed = min(max(now - used_at, _INT64_MIN), _INT64_MAX)
        return elapsed < self.nanoseconds if self.is_less else elapsed > self.nanoseconds


def parse_condition(value: str) -> tuple[tuple[Comparison, ...], str] | None:
    """Return the conditions in the value of a label, and the key of the snapshot.

    Any of the conditions suffices. Those that cannot be understood are left out; `None`
    where nothing can be.
    """
    conditions, bar, key = value.partition("|")
    if not bar:
        return None
    parsed = (_comparison(one) for one in conditions.split(","))
    comparisons = tuple(one for one in parsed if one is not None)
    return (comparisons, key) if comparisons else None


def _comparison(text: str) -> Comparison | None:
    operator = _OPERATOR.search(text)
    if operator is None or text[: operator.start()] != _USED_AT:
        return None
    if operator[0] not in {"<", ">"}:
        return None
    try:
        return Comparison(operator[0] == "<", parse_duration(text[operator.end() :]))
    except ValueError:
        return None


def _as_written(expires_at: Instant, _: Instant | None) -> Instant:
    return expires_at


class RuleBook:
    """The table, with the reference labels of registered resources added to it."""

    def __init__(
        self,
        resources: Iterable[tuple[str, str]] = (),
        lasting: Callable[[Instant, Instant | None], Instant] | None = None,
    ) -> None:
        """Make the rules.

        Args:
            resources: type and reference label of each registered resource that has one; the
                label is what follows `containerd.io/gc.ref.`.
            lasting: returns when something has expired, from the expiry that was written and
                the moment at which it was, if that is known; `None`: as written.
        """
        self.lasting = lasting or _as_written
        added = tuple(
            LabelRule(f"{labels.GC_REF}{label}", Tail.SEPARATED, Effect.REFERENCE, _REFERRERS, kind)
            for kind, label in resources
            if label
        )
        self.rules = LABEL_RULES + added
        self._known: dict[tuple[str, str], tuple[tuple[LabelRule, str], ...]] = {}
        types = {kind for rule in self.rules for kind in rule.on}
        self._by_type = {
            kind: tuple(rule for rule in self.rules if kind in rule.on) for kind in types
        }
        self._ignored: frozenset[str] = frozenset()

    def ignoring(self, ignored: Iterable[str]) -> RuleBook:
        """Return the same rules, to which some labels mean nothing."""
        book = copy.copy(self)
        book._ignored = frozenset(ignored)  # noqa: SLF001 (a copy of its own)
        return book

    def meanings(self, on: str, stored: dict[str, str]) -> list[Meaning]:
        """Return the meanings of the labels of a record, in the order of the labels.

        A malformed label has no effect. A label that two rules match has both effects.
        """
        found: list[Meaning] = []
        for label, value in stored.items():
            if label.startswith(COMMON):
                found.extend(
                    Meaning(rule, label, whose, value) for rule, whose in self.knowing(on, label)
                )
        return found

    def knowing(self, on: str, label: str) -> tuple[tuple[LabelRule, str], ...]:
        """Return the rules that apply to a label, each with the snapshotter in its name."""
        if label in self._ignored:
            return ()
        known = self._known.get((on, label))
        return self._look_up(on, label) if known is None else known

    def _look_up(self, on: str, label: str) -> tuple[tuple[LabelRule, str], ...]:
        snapshotters = ((rule, rule.snapshotter_of(label)) for rule in self._by_type.get(on, ()))
        known = tuple((rule, whose) for rule, whose in snapshotters if whose is not None)
        if len(self._known) < _KNOWN_MAX:
            self._known[on, label] = known
        return known
