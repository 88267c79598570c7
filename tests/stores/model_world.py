"""The expected contents of a database, as plain dictionaries: the model of its state machine.

Each method has the effect, or raises the exception, of the corresponding method of a store, in
a few lines, with full scans as the only lookups.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from orlop.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)

if TYPE_CHECKING:
    from whenever import Instant

ACTIVE, VIEW, COMMITTED = "active", "view", "committed"

LOST = "lost"
"""The kind of an active snapshot whose commit was done in the backend alone, before a crash."""

Thing: TypeAlias = "tuple[str, str]"
"""A type of a resource of leases, and an id."""


@dataclass
class Space:
    """A namespace. Every dictionary is by id, name or key."""

    images: dict[str, tuple[str, str, Instant | None]] = field(default_factory=dict)
    """Digest, snapshot it refers to (empty: none), expiry."""
    blobs: dict[str, tuple[bool, frozenset[str]]] = field(default_factory=dict)
    """Whether it is a root, and the digests it refers to."""
    ingests: dict[str, Instant | None] = field(default_factory=dict)
    """When each expires; `None`: it is kept by its lease alone."""
    snapshots: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Parent (empty: none) and kind."""
    containers: dict[str, str] = field(default_factory=dict)
    """The snapshot of each."""
    leases: dict[str, tuple[Instant | None, set[Thing]]] = field(default_factory=dict)
    """The expiry and the resources of each lease."""

    def add_lease(self, name: str, expiry: Instant | None) -> None:
        if name in self.leases:
            raise AlreadyExistsError
        self.leases[name] = expiry, set()

    def delete_lease(self, name: str) -> None:
        if name not in self.leases:
            raise NotFoundError
        del self.leases[name]

    def open_ingest(self, ref: str, lease: str | None, expiry: Instant) -> None:
        self.check_lease(lease)
        if lease is None:
            self.ingests[ref] = expiry
        else:
            self.ingests.setdefault(ref, None)
        self.attach(lease, "ingests", ref)

    def commit_ingest(
        self, ref: str, lease: str | None, digest: str, *, is_root: bool, refers: str
    ) -> None:
        del self.ingests[ref]
        self.detach(lease, "ingests", ref)
        self.attach(lease, "content", digest)
        existed = digest in self.blobs
        was_root, referred = self.blobs.get(digest, (False, frozenset[str]()))
        self.blobs[digest] = was_root or is_root, referred | {one for one in [refers] if one}
        if existed:
            raise AlreadyExistsError

    def abort(self, ref: str, lease: str | None) -> None:
        if ref not in self.ingests:
            raise NotFoundError
        del self.ingests[ref]
        self.detach(lease, "ingests", ref)

    def delete_blob(self, digest: str, lease: str | None) -> None:
        if digest not in self.blobs:
            raise NotFoundError
        del self.blobs[digest]
        self.detach(lease, "content", digest)

    def add_image(
        self, name: str, lease: str | None, digest: str, refers: str, expiry: Instant | None
    ) -> None:
        if expiry is not None:
            self.check_lease(lease)
        if name in self.images:
            raise AlreadyExistsError
        if expiry is not None:
            self.attach(lease, "images", name)
        self.images[name] = digest, refers, expiry

    def delete_image(self, name: str, lease: str | None) -> None:
        if name not in self.images:
            raise NotFoundError
        del self.images[name]
        self.detach(lease, "images", name)

    def prepare(self, key: str, parent: str, kind: str, lease: str | None) -> None:
        self.check_lease(lease)
        if key in self.snapshots:
            self.attach(lease, "snapshots/native", key)
            raise AlreadyExistsError
        if parent and parent not in self.snapshots:
            raise NotFoundError
        if self.is_lost(parent):
            raise NotFoundError
        if parent and self.snapshots[parent][1] != COMMITTED:
            raise InvalidArgumentError
        self.snapshots[key] = parent, kind
        self.attach(lease, "snapshots/native", key)

    def commit(self, name: str, key: str, lease: str | None) -> None:
        self.check_lease(lease)
        if name in self.snapshots:
            self.attach(lease, "snapshots/native", name)
            raise AlreadyExistsError
        if key not in self.snapshots:
            raise NotFoundError
        parent, kind = self.snapshots[key]
        if kind != ACTIVE:
            raise FailedPreconditionError
        del self.snapshots[key]
        self.snapshots[name] = parent, COMMITTED
        self.attach(lease, "snapshots/native", name)
        self.detach(lease, "snapshots/native", key)

    def remove(self, key: str, lease: str | None) -> None:
        if key not in self.snapshots:
            raise NotFoundError
        if any(parent == key for parent, _ in self.snapshots.values()):
            raise FailedPreconditionError
        del self.snapshots[key]
        self.detach(lease, "snapshots/native", key)

    def add_container(self, name: str, key: str) -> None:
        if name in self.containers:
            raise AlreadyExistsError
        self.containers[name] = key

    def delete_container(self, name: str) -> None:
        if name not in self.containers:
            raise NotFoundError
        del self.containers[name]

    def is_lost(self, key: str) -> bool:
        return self.snapshots.get(key, ("", ""))[1] == LOST

    def without_loss(self) -> Space:
        """Return the state without the losses."""
        kept = {
            key: (parent, ACTIVE if kind == LOST else kind)
            for key, (parent, kind) in self.snapshots.items()
        }
        return replace(self, snapshots=kept)

    def collect(self, now: Instant) -> None:
        """Delete unreachable things, found by a fixpoint iteration."""
        held = self._roots(now)
        while (more := held | {below for one in held for below in self._below(one)}) != held:
            held = more
        for kind, things in (
            ("images", self.images),
            ("content", self.blobs),
            ("ingests", self.ingests),
            ("snapshots/native", self.snapshots),
        ):
            for name in [one for one in things if (kind, one) not in held]:
                del things[name]
        for name in [one for one, (expiry, _) in self.leases.items() if is_over(expiry, now)]:
            del self.leases[name]

    def _roots(self, now: Instant) -> set[Thing]:
        roots: set[Thing] = set()
        for expiry, things in self.leases.values():
            if not is_over(expiry, now):
                roots |= things
        roots |= {("images", one) for one, it in self.images.items() if not is_over(it[2], now)}
        roots |= {("content", one) for one, (is_root, _) in self.blobs.items() if is_root}
        roots |= {("snapshots/native", key) for key in self.containers.values()}
        return roots | {
            ("ingests", ref)
            for ref, expiry in self.ingests.items()
            if expiry is not None and not is_over(expiry, now)
        }

    def _below(self, thing: Thing) -> list[Thing]:
        kind, name = thing
        if kind == "images" and name in self.images:
            digest, refers, _ = self.images[name]
            return [("content", digest), ("snapshots/native", refers)]
        if kind == "content" and name in self.blobs:
            return [("content", digest) for digest in sorted(self.blobs[name][1])]
        if kind == "snapshots/native" and name in self.snapshots:
            return [(kind, self.snapshots[name][0])]
        return []

    def check_lease(self, lease: str | None) -> None:
        if lease is not None and lease not in self.leases:
            raise NotFoundError

    def attach(self, lease: str | None, kind: str, name: str) -> None:
        if lease is not None:
            self.leases[lease][1].add((kind, name))

    def detach(self, lease: str | None, kind: str, name: str) -> None:
        if lease in self.leases:
            self.leases[lease][1].discard((kind, name))


def is_over(expiry: Instant | None, now: Instant) -> bool:
    return expiry is not None and now > expiry
