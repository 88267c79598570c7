"""Resources of other kinds, which take part in a collection: streams, mounts, whatever comes.

Source: containerd, core/metadata/gc.go (Collector, CollectionContext); spec/metadata.md 3.8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orlop.collect.node import Node


class Collection(Protocol):
    """The part that one kind of resource has in one run.

    It may hold a lock from its start to `cancel` or `finish`, of which exactly one is called.
    Updates wait for most of the rest: what takes long belongs into `finish`.
    """

    def all(self) -> Iterable[Node]:
        """Return all resources of this kind."""

    def active(self, namespace: str) -> Iterable[Node]:
        """Return the resources in a namespace that are in use, and so hold themselves."""

    def back_references(self, namespace: str) -> Iterable[tuple[Node, Node]]:
        """Return pairs in a namespace of which the first holds the second."""

    def leased(self, namespace: str, lease: str) -> Iterable[Node]:
        """Return the resources that a lease holds."""

    def references(self, node: Node) -> Iterable[Node]:
        """Return what a resource of this kind refers to."""

    def remove(self, node: Node) -> None:
        """Note that a resource is removed."""

    def cancel(self) -> None:
        """End a run that failed: nothing was removed."""

    def finish(self) -> None:
        """End a run that succeeded; updates do not wait any more."""


class Resource(Protocol):
    """A kind of resource."""

    @property
    def type(self) -> str:
        """The type of its nodes."""

    @property
    def reference_label(self) -> str:
        """What follows `containerd.io/gc.ref.` in labels that refer to it; empty for none."""

    def begin(self) -> Collection:
        """Begin its part in a run. An error only leaves this kind out of the run."""
