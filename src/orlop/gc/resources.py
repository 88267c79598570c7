"""Resources of other kinds, which take part in a collection: streams, mounts, any plug-in.

A plug-in may fail in any call. Its exceptions end no run: the collector works with a
`CheckedSession`, which turns them into a `ResourceError` while the graph is read and the records
are removed, and notes them where the run goes on.

Source: containerd, core/metadata/gc.go (Collector, CollectionContext); spec/metadata.md 3.8.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from orlop.errors import InvalidArgumentError, OrlopError
from orlop.gc.node import BUILT_IN, ORPHAN, SNAPSHOT, Node
from orlop.schema import names

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

_logger = logging.getLogger(__name__)


class ResourceSession(Protocol):
    """The part that one kind of resource has in one run.

    It may hold a lock from its start to `cancel` or `finish`, of which exactly one is called.
    Updates wait from `begin` until what was removed is durable: what takes long belongs into
    `finish`. Code that takes that lock beside an update takes it inside the update, never before
    it: `begin` would wait for the lock, and the update for the collection. An exception in
    anything that is asked means that it is not known what this kind holds: nothing is removed in
    that run. After one in `remove` nothing of this kind is.
    """

    def all(self) -> Iterable[Node]:
        """Return all resources of this kind."""

    def active(self, namespace: str) -> Iterable[Node]:
        """Return the resources in a namespace that are in use, and so are roots."""

    def back_references(self, namespace: str) -> Iterable[tuple[Node, Node]]:
        """Return pairs in a namespace of which the first keeps the second."""

    def leased(self, namespace: str, lease: str) -> Iterable[Node]:
        """Return the resources that a lease keeps."""

    def references(self, node: Node) -> Iterable[Node]:
        """Return the references of a resource of this kind, listed or not."""

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
        """The suffix of `containerd.io/gc.ref.` in labels that refer to it; empty for none."""

    def begin(self) -> ResourceSession:
        """Begin its part in a run. After an error nothing is removed in that run."""


class RegisteredResource:
    """A kind of resource as it was when it was registered: a plug-in's attributes may change.

    Attributes:
        type: the type of its nodes.
        reference_label: what follows `containerd.io/gc.ref.` in labels that refer to it.
    """

    def __init__(self, resource: Resource) -> None:
        """Read the attributes of a plug-in.

        Raises:
            InvalidArgumentError: one is no text, or the type is one of the database's own.
        """
        kind: object = resource.type
        label: object = resource.reference_label
        if not isinstance(kind, str) or not kind or kind in BUILT_IN:
            raise InvalidArgumentError(f"resources cannot be registered as {kind!r}")
        if not isinstance(label, str):
            raise InvalidArgumentError(
                f"the reference label of resources of type {kind} is {label!r}, and no text"
            )
        self.type = kind
        self.reference_label = label
        self._resource = resource

    def begin(self) -> ResourceSession:
        """Begin its part in a run."""
        return self._resource.begin()


class ResourceError(Exception):
    """A plug-in failed while the graph was read, or while records were removed.

    Attributes:
        kind: the type of its resources.
        is_removal: whether that was in `remove`.
    """

    def __init__(self, kind: str, method: str, error: Exception) -> None:
        super().__init__(f"{method} of resources of type {kind} failed: {told(error)}")
        self.kind = kind
        self.is_removal = method == "remove"


class CheckedSession:
    """The part of one kind of resource in one run, with its exceptions contained.

    Attributes:
        is_kept: whether nothing of this kind is removed in this run.
    """

    def __init__(
        self,
        kind: str,
        collection: ResourceSession,
        types: Iterable[str] = (),
        *,
        is_kept: bool = False,
    ) -> None:
        """Wrap the session that `Resource.begin` returned.

        Args:
            kind: the type of its resources.
            collection: it may lack any method.
            types: the types of all resources that are registered; it may name them.
            is_kept: whether nothing of this kind is removed in this run.
        """
        self.is_kept = is_kept
        self._kind = kind
        self._collection = collection
        self._types = (BUILT_IN - {ORPHAN}) | {kind, *types}

    def all(self) -> list[Node]:
        """Return all resources of this kind.

        Raises:
            ResourceError: the plug-in failed; so for all that asks it.
        """
        return self._own("all")

    def active(self, namespace: str) -> list[Node]:
        """Return the resources in a namespace that are roots."""
        return self._own("active", namespace)

    def back_references(self, namespace: str) -> list[tuple[Node, Node]]:
        """Return pairs in a namespace of which the first keeps the second."""
        with self._failing("back_references"):
            pairs = [(one, other) for one, other in self._collection.back_references(namespace)]
            return [(self._checked(one).whole, self._checked(other).whole) for one, other in pairs]

    def leased(self, namespace: str, lease: str) -> list[Node]:
        """Return the nodes that a lease keeps."""
        return self._nodes("leased", namespace, lease)

    def references(self, node: Node) -> list[Node]:
        """Return the references of a resource."""
        return self._nodes("references", node)

    def remove(self, node: Node) -> None:
        """Note that a resource is removed."""
        with self._failing("remove"):
            self._collection.remove(node)

    def end(self, *, has_succeeded: bool) -> str | None:
        """Finish or cancel; return why that failed, `None` if it did not."""
        finish = has_succeeded and not self.is_kept
        try:
            if finish:
                self._collection.finish()
            else:
                self._collection.cancel()
        except Exception as error:
            method = "finish" if finish else "cancel"
            _logger.exception("%s of resources of type %s failed", method, self._kind)
            return f"{method} failed: {told(error)}"
        return None

    def _own(self, method: str, *arguments: object) -> list[Node]:
        nodes = self._nodes(method, *arguments)
        with self._failing(method):
            for node in nodes:
                if node.type != self._kind:
                    raise TypeError(f"{node} is no resource of this type")
        return nodes

    def _nodes(self, method: str, *arguments: object) -> list[Node]:
        with self._failing(method):
            return [self._checked(one) for one in getattr(self._collection, method)(*arguments)]

    def _checked(self, node: object) -> Node:
        """Return a node of a plug-in's answer, flat only where its type can be."""
        if not isinstance(node, Node) or not all(isinstance(part, str) for part in node[:3]):
            raise TypeError(f"{node!r} is no Node")
        if node.type not in self._types:
            raise TypeError(f"{node} is of no type that takes part in collections")
        if node.type == SNAPSHOT and "/" not in node.key:
            raise ValueError(f"the key of {node} does not begin with a snapshotter")
        names.to_bytes(node.key)
        return node.flat if node.is_flat else node

    @contextmanager
    def _failing(self, method: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            _logger.exception("%s of resources of type %s failed", method, self._kind)
            raise ResourceError(self._kind, method, error) from error


def begin_sessions(
    resources: Mapping[str, Resource],
    sessions: dict[str, CheckedSession],
    kept: Container[str] = (),
) -> None:
    """Begin the part of each kind of resource in a run.

    Args:
        resources: the plug-ins, by type.
        sessions: where to put what has begun.
        kept: the types of which nothing is removed.

    Raises:
        ResourceError: one cannot begin, so that it is not known what it holds.
    """
    for kind, resource in sorted(resources.items()):
        try:
            collection = resource.begin()
        except Exception as error:
            _logger.exception("resources of type %s cannot take part in a collection", kind)
            raise ResourceError(kind, "begin", error) from error
        sessions[kind] = CheckedSession(kind, collection, resources, is_kept=kind in kept)


def end_sessions(
    sessions: dict[str, CheckedSession], failures: dict[str, str], *, has_succeeded: bool
) -> None:
    """Finish or cancel each kind of resource, also after an interrupt of one; each once."""
    interrupt: BaseException | None = None
    while sessions:
        kind = next(iter(sessions))
        session = sessions.pop(kind)
        try:
            failure = session.end(has_succeeded=has_succeeded)
        except BaseException as error:  # noqa: BLE001 (raised when all have ended)
            interrupt = interrupt or error
        else:
            if failure is not None:
                failures.setdefault(kind, failure)
    if interrupt is not None:
        raise interrupt


@contextmanager
def cancelled_at_end(failures: dict[str, str]) -> Iterator[dict[str, CheckedSession]]:
    """Yield a place for sessions; those that have not ended by the end of the block are cancelled.

    Args:
        failures: where to note which could not be cancelled.
    """
    sessions: dict[str, CheckedSession] = {}
    try:
        yield sessions
    finally:
        end_sessions(sessions, failures, has_succeeded=False)


def told(error: Exception) -> str:
    """Return class and message of an exception of a plug-in."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 (its __str__ is a plug-in's, too)
        return name
    return f"{name}: {text}" if text else name


def reason_of(error: Exception) -> str:
    """Return the message of an exception, with its class unless it is one that is expected."""
    return str(error) if isinstance(error, OrlopError | OSError) else told(error)
