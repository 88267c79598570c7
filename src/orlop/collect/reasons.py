"""Why things are held, and why others are not: in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orlop.collect.node import IMAGE, INGEST, LEASE
from orlop.collect.rules import ROOTS_BY_TYPE
from orlop.model.timestamps import format_rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orlop.collect.facts import Facts
    from orlop.collect.marked import Marked, Path
    from orlop.collect.node import Node

NOTHING: Final = "nothing refers to it"


def reasons(marked: Marked) -> dict[Node, str]:
    """Return for each record that nothing holds why that is so."""
    garbage = dict.fromkeys(marked.garbage, "")
    said: dict[Node, str] = {}
    for facts in _telling_first(marked):
        for target, reason in _blamed(marked, facts):
            if target in garbage and target != facts.node:
                said.setdefault(target, reason)
    return {node: _reason(marked, node, said.get(node, NOTHING)) for node in garbage}


def describe(node: Node, paths: Iterable[Path]) -> str:
    """Say who holds a node; one line for each path."""
    return "\n".join([f"{node} is held:", *(f"  {_describe_path(path)}" for path in paths)])


def _describe_path(path: Path) -> str:
    root, *steps = path
    words = ROOTS_BY_TYPE.get(root.edge, f"a root by {root.edge}")
    held = "".join(f" --{step.edge}--> {_brief(step.node)}" for step in steps)
    return f"{_brief(root.node)} ({words}){held}"


def _brief(node: Node) -> str:
    return f"{node.type} {node.key}{' (flat)' if node.is_flat else ''}"


def _telling_first(marked: Marked) -> list[Facts]:
    """Return all facts; those that say most about others first: leases, then the living."""

    def rank(facts: Facts) -> int:
        return 0 if facts.node.type == LEASE else 1 if marked.holds(facts.node) else 2

    return sorted(marked.graph.all_facts(), key=rank)


def _blamed(marked: Marked, facts: Facts) -> Iterator[tuple[Node, str]]:
    """Iterate over what a record refers to without holding it, and why it does not."""
    node = facts.node
    if node.type == LEASE and facts.expires_at is not None:
        reason = f'lease "{node.key}", which held it, expired at {format_rfc3339(facts.expires_at)}'
    elif marked.holds(node):
        reason = f"{_named(node)} refers to it, but is itself held flat"
    else:
        reason = f"only what goes too refers to it: {_named(node)}"
    for edge in facts.references:
        yield edge.target.whole, reason
    for conditional in facts.conditional:
        reason = f"the condition under which {_named(node)} refers to it does not hold"
        yield conditional.edge.target, f"{reason} ({conditional.edge.rule})"


def _named(node: Node) -> str:
    return f"{node.type} {node.key}"


def _reason(marked: Marked, node: Node, said: str) -> str:
    facts = marked.graph.facts(node)
    if facts is not None and facts.root and facts.has_expired(marked.now):
        expired = f"it expired at {format_rfc3339(facts.expires_at)}" if facts.expires_at else ""
        return f"{expired}, and {said}" if node.type == IMAGE else expired
    if said == NOTHING and facts is not None and facts.parents:
        parents = ", ".join(_named(edge.target) for edge in facts.parents)
        return f"nothing holds what it is bound to: {parents}"
    if said == NOTHING and node.type == INGEST:
        return "it has no expiry of its own, and no lease holds it"
    return said
