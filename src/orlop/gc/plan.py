"""A plan: what a collection would remove now, what that frees, and why.

It is made from one version of the metadata and touches nothing. To carry it out is to check
it again: what has come alive since, or was made anew, is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orlop.gc import reasons
from orlop.gc.node import CONTENT, ORPHAN, Node
from orlop.model.errors import FailedPreconditionError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orlop.gc.marked import Marked
    from orlop.gc.named import Datum
    from orlop.gc.paths import Path
    from orlop.gc.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Removal:
    """One thing that a plan removes.

    Attributes:
        node: what it is; an orphan is data in a backend that no metadata names.
        bytes: what its removal frees on disk; 0 where something else keeps the data.
        reason: why nothing holds it.
        identity: what tells the record from another one of the same name.
        data: what it names in backends.
        set_aside_bytes: what of its data is set aside instead of deleted; it frees nothing.
    """

    node: Node
    bytes: int
    reason: str
    identity: object = None
    data: tuple[Datum, ...] = ()
    set_aside_bytes: int = 0

    @property
    def type(self) -> str:
        """Its type."""
        return self.node.type

    @property
    def namespace(self) -> str:
        """Its namespace; empty for an orphan."""
        return self.node.namespace

    @property
    def key(self) -> str:
        """Its key: for a snapshot `<snapshotter>/<key>`."""
        return self.node.key


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a collection would remove.

    Attributes:
        nodes: records in the order of a sweep, then orphans.
        marked: the graph, and what is held in it.
        is_hypothetical: whether it was made for another time than the present, or without
            something that is there.
        failures: which backends could not be read, and why; what they hold is not in here.
        doubt: why data is set aside instead of deleted: the metadata may not be the newest.
            `None`: it is deleted.
        stored_bytes: what all backends hold, where the metadata is in doubt; else 0.
        faults: records whose data is missing or of another size, and what is wrong with it.
    """

    nodes: tuple[Removal, ...]
    marked: Marked
    is_hypothetical: bool
    failures: Mapping[str, str]
    _apply: Callable[..., Statistics] = field(repr=False)
    doubt: str | None = None
    stored_bytes: int = 0
    faults: Mapping[Node, str] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """How many records that a collection might remove are held."""
        return self.marked.kept

    @property
    def freed_bytes(self) -> int:
        """What all of it frees on disk, in bytes."""
        return sum(removal.bytes for removal in self.nodes)

    @property
    def set_aside_bytes(self) -> int:
        """What data is or will be set aside, in bytes."""
        return sum(removal.set_aside_bytes for removal in self.nodes)

    def held_by(self, node: Node) -> tuple[Path, ...]:
        """Return for each root that holds a node one shortest path; nothing for garbage."""
        return self.marked.paths(node)

    def explain(self, node: Node | Removal) -> str:
        """Say why a node goes, or who holds it.

        Raises:
            NotFoundError: there is no such record, and nothing refers to one.
        """
        if isinstance(node, Removal):
            node = node.node
        for removal in self.nodes:
            if removal.node == node.whole:
                return f"{node} is removed: {removal.reason}"
        paths = self.held_by(node)
        if not paths:
            hint = "" if node.type in {CONTENT, ORPHAN} else "; look at its namespace and key"
            raise NotFoundError(f"{node}{hint}")
        return reasons.describe(node, paths)

    def apply(self, *, release: bool = False, confirmed: bool = False) -> Statistics:
        """Remove what is in the plan, and nothing else.

        Args:
            release: also delete data that is set aside, or would be.
            confirmed: do so although the metadata is in doubt and it is a large share of it.

        Raises:
            FailedPreconditionError: something in it is held by now, or was made anew, or the
                plan is hypothetical, or needs to be confirmed; nothing was removed.
        """
        if self.is_hypothetical:
            raise FailedPreconditionError(
                "the plan was made for another time than the present, or without something "
                "that is there: make one for what is"
            )
        return self._apply(self, release=release, confirmed=confirmed)
