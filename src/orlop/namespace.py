"""A namespace of a database: its stores, and the leases that are in force in a block."""

from __future__ import annotations

import contextvars
import logging
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from orlop.concurrency.forks import HomeProcess
from orlop.concurrency.ownership import Flag, Hold, start_thread
from orlop.errors import InvalidArgumentError, NotFoundError, OrlopError
from orlop.schema.codec.timestamps import require_duration
from orlop.stores.validation import check_key
from orlop.transactions import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orlop.environment import Environment
    from orlop.records import Lease
    from orlop.stores.containers import ContainerStore
    from orlop.stores.content import ContentStore
    from orlop.stores.images import ImageStore
    from orlop.stores.leases import LeaseStore
    from orlop.stores.sandboxes import SandboxStore
    from orlop.stores.snapshots import SnapshotStore

_DEFAULT_LEASE: Final = timedelta(hours=24)
_RENEWALS_A_LEASE: Final = 3
_STOP_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 5.0
"""How soon a renewal notices that the clock has jumped, or that the machine was suspended."""

_logger = logging.getLogger(__name__)


class Namespace:
    """The objects of one namespace. It need not exist: the first object makes it.

    Each store is imported when it is first used: most programs need a few of them.
    """

    def __init__(self, environment: Environment, name: str) -> None:
        """Bind `name`, which has been checked, to the environment of an open database."""
        self._environment = environment
        self._transactions = environment.transactions
        self._scope = Scope(name, environment.transactions)

    @property
    def name(self) -> str:
        """The name of this namespace."""
        return self._scope.namespace

    @property
    def environment(self) -> Environment:
        """The parts of the open database that its namespaces share."""
        return self._environment

    @property
    def images(self) -> ImageStore:
        """The images."""
        from orlop.stores.images import ImageStore  # noqa: PLC0415

        return ImageStore(self._scope)

    @property
    def containers(self) -> ContainerStore:
        """The containers."""
        from orlop.stores.containers import ContainerStore  # noqa: PLC0415

        return ContainerStore(self._scope)

    @property
    def sandboxes(self) -> SandboxStore:
        """The sandboxes."""
        from orlop.stores.sandboxes import SandboxStore  # noqa: PLC0415

        return SandboxStore(self._scope)

    @property
    def leases(self) -> LeaseStore:
        """The leases: for those that outlive a block."""
        from orlop.stores.leases import LeaseStore  # noqa: PLC0415

        return LeaseStore(self._scope)

    @property
    def content(self) -> ContentStore:
        """The blobs."""
        from orlop.stores.content import ContentStore  # noqa: PLC0415

        shared = self._environment
        return ContentStore(
            self._scope, lambda: shared.content_backend, shared.content_claims, shared.sharing
        )

    def snapshotters(self) -> list[str]:
        """Return the names of the snapshotters that this namespace has snapshots of."""
        from orlop.schema import snapshots  # noqa: PLC0415

        return self._transactions.read(
            lambda transaction: snapshots.snapshotters(transaction, self.name)
        )

    def snapshots(self, snapshotter: str) -> SnapshotStore:
        """Return the snapshots that `snapshotter` keeps.

        Of a snapshotter that Orlop does not have, only the records can be read.

        Raises:
            InvalidArgumentError: the name is empty or too long.
        """
        from orlop.stores.snapshots import SnapshotStore  # noqa: PLC0415

        check_key(snapshotter, "the name of a snapshotter")
        return SnapshotStore(
            self._scope,
            snapshotter,
            self._environment.snapshot_backends.get(snapshotter),
            self._environment.snapshot_claims(snapshotter),
        )

    @contextmanager
    def lease(
        self,
        lease_id: str | None = None,
        *,
        expires: timedelta | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Iterator[Lease]:
        """Create a lease for the objects that the block makes here; delete it at the end.

        While the block runs the lease is renewed, by the time that passes, and at once when the
        clock jumps, so that it ends soon if the process dies. In this process it does not end
        while the block runs, whatever the time is.

        Args:
            lease_id: its id; `None` for a random one.
            expires: how long after its last renewal it ends by itself; `None`: 24 hours.
            labels: its labels.

        Raises:
            AlreadyExistsError: there is a lease of that id.
            InvalidArgumentError: the id or a label is invalid, or `expires` is not positive.
        """
        home = HomeProcess()
        duration = require_duration(_DEFAULT_LEASE if expires is None else expires, "expires")
        if duration <= timedelta():
            raise InvalidArgumentError(f"a lease cannot expire after {duration}")
        lease = self.leases.create(lease_id, labels=labels, expires=duration)
        try:
            with (
                _Renewal(self.leases, lease.id, duration),
                self._transactions.leased(self.name, lease.id),
            ):
                yield lease
        except BaseException:
            if not home.is_here:
                raise  # the process that began it ends it
            try:
                self._end(lease)
            except OrlopError as error:
                # The error of the block matters more.
                _logger.info("lease %r is deleted later: %s", lease.id, error)
            raise
        self._end(lease)

    @contextmanager
    def using_lease(self, lease_id: str) -> Iterator[None]:
        """Put a lease that exists in force for the objects that the block makes here.

        If it does not exist, making an object in the block raises NotFoundError.
        """
        check_key(lease_id, "the id of a lease")
        with self._transactions.leased(self.name, lease_id):
            yield

    def _end(self, lease: Lease) -> None:
        try:
            self.leases.delete(lease.id)
        except NotFoundError:
            _logger.debug("lease %r was deleted while its block ran", lease.id)
        except OrlopError:
            # After a failed write this handle accepts nothing; the next one does. A generator
            # may be collected, and its block end, inside a view.
            self._environment.end_at_close(self.name, lease.id)
            raise


class _Renewal(Hold):
    """Renews a lease in a thread of its own while a block runs."""

    __slots__ = ("_begun", "_ended", "_expires", "_home", "_lease_id", "_leases", "_stopped")

    def __init__(self, leases: LeaseStore, lease_id: str, expires: timedelta) -> None:
        super().__init__()
        self._leases = leases
        self._lease_id = lease_id
        self._expires = expires
        self._stopped = Flag()
        self._ended = Flag()
        self._home = HomeProcess()
        # Not when the thread runs: the clock may have gone on by then.
        clock = leases.scope.transactor.clock
        self._begun = clock.elapsed(), clock.jumps

    def __enter__(self) -> None:
        # The thread must not see the transaction of this context, whatever threads inherit.
        start_thread(partial(contextvars.Context().run, self._run))

    def leave(self, error: BaseException | None) -> None:
        """Renew it no more."""
        del error
        if not self._home.is_here:
            return  # its thread is not in this process
        self._stopped.set()
        # No longer: it may wait for the update that this thread has open. It ends after it.
        self._ended.wait(_STOP_SECONDS)

    def _run(self) -> None:
        try:
            self._renew()
        finally:
            self._ended.set()

    def _renew(self) -> None:
        clock = self._leases.scope.transactor.clock
        pause_seconds = self._expires.total_seconds() / _RENEWALS_A_LEASE
        renewed, jumps = self._begun
        while True:
            remaining = renewed + pause_seconds - clock.elapsed()
            if remaining > 0 and jumps == clock.jumps:
                if self._stopped.wait(min(remaining, _LOOK_SECONDS)) or self.is_left:
                    return
                clock.now()  # notices a jump
                continue
            renewed, jumps = clock.elapsed(), clock.jumps
            if self._stopped.is_set:
                return
            try:
                self._leases.renew(self._lease_id, self._expires)
            except OrlopError as error:
                if not self._stopped.is_set:
                    _logger.warning("lease %r was not renewed: %s", self._lease_id, error)
