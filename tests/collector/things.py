"""Resources of another kind, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.gc.node import Node
from orlop.gc.resources import CheckedSession

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orlop.gc.resources import ResourceSession


class Things:
    """A configurable plug-in: existing, active and leased things, and their references."""

    type = "thing"
    reference_label = "test"

    def __init__(
        self,
        every: Iterable[Node],
        *,
        active: Iterable[Node] = (),
        leased: dict[str, list[Node]] | None = None,
        back: Iterable[tuple[Node, Node]] = (),
        forward: dict[Node, list[Node]] | None = None,
    ) -> None:
        self.every = list(every)
        self._active = list(active)
        self._leased = leased or {}
        self._back = list(back)
        self._forward = forward or {}
        self.ended: list[str] = []

    def begin(self) -> ResourceSession:
        return self

    def all(self) -> list[Node]:
        return list(self.every)

    def active(self, namespace: str) -> list[Node]:
        return [node for node in self._active if node.namespace == namespace]

    def back_references(self, namespace: str) -> list[tuple[Node, Node]]:
        return [pair for pair in self._back if pair[0].namespace == namespace]

    def leased(self, namespace: str, lease: str) -> list[Node]:
        return [node for node in self._leased.get(lease, []) if node.namespace == namespace]

    def references(self, node: Node) -> list[Node]:
        return self._forward.get(node, [])

    def remove(self, node: Node) -> None:
        self.every.remove(node)

    def cancel(self) -> None:
        self.ended.append("cancel")

    def finish(self) -> None:
        self.ended.append("finish")


def sessions(things: Things) -> dict[str, CheckedSession]:
    """Return the part of things in a run, as the collector has it."""
    return {things.type: CheckedSession(things.type, things)}


def thing(name: str, namespace: str = "ns1") -> Node:
    return Node("thing", namespace, name)
