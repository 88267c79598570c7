"""Why things are held, and why others are not: in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from orlop.gc.explain.links import Standing, links
from orlop.gc.explain.paths import Step
from orlop.gc.node import IMAGE, INGEST, LEASE
from orlop.gc.rules import FIELD_RULES, ROOTS_BY_TYPE
from orlop.schema.codec.timestamps import format_rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from orlop.gc.explain.links import Link
    from orlop.gc.explain.paths import Path
    from orlop.gc.facts import Facts
    from orlop.gc.marked import Marked
    from orlop.gc.node import Node

NOTHING: Final = "nothing refers to it"
_UNLEASED: Final = "it has no expiry of its own, and no lease holds it"

_FOLLOWED_FLAT: Final = frozenset(rule.name for rule in FIELD_RULES if rule.follows_flat)
_TELLING_FIRST: Final = (Standing.EXPIRED, Standing.UNMET, Standing.FLAT, Standing.LOOSE)


class Lapse(NamedTuple):
    """How a node would be held, and what keeps that from holding.

    Attributes:
        path: from what would be a root, or from where the path is broken, to the node.
        reason: what is wrong with the first step of it.
    """

    path: Path
    reason: str


def reasons(marked: Marked) -> dict[Node, str]:
    """Return for each record that nothing holds why that is so."""
    garbage = dict.fromkeys(marked.garbage)
    best: dict[Node, Link] = {}
    bound: dict[Node, list[str]] = {}
    for link in links(marked):
        if link.target not in garbage or link.source == link.target:
            continue
        if link.is_back:
            bound.setdefault(link.target, []).append(_named(link.source))
        elif link.target not in best or _rank(link) < _rank(best[link.target]):
            best[link.target] = link
    return {node: _reason(marked, node, best.get(node), bound.get(node, ())) for node in garbage}


def lapses(marked: Marked, node: Node) -> tuple[Lapse, ...]:
    """Return how a node that nothing holds would be held: one shortest path for each cause."""
    incoming: dict[Node, list[Link]] = {}
    for link in links(marked):
        if link.source != link.target:
            incoming.setdefault(link.target, []).append(link)
    onward: dict[Node, Step | None] = {node.whole: None}
    pending = [node.whole]
    found = []
    for reached in pending:
        for link in sorted(incoming.get(reached, ()), key=lambda one: one[:3]):
            step = Step(reached, link.edge)
            if link.standing is Standing.LOOSE:
                if link.source not in onward:
                    onward[link.source] = step
                    pending.append(link.source)
            else:
                steps = tuple(_steps(step, onward))
                if not link.is_flat or all(one.edge in _FOLLOWED_FLAT for one in steps[1:]):
                    path = (Step(link.source, ""), *steps)
                    found.append(Lapse(path, _said_of_source(marked, link)))
        own = _own_lapse(marked, reached)
        if own or (reached != node.whole and reached not in incoming):
            found.append(Lapse(tuple(_steps(Step(reached, ""), onward)), own or NOTHING))
    return tuple(found)


def describe(node: Node, paths: Iterable[Path]) -> str:
    """Say who holds a node; one line for each path."""
    return "\n".join([f"{node} is held:", *(f"  {describe_path(path)}" for path in paths)])


def describe_path(path: Path) -> str:
    """Say on one line how a path leads from its root to its end."""
    root, *steps = path
    words = ROOTS_BY_TYPE.get(root.edge, f"a root by {root.edge}") if root.edge else ""
    held = "".join(f" --{step.edge}--> {_brief(step.node)}" for step in steps)
    return f"{_brief(root.node)}{f' ({words})' if words else ''}{held}"


def _brief(node: Node) -> str:
    return f"{node.type} {node.key}{' (flat)' if node.is_flat else ''}"


def _steps(step: Step, onward: Mapping[Node, Step | None]) -> Iterator[Step]:
    following: Step | None = step
    while following is not None:
        yield following
        following = onward[following.node]


def _own_lapse(marked: Marked, node: Node) -> str:
    facts = marked.graph.facts(node)
    if facts is None:
        return "it does not exist"
    if facts.root and facts.has_expired(marked.now):
        return f"it {_expired(facts)}"
    return _UNLEASED if node.type == INGEST and not facts.root else ""


def _said_of_source(marked: Marked, link: Link) -> str:
    facts = marked.graph.facts(link.source)
    if link.standing is Standing.EXPIRED and facts is not None:
        return f"it {_expired(facts)}"
    if link.standing is Standing.UNMET:
        return f"its condition does not hold ({link.edge})"
    return "it is itself held flat, without what it refers to"


def _expired(facts: Facts) -> str:
    return f"expired at {format_rfc3339(facts.expires_at)}" if facts.expires_at else "expired"


def _rank(link: Link) -> int:
    return _TELLING_FIRST.index(link.standing)


def _reason(marked: Marked, node: Node, link: Link | None, bound: Iterable[str]) -> str:
    facts = marked.graph.facts(node)
    if facts is not None and facts.root and facts.has_expired(marked.now):
        expired = f"it {_expired(facts)}"
        return f"{expired}, and {_blamed(marked, link)}" if node.type == IMAGE else expired
    if link is None and bound:
        return f"nothing holds what it is bound to: {', '.join(bound)}"
    if link is None and node.type == INGEST:
        return _UNLEASED
    return _blamed(marked, link)


def _blamed(marked: Marked, link: Link | None) -> str:
    """Return what a link says about why it does not hold what it leads to."""
    if link is None:
        return NOTHING
    source = _named(link.source)
    if link.standing is Standing.EXPIRED:
        facts = marked.graph.facts(link.source)
        words = "expired" if facts is None else _expired(facts)
        return f'{LEASE} "{link.source.key}", which held it, {words}'
    if link.standing is Standing.UNMET:
        return f"the condition under which {source} refers to it does not hold ({link.edge})"
    if link.standing is Standing.FLAT:
        return f"{source} refers to it, but is itself held flat"
    return f"only what goes too refers to it: {source}"


def _named(node: Node) -> str:
    return f"{node.type} {node.key}"
