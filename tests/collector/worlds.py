"""Random databases, with a naive model of their reachable records.

A world is plain data: records with references that are already parsed. The reachable records
are computed on that, rule by rule, by a fixpoint iteration. It shares no code with the
collector: not the parsing of labels, not the graph, not the mark.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from whenever import TimeDelta

from collector.records import Records
from orlop.schema.codec.timestamps import format_rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable

    from whenever import Instant

    from orlop import Database

KEYS = ("a", "b", "c")
NAMESPACES = ("ns1", "ns2")
SNAPSHOTTERS = ("native", "overlayfs")
GC = "containerd.io/gc."

Thing = tuple[str, str, str]
"""Type, namespace and key; the key of a snapshot begins with its snapshotter."""


@dataclass(frozen=True)
class Reference:
    """A reference by label: kind is ref or bref."""

    kind: str
    target: str
    snapshotter: str
    key: str
    suffix: str

    @property
    def label(self) -> tuple[str, str]:
        if self.target == "snapshot":
            suffix = self.suffix.replace(".", "/")
            return f"{GC}{self.kind}.snapshot.{self.snapshotter}{suffix}", self.key
        return f"{GC}{self.kind}.{self.target}{self.suffix}", self.key

    def thing(self, namespace: str) -> Thing:
        key = f"{self.snapshotter}/{self.key}" if self.target == "snapshot" else self.key
        return self.target, namespace, key


@dataclass(frozen=True)
class Condition:
    """A condition on the use of a snapshot, in hours."""

    snapshotter: str
    key: str
    operator: str
    hours: int

    @property
    def label(self) -> tuple[str, str]:
        return (
            f"{GC}cond.snapshot.{self.snapshotter}",
            f"usedat{self.operator}{self.hours}h|{self.key}",
        )


@dataclass
class Record:
    type: str
    namespace: str
    key: str
    snapshotter: str = ""
    parent: str = ""
    target: str = ""
    expected: str = ""
    root: bool = False
    flat: bool = False
    expires_in: int | None = None
    used_ago: int | None = None
    references: list[Reference] = field(default_factory=list)
    condition: Condition | None = None
    leased: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def thing(self) -> Thing:
        key = f"{self.snapshotter}/{self.key}" if self.type == "snapshot" else self.key
        return self.type, self.namespace, key

    def labels(self, now: Instant) -> dict[str, str]:
        labels = dict(reference.label for reference in self.references)
        if self.root:
            labels[f"{GC}root"] = "x"
        if self.flat:
            labels[f"{GC}flat"] = "x"
        if self.expires_in is not None and self.type != "ingest":
            labels[f"{GC}expire"] = format_rfc3339(now + TimeDelta(hours=self.expires_in))
        if self.used_ago is not None:
            used = now - TimeDelta(hours=self.used_ago)
            labels[f"{GC}cond.value-usedat"] = format_rfc3339(used)
        if self.condition:
            labels.update([self.condition.label])
        return labels

    def write(self, records: Records) -> None:
        labels = self.labels(records.now)
        if self.type == "content":
            records.blob(self.namespace, self.key, labels)
        elif self.type == "snapshot":
            records.snapshot(self.namespace, self.snapshotter, self.key, self.parent, labels)
        elif self.type == "image":
            records.image(self.namespace, self.key, self.target, labels)
        elif self.type == "container":
            records.container(self.namespace, self.key, self.snapshotter, self.parent, labels)
        elif self.type == "sandbox":
            records.sandbox(self.namespace, self.key, labels)
        elif self.type == "ingest":
            expires = None
            if self.expires_in is not None:
                expires = records.now + TimeDelta(hours=self.expires_in)
            records.ingest(self.namespace, self.key, expected=self.expected, expires=expires)
        else:
            held = [(f"{kind}/{sn}" if sn else kind, key) for kind, sn, key in self.leased]
            records.lease(self.namespace, self.key, *held, labels=labels)


keys = st.sampled_from(KEYS)
namespaces = st.sampled_from(NAMESPACES)
snapshotters = st.sampled_from(SNAPSHOTTERS)
hours = st.sampled_from([None, -2, 0, 2])


def references(kind: str, targets: tuple[str, ...]) -> st.SearchStrategy[Reference]:
    return st.builds(
        Reference,
        st.just(kind),
        st.sampled_from(targets),
        snapshotters,
        keys,
        st.sampled_from(["", ".0", ".1"]),
    )


any_references = st.lists(
    st.one_of(
        references("ref", ("content", "image", "snapshot")),
        references("bref", ("content", "image", "snapshot", "container")),
    ),
    max_size=2,
    unique_by=lambda one: one.label[0],
)
conditions = st.none() | st.builds(
    Condition, snapshotters, keys, st.sampled_from("<>"), st.sampled_from([1, 3])
)
leased = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["content", "images", "ingests"]), st.just(""), keys),
        st.tuples(st.just("snapshots"), snapshotters, keys),
    ),
    max_size=3,
)
rarely = st.sampled_from([False, False, False, True])

records = st.one_of(
    st.builds(
        Record,
        st.just("content"),
        namespaces,
        keys,
        root=rarely,
        references=any_references,
        condition=conditions,
    ),
    st.builds(
        Record,
        st.just("snapshot"),
        namespaces,
        keys,
        snapshotter=snapshotters,
        parent=st.just("") | keys,
        root=rarely,
        used_ago=st.sampled_from([None, 0, 1, 2, 5]),
        references=any_references,
    ),
    st.builds(
        Record,
        st.just("image"),
        namespaces,
        keys,
        target=keys,
        expires_in=hours,
        references=any_references,
        condition=conditions,
    ),
    st.builds(
        Record,
        st.just("container"),
        namespaces,
        keys,
        snapshotter=st.just("") | snapshotters,
        parent=keys,
        references=any_references,
    ),
    st.builds(Record, st.just("sandbox"), namespaces, keys, references=any_references),
    st.builds(
        Record, st.just("ingest"), namespaces, keys, expires_in=hours, expected=st.just("") | keys
    ),
    st.builds(
        Record, st.just("lease"), namespaces, keys, flat=rarely, expires_in=hours, leased=leased
    ),
)
worlds = st.lists(records, max_size=25, unique_by=lambda one: one.thing)

SWEPT = {"lease", "snapshot", "ingest", "content", "image"}
_LEASED = {"content": "content", "images": "image", "ingests": "ingest", "snapshots": "snapshot"}


def survivors(world: list[Record], hours_later: int = 0) -> set[Thing]:
    """Return which of the records that may be removed stay, `hours_later`."""
    whole: set[Thing] = set()
    flat: set[Thing] = set()
    while True:
        size = len(whole) + len(flat)
        for record in world:
            _go_round(record, world, hours_later, whole, flat)
        if len(whole) + len(flat) == size:
            break
    held = whole | flat
    return {one.thing for one in world if one.type in SWEPT and one.thing in held}


def _go_round(
    record: Record, world: list[Record], hours_later: int, whole: set[Thing], flat: set[Thing]
) -> None:
    _hold_itself(record, hours_later, whole, flat)
    for reference in record.references:
        # Sandboxes are nobody's children.
        is_back = reference.kind == "bref" and record.type != "sandbox"
        if is_back and reference.thing(record.namespace) in whole:
            whole.add(record.thing)
    for reached in (whole, flat):
        if record.thing in reached:
            reached.update(_fields(record))
    if record.thing in whole:
        for reference in record.references:
            if reference.kind == "ref":
                whole.add(reference.thing(record.namespace))
        whole.update(_met(record, world, hours_later))


def _hold_itself(record: Record, hours_later: int, whole: set[Thing], flat: set[Thing]) -> None:
    expired = record.expires_in is not None and hours_later > record.expires_in
    if record.type in {"container", "sandbox"} or record.root:
        whole.add(record.thing)
    if record.type in {"image", "lease"} and not expired:
        whole.add(record.thing)
    if record.type == "ingest" and record.expires_in is not None and not expired:
        whole.add(record.thing)
    if record.type == "lease" and not expired:
        for kind, snapshotter, key in record.leased:
            name = f"{snapshotter}/{key}" if snapshotter else key
            thing = (_LEASED[kind], record.namespace, name)
            (flat if record.flat and kind != "ingests" else whole).add(thing)


def _fields(record: Record) -> list[Thing]:
    if record.type == "image":
        return [("content", record.namespace, record.target)]
    if record.type == "snapshot" and record.parent:
        return [("snapshot", record.namespace, f"{record.snapshotter}/{record.parent}")]
    if record.type == "container" and record.snapshotter:
        return [("snapshot", record.namespace, f"{record.snapshotter}/{record.parent}")]
    if record.type == "ingest" and record.expected:
        return [("content", record.namespace, record.expected)]
    return []


def _met(record: Record, world: list[Record], hours_later: int) -> list[Thing]:
    condition = record.condition
    if condition is None:
        return []
    thing = ("snapshot", record.namespace, f"{condition.snapshotter}/{condition.key}")
    for one in world:
        if one.thing == thing and one.used_ago is not None:
            ago = one.used_ago + hours_later
            met = ago < condition.hours if condition.operator == "<" else ago > condition.hours
            return [thing] if met else []
    return []


def write_world(database: Database, world: Iterable[Record], now: Instant) -> None:
    """Write a world into a database, as of `now`."""
    with database.update() as update:
        records = Records(update.transaction, now)
        for record in world:
            record.write(records)
