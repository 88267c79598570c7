"""Facts: the roots, references and times in one record; pure functions from records.

Facts do not depend on the time. Where time decides (an expiry, a condition), they contain the
value that it is compared with, so that the same facts are valid at any moment.

A malformed or missing value has no effect and is never an error; a record whose time cannot be
read is kept, because it is not known to have expired.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from whenever import TimeDelta

from orlop.errors import DataLossError
from orlop.gc import rules
from orlop.gc.node import (
    CONTAINER,
    CONTENT,
    IMAGE,
    INGEST,
    LEASE,
    SANDBOX,
    Node,
    snapshot_node,
    split_snapshot,
)
from orlop.gc.rules import Effect
from orlop.schema import (
    containers,
    content,
    images,
    ingests,
    leases,
    sandboxes,
    snapshots,
)
from orlop.schema.codec.timestamps import parse_rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from whenever import Instant

    from orlop.gc.rules import Comparison, FieldRule, Meaning, RuleBook
    from orlop.kv import ReadableBucket


_INGEST_LASTS: Final = TimeDelta(hours=24)
"""The lifetime of an ingest without a lease, as in containerd."""


class Edge(NamedTuple):
    """A reference from one node to another.

    Attributes:
        target: what is referred to.
        rule: the label or field that refers to it.
        follows_flat: whether a flat node refers to it too.
    """

    target: Node
    rule: str
    follows_flat: bool = False


@dataclass(frozen=True, slots=True)
class ConditionalEdge:
    """A reference to a snapshot that is in force while any of the comparisons is true."""

    edge: Edge
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of a record.

    Attributes:
        node: the record, whole.
        root: the type or label that makes the record a root node; empty if it is none.
        other_roots: further labels that do the same.
        expires_at: after that moment it is no root, and as a lease keeps nothing.
        references: the nodes it refers to, in the order of labels and fields.
        parents: the nodes that refer to it by a label of its own (back references).
        conditional: the nodes it refers to under a condition.
        used_at: when it was used last, in nanoseconds since 1970, for conditions of others;
            several labels may say so.
    """

    node: Node
    root: str = ""
    expires_at: Instant | None = None
    references: tuple[Edge, ...] = ()
    parents: tuple[Edge, ...] = ()
    conditional: tuple[ConditionalEdge, ...] = ()
    used_at: tuple[int, ...] = ()
    other_roots: tuple[str, ...] = ()

    def has_expired(self, now: Instant) -> bool:
        """Whether `now` is after its expiry."""
        return self.expires_at is not None and now > self.expires_at


def of_lease(bucket: ReadableBucket | None, node: Node, book: RuleBook) -> Facts:
    """Return the facts of a lease."""
    said = book.meanings(LEASE, leases.labels(bucket, node.key))
    is_flat = any(one.rule.effect is Effect.FLAT for one in said)
    return Facts(
        node,
        root=LEASE,
        expires_at=_expiry(said, book, lambda: leases.created_at(bucket, node.key)),
        references=tuple(_leased(bucket, node, is_flat=is_flat)),
    )


def _leased(bucket: ReadableBucket | None, lease: Node, *, is_flat: bool) -> Iterator[Edge]:
    for resource in leases.resources(bucket, lease.key):
        kind, _, snapshotter = resource.type.partition("/")
        rule = _LEASED[kind]
        key = f"{snapshotter}/{resource.id}" if snapshotter else resource.id
        node = Node(rule.target, lease.namespace, key)
        yield Edge(node.flat if is_flat else node, rule.name)


_LEASED: Final[dict[str, FieldRule]] = {
    leases.CONTENT: rules.LEASED_CONTENT,
    leases.SNAPSHOTS: rules.LEASED_SNAPSHOTS,
    leases.INGESTS: rules.LEASED_INGESTS,
    leases.IMAGES: rules.LEASED_IMAGES,
}


def of_snapshot(bucket: ReadableBucket | None, node: Node, book: RuleBook) -> Facts:
    """Return the facts of a snapshot."""
    snapshotter, key = split_snapshot(node.key)
    parent = snapshots.parent(bucket, key)
    fields: tuple[Edge, ...] = ()
    if parent:
        fields = (_field(rules.PARENT, snapshot_node(node.namespace, snapshotter, parent)),)
    return _labelled(node, snapshots.labels(bucket, key), book, fields)


def of_ingest(bucket: ReadableBucket | None, node: Node, book: RuleBook) -> Facts:
    """Return the facts of an ingest."""
    try:
        expires_at = ingests.expire_at(bucket, node.key)
        is_root = expires_at is not None
        if expires_at is not None:
            expires_at = book.lasting(expires_at, expires_at - _INGEST_LASTS)
    except DataLossError:
        expires_at, is_root = None, True
    expected = ingests.expected(bucket, node.key)
    target = Node(CONTENT, node.namespace, expected)
    return Facts(
        node,
        root=INGEST if is_root else "",
        expires_at=expires_at,
        references=(_field(rules.EXPECTED, target),) if expected else (),
    )


def of_blob(bucket: ReadableBucket | None, node: Node, book: RuleBook) -> Facts:
    """Return the facts of a blob."""
    return _labelled(node, content.labels(bucket, node.key), book)


def of_image(bucket: ReadableBucket | None, node: Node, book: RuleBook) -> Facts:
    """Return the facts of an image."""
    digest = images.target_digest(bucket, node.key)
    fields = (_field(rules.TARGET, Node(CONTENT, node.namespace, digest)),) if digest else ()
    facts = _labelled(node, images.labels(bucket, node.key), book, fields, root=IMAGE)
    if facts.expires_at is None:
        return facts
    expires_at = book.lasting(facts.expires_at, images.updated_at(bucket, node.key))
    return replace(facts, expires_at=expires_at)


def of_container(bucket: ReadableBucket | None, node: Node, book: RuleBook) -> Facts:
    """Return the facts of a container."""
    snapshotter, key = containers.snapshot(bucket, node.key)
    fields: tuple[Edge, ...] = ()
    if snapshotter:
        target = snapshot_node(node.namespace, snapshotter, key)
        fields = (_field(rules.ROOT_FILESYSTEM, target),)
    return _labelled(node, containers.labels(bucket, node.key), book, fields, root=CONTAINER)


def of_sandbox(bucket: ReadableBucket | None, node: Node, book: RuleBook) -> Facts:
    """Return the facts of a sandbox."""
    return _labelled(node, sandboxes.labels(bucket, node.key), book, root=SANDBOX)


def _field(rule: FieldRule, target: Node) -> Edge:
    return Edge(target, rule.name, rule.follows_flat)


def _labelled(
    node: Node,
    stored: dict[str, str],
    book: RuleBook,
    fields: tuple[Edge, ...] = (),
    *,
    root: str = "",
) -> Facts:
    """Return the facts of a record with labels, in addition to its fields."""
    said = book.meanings(node.type, stored) if stored else []
    if not said:
        return Facts(node, root=root, references=fields)
    roots = [one.label for one in said if one.rule.effect is Effect.ROOT]
    return Facts(
        node,
        root=root or next(iter(roots), ""),
        other_roots=tuple(roots[1:]),
        expires_at=_written_expiry(said),
        references=fields + _edges(node.namespace, said, Effect.REFERENCE),
        parents=_edges(node.namespace, said, Effect.BACK_REFERENCE),
        conditional=tuple(_conditional(node.namespace, said)),
        used_at=tuple(_used_at(said)),
    )


def _edges(namespace: str, said: list[Meaning], effect: Effect) -> tuple[Edge, ...]:
    return tuple(
        Edge(Node(one.rule.target, namespace, one.key), one.label)
        for one in said
        if one.rule.effect is effect
    )


def _conditional(namespace: str, said: list[Meaning]) -> Iterator[ConditionalEdge]:
    for one in said:
        if one.rule.effect is Effect.CONDITION:
            parsed = rules.parse_condition(one.value)
            if parsed is not None:
                comparisons, key = parsed
                target = snapshot_node(namespace, one.snapshotter, key)
                yield ConditionalEdge(Edge(target, one.label), comparisons)


def _used_at(said: list[Meaning]) -> Iterator[int]:
    for one in said:
        if one.rule.effect is Effect.USED_AT:
            used_at = _time(one.value)
            if used_at is not None:
                yield used_at.timestamp(unit="nanosecond")


def _expiry(
    said: list[Meaning], book: RuleBook, made_at: Callable[[], Instant | None]
) -> Instant | None:
    written = _written_expiry(said)
    return None if written is None else book.lasting(written, made_at())


def _written_expiry(said: list[Meaning]) -> Instant | None:
    for one in said:
        if one.rule.effect is Effect.EXPIRY:
            return _time(one.value)
    return None


def _time(text: str) -> Instant | None:
    try:
        return parse_rfc3339(text)
    except ValueError:
        return None
