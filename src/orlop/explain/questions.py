"""Paths, referrers and root nodes: why a record is kept, or why it is not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orlop.errors import NotFoundError
from orlop.explain.references import resolve
from orlop.gc.explain.links import dangling, links_to
from orlop.gc.explain.reasons import broken_paths, reason_of
from orlop.gc.node import ORPHAN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whenever import Instant

    from orlop.database import Database
    from orlop.gc.explain.links import Link
    from orlop.gc.explain.paths import HoldingPath
    from orlop.gc.explain.reasons import BrokenPath
    from orlop.gc.journal import Entry
    from orlop.gc.marked import Marked
    from orlop.gc.node import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer for one record: the paths that keep it, or the reason why none does.

    Attributes:
        node: what was asked about.
        exists: whether there is such a record; names that others refer to are held, too.
        paths: for each root that holds it and each last edge one shortest path, the shortest
            first; nothing where nothing holds it.
        is_complete: whether those are all paths.
        reason: why nothing holds it; empty where something does.
        removal: when a collection removed it, and why; `None`: it is there, or that is not known.
        broken_paths: how it would be held, and what keeps that from holding.
    """

    node: Node
    exists: bool
    paths: tuple[HoldingPath, ...] = ()
    is_complete: bool = True
    reason: str = ""
    broken_paths: tuple[BrokenPath, ...] = ()
    removal: Entry | None = None

    @property
    def is_held(self) -> bool:
        """Whether the record is reachable."""
        return bool(self.paths)


def why(
    database: Database,
    reference: str,
    *,
    namespace: str | None = None,
    now: Instant | None = None,
    limit: int | None = None,
) -> list[Answer]:
    """Say why each thing that a reference means is here.

    Args:
        database: it may be open for reading only.
        reference: a name, a beginning of a digest or an id, a path; see `references`.
        namespace: where to look; `None`: everywhere.
        now: as of when; `None`: the present.
        limit: how many paths to find for each, at most; `None`: all. There may be as many as
            there are roots, times what refers to it.

    Raises:
        NotFoundError: the reference means nothing, now or in the journal.
        InvalidArgumentError: it may mean several things.
        UnavailableError: a file changes all the time.
        DataLossError: a file is damaged.
    """
    marked = database.gc.mark(now=now)
    journal = database.gc.journal
    try:
        nodes = resolve(database, marked.graph, reference, namespace=namespace)
    except NotFoundError:
        removed = {} if journal is None else journal.removed(reference, namespace)
        if not removed:
            raise
        return [
            Answer(node=node, exists=False, reason="it is gone", removal=removal)
            for node, removal in removed.items()
        ]
    answers = [_answer(marked, node, limit) for node in nodes]
    if journal is None:
        return answers
    return [
        answer if answer.exists else replace(answer, removal=journal.last(answer.node))
        for answer in answers
    ]


def _answer(marked: Marked, node: Node, limit: int | None) -> Answer:
    exists = node in marked.graph
    if node.type == ORPHAN:
        return Answer(node=node, exists=False, reason="no metadata names it")
    if marked.holds(node):
        paths = marked.paths(node, None if limit is None else limit + 1)
        is_complete = limit is None or len(paths) <= limit
        return Answer(node=node, exists=exists, paths=paths[:limit], is_complete=is_complete)
    return Answer(
        node=node,
        exists=exists,
        reason=reason_of(marked, node),
        broken_paths=broken_paths(marked, node),
    )


def referrers(
    database: Database,
    reference: str,
    *,
    namespace: str | None = None,
    now: Instant | None = None,
) -> list[Link]:
    """Return the labels and fields that refer to a record.

    Args:
        database: it may be open for reading only.
        reference: a name, a beginning of a digest or an id, a path; see `references`.
        namespace: where to look; `None`: everywhere.
        now: as of when; `None`: the present.

    Raises:
        NotFoundError: the reference means nothing.
        InvalidArgumentError: it may mean several things.
        UnavailableError: a file changes all the time.
        DataLossError: a file is damaged.
    """
    marked = database.gc.mark(now=now)
    return links_to(marked, resolve(database, marked.graph, reference, namespace=namespace))


@dataclass(frozen=True, slots=True, kw_only=True)
class RootRecord:
    """A record that is a root.

    Attributes:
        node: the record.
        rule: its type, or the label that makes it a root.
        expires_at: after that moment it is none; `None`: it never ends by itself.
        references: how many things it refers to.
    """

    node: Node
    rule: str
    expires_at: Instant | None
    references: int


def roots(marked: Marked, *, namespace: str | None = None) -> Iterator[RootRecord]:
    """Iterate over the roots, namespace by namespace."""
    graph = marked.graph
    for node, rule in marked.roots.items():
        node_id = graph.find(node)
        if node_id is not None and namespace in {None, node.namespace}:
            targets = {state >> 1 for state, _ in graph.references(node_id << 1, marked.now)}
            expires_at = graph.expires_at(node_id)
            yield RootRecord(node=node, rule=rule, expires_at=expires_at, references=len(targets))


def dangling_links(marked: Marked, *, namespace: str | None = None) -> Iterator[Link]:
    """Iterate over the references to records that do not exist."""
    return (one for one in dangling(marked) if namespace in {None, one.source.namespace})
