"""The environment of the namespaces of an open database: transactions, backends, claims."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.concurrency.forks import HomeProcess
from orlop.concurrency.ownership import Mutex
from orlop.errors import FailedPreconditionError
from orlop.stores.backend_claims import BackendClaims, SnapshotClaims
from orlop.stores.namespaces import NamespaceStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orlop.changes import Changes
    from orlop.clock import Clock
    from orlop.opening import Backends, OpenOptions
    from orlop.storage.contract import ContentBackend, SnapshotBackend
    from orlop.transactions import Transactions


class Environment:
    """The parts of an open database that its namespaces use. Every thread may use it.

    Attributes:
        transactions: the transactions of `meta.db`.
        clock: the source of time.
        sharing: how namespaces share content: `shared` or `isolated`.
        root: the root directory; `None` for a bare file.
        content_claims: the claims on blobs and ingests, which the cleanup of the content backend
            passes over.
    """

    def __init__(
        self,
        transactions: Transactions,
        path: Path,
        options: OpenOptions,
        *,
        clock: Clock,
        root: Path | None,
        follow: Callable[[Callable[[Changes], None]], Callable[[], None]],
        make_backends: Callable[[], Backends],
    ) -> None:
        """Make the environment of an open database.

        Args:
            transactions: its transactions.
            path: its file, for messages.
            options: how it was opened.
            clock: the source of time.
            root: the root directory; `None` for a bare file.
            follow: registers a follower of changes; returns a function that ends that.
            make_backends: makes the backends when they are first used.
        """
        self.transactions = transactions
        self.clock = clock
        self.sharing = options.sharing
        self.root = root
        self.content_claims = BackendClaims("the content store", options.timeout)
        self._path = path
        self._timeout = options.timeout
        self._follow = follow
        self._make_backends = make_backends
        self._mutex = Mutex()
        self._home = HomeProcess()
        self._backends: Backends | None = None
        self._snapshot_claims: dict[str, SnapshotClaims] = {}
        self.leases_to_end: list[tuple[str, str]] = []

    @property
    def namespaces(self) -> NamespaceStore:
        """The namespaces of the database."""
        return NamespaceStore(self.transactions)

    @property
    def backends(self) -> Backends:
        """The backends of content and snapshots, made when they are first used.

        Raises:
            FailedPreconditionError: this is a fork of the process that opened the database.
        """
        if self._backends is None:
            self.require_home()
            made = self._make_backends()
            with self._mutex:
                if self._backends is None:  # no other thread was faster
                    self._backends = made
        return self._backends

    @property
    def made_backends(self) -> Backends | None:
        """The backends, if they have been used."""
        return self._backends

    @property
    def content_backend(self) -> ContentBackend:
        """The backend of the blobs.

        Raises:
            FailedPreconditionError: the database was opened as a bare file.
        """
        content = self.backends.content
        if content is None:
            raise FailedPreconditionError(
                f"{self._path} was opened without its root directory: it has no content on disk; "
                "open the root directory instead"
            )
        return content

    @property
    def snapshot_backends(self) -> dict[str, SnapshotBackend]:
        """A copy of the backends of snapshots, by snapshotter; empty for a bare file."""
        return dict(self.backends.snapshotters)

    def snapshot_claims(self, snapshotter: str) -> SnapshotClaims:
        """Return the claims on snapshots, which the cleanup of a snapshotter passes over."""
        with self._mutex:
            return self._snapshot_claims.setdefault(
                snapshotter, SnapshotClaims(snapshotter, self._timeout)
            )

    def follow(self, follower: Callable[[Changes], None]) -> Callable[[], None]:
        """Deliver the changes of each update to `follower`; return a function that ends that."""
        return self._follow(follower)

    def end_at_close(self, namespace: str, lease_id: str) -> None:
        """Delete a lease when the database, which accepts no more writes, is closed."""
        self.leases_to_end.append((namespace, lease_id))

    def require_home(self) -> None:
        """Refuse to do anything in a forked process.

        Raises:
            FailedPreconditionError: this is one.
        """
        if not self._home.is_here:
            raise FailedPreconditionError(f"{self._path}: {self._home.refusal}")
