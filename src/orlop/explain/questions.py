"""Paths, referrers and root nodes: why a record is kept, or why it is not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orlop.errors import NotFoundError
from orlop.explain.references import resolve
from orlop.gc.explain.links import dangling, links
from orlop.gc.explain.reasons import lapses, reasons
from orlop.gc.node import ORPHAN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from whenever import Instant

    from orlop.database import Database
    from orlop.gc.explain.links import Link
    from orlop.gc.explain.paths import Path
    from orlop.gc.explain.reasons import Lapse
    from orlop.gc.journal import Entry
    from orlop.gc.marked import Marked
    from orlop.gc.node import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer for one record: the paths that hold it, or the reason why none does.

    Attributes:
        node: what was asked about.
        exists: whether there is such a record; names that others refer to are held, too.
        paths: for each root that holds it and each last edge one shortest path, the shortest
            first; nothing where nothing holds it.
        is_complete: whether those are all paths.
        reason: why nothing holds it; empty where something does.
        removal: when a collection removed it, and why; `None`: it is there, or that is not known.
        lapses: how it would be held, and what keeps that from holding.
    """

    node: Node
    exists: bool
    paths: tuple[Path, ...] = ()
    is_complete: bool = True
    reason: str = ""
    lapses: tuple[Lapse, ...] = ()
    removal: Entry | None = None

    @property
    def is_held(self) -> bool:
        """Whether anything holds it."""
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
    reason = reasons(marked).get(node, "only what goes too refers to it")
    return Answer(node=node, exists=exists, reason=reason, lapses=lapses(marked, node))


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
    meant = set(resolve(database, marked.graph, reference, namespace=namespace))
    return [link for link in links(marked) if link.target in meant]


@dataclass(frozen=True, slots=True, kw_only=True)
class RootRecord:
    """A record that holds itself.

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
    for node, rule in marked.roots.items():
        facts = marked.graph.facts(node)
        if facts is not None and namespace in {None, node.namespace}:
            edges = {edge.target.whole for edge in marked.graph.references(node, marked.now)}
            yield RootRecord(
                node=node, rule=rule, expires_at=facts.expires_at, references=len(edges)
            )


def dangling_links(marked: Marked, *, namespace: str | None = None) -> Iterator[Link]:
    """Iterate over the references to records that do not exist."""
    return (one for one in dangling(marked) if namespace in {None, one.source.namespace})
