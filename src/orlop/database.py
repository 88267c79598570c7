"""The database: a root directory as containerd lays it out, or a bare `meta.db`.

Only this module chooses the engine; with it the backends are made and the parts put together.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from orlop import opening
from orlop.bolt import open_engine, read_file_state
from orlop.changes import Audience
from orlop.clock import ObservedClock, SystemClock
from orlop.concurrency.forks import HomeProcess
from orlop.concurrency.interrupts import reraise_interrupt
from orlop.concurrency.ownership import Mutex
from orlop.concurrency.shared_lock import SharedLock
from orlop.creation import CreationRules, database_error, rules_for_file
from orlop.environment import Environment
from orlop.errors import FailedPreconditionError, OrlopError, UnavailableError
from orlop.gc.change_feed import ChangeFeed
from orlop.namespace import Namespace
from orlop.schema import migrations
from orlop.stores.content import SHARED
from orlop.stores.namespaces import NamespaceStore, check_name
from orlop.transactions import Transactions

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Self

    from orlop.changes import Changes, Update
    from orlop.clock import Clock
    from orlop.events import Event
    from orlop.gc import Collector, Node
    from orlop.kv import Engine, Follower, Transaction
    from orlop.layout import RootLayout
    from orlop.safety.write_session import SessionTracker
    from orlop.storage.contract import ContentBackend, SnapshotBackend
    from orlop.stores.backend_claims import BackendClaims, SnapshotClaims

_T = TypeVar("_T")

_logger = logging.getLogger(__name__)

_PATIENCE_SECONDS: Final = 1.0


class Database:
    """An open database. Every thread may use it; as a context manager it closes at the end.

    Open one with `orlop.open` or `Database.open_file`.
    """

    def __init__(
        self,
        engine: Engine,
        path: Path,
        options: opening.OpenOptions | None = None,
        *,
        tracker: SessionTracker | None = None,
        rules: CreationRules | None = None,
    ) -> None:
        """Take over an open engine.

        Args:
            engine: the database; it is closed with this.
            path: its file.
            options: how it was opened; `None`: as by default.
            tracker: records the session of writing to the root; `None`: this only reads.
            rules: the layout of the root that holds content and snapshots too, and whether
                databases may be made in it; `None`: metadata only.
        """
        self._engine = engine
        self._path = path
        self._options = options or opening.OpenOptions()
        self._clock = self._options.clock or SystemClock()
        self._gate = SharedLock(
            "the lock between updates and the collector",
            timeout_error=UnavailableError,
            deadlock_error=FailedPreconditionError,
        )
        self._mutex = Mutex()
        self._home = HomeProcess()
        self._audience = Audience()
        self._reports = ChangeFeed(engine)
        self._transactions = Transactions(
            engine,
            path,
            clock=ObservedClock(self._clock),
            gate=self._gate,
            timeout=self._options.timeout,
            error_of=database_error,
            committed=self._reports.note,
            ended=self._audience.notify,
        )
        self._rules = rules
        self._tracker = tracker
        self._environment = Environment(
            self._transactions,
            path,
            self._options,
            clock=self._clock,
            root=rules.layout.root if rules else None,
            follow=self._audience.follow,
            make_backends=self._make_backends,
        )
        self._collector: Collector | None = None
        session = None if tracker is None else tracker.session
        if session is not None:
            self._environment.content_claims.is_suspect = partial(session.may_be_named, "")
        if not self.read_only:
            # From the first update on. What only reads makes it when it is asked for.
            self._audience.follow(self.gc.start())

    @classmethod
    def open_file(
        cls,
        path: str | os.PathLike[str],
        *,
        read_only: bool = False,
        create: bool = True,
        timeout: float | None = None,
        migrate: bool = False,
        clock: Clock | None = None,
        force: bool = False,
        sync: bool = True,
    ) -> Self:
        """Open a bare `meta.db`: metadata only, without content and snapshots on disk.

        Arguments and errors are those of `orlop.open`.
        """
        options = opening.OpenOptions(
            read_only=read_only,
            create=create,
            timeout=timeout,
            migrate=migrate,
            clock=clock,
            force=force,
            sync=sync,
        )
        file = opening.absolute(path)
        engine = opening.open_metadata(
            open_engine,
            file,
            options,
            follower=None if read_only else _follower_of_file(file),
            rules=rules_for_file(file),
        )
        return cls(engine, file, options)

    @property
    def path(self) -> Path:
        """The path of the metadata file."""
        return self._path

    @property
    def root(self) -> Path | None:
        """The root directory; `None` for a bare file."""
        return self._environment.root

    @property
    def read_only(self) -> bool:
        """Whether this handle only reads. Such a handle takes no lock."""
        return self._engine.read_only

    @property
    def engine(self) -> Engine:
        """The engine, for questions about the file itself."""
        return self._engine

    @property
    def clock(self) -> Clock:
        """The source of time."""
        return self._clock

    @property
    def sharing(self) -> str:
        """How namespaces share content: `shared` or `isolated`."""
        return self._options.sharing

    @property
    def gate(self) -> SharedLock:
        """The lock that updates share, and that the collector's sweep has alone."""
        return self._gate

    @property
    def content_claims(self) -> BackendClaims:
        """The claims on blobs and ingests, which the cleanup of the content backend passes over."""
        return self._environment.content_claims

    def snapshot_claims(self, snapshotter: str) -> SnapshotClaims:
        """Return the claims on snapshots, which the cleanup of a snapshotter passes over."""
        return self._environment.snapshot_claims(snapshotter)

    @property
    def content_backend(self) -> ContentBackend:
        """The backend of the blobs.

        Raises:
            FailedPreconditionError: this is a bare file.
        """
        return self._environment.content_backend

    @property
    def snapshot_backends(self) -> Mapping[str, SnapshotBackend]:
        """The backends of snapshots, by the name of the snapshotter; empty for a bare file.

        The mapping is a copy.
        """
        return self._environment.snapshot_backends

    @property
    def namespaces(self) -> NamespaceStore:
        """The namespaces."""
        return self._environment.namespaces

    @property
    def gc(self) -> Collector:
        """The garbage collector of this database.

        Raises:
            FailedPreconditionError: this is a fork of the process that opened the database.
        """
        if self._collector is None:
            self._environment.require_home()
            made = self._make_collector()
            with self._mutex:
                if self._collector is None:  # no other thread was faster
                    self._collector = made
        return self._collector

    def faults(self, nodes: Collection[Node] | None = None) -> dict[Node, str]:
        """Return the faults of blobs and snapshots: missing data, or data of another size.

        Only the size of a file, or the directory of a snapshot, is checked;
        `content.fault(digest, verify=True)` compares the data with the digest. A bare file has
        no backends, and no faults.

        Args:
            nodes: which to check; `None`: all. One that is deleted meanwhile is left out.

        Raises:
            UnavailableError: the file changes all the time.
            DataLossError: the database is damaged.
        """
        if self.root is None or (nodes is not None and not nodes):
            return {}
        from orlop.gc.faults import find_faults  # noqa: PLC0415 (most programs do not ask)

        backends = self._environment.backends
        return find_faults(self._transactions, backends.content, backends.snapshotters, nodes)

    def namespace(self, name: str) -> Namespace:
        """Return a namespace; it need not exist.

        Raises:
            FailedPreconditionError: the name is empty.
            InvalidArgumentError: it is no identifier, or it is `version`.
        """
        check_name(name)
        return Namespace(self._environment, name)

    def view(self) -> AbstractContextManager[Transaction]:
        """Begin a block that reads one version; it joins an open transaction.

        Raises:
            UnavailableError: the file was changed by another process while it was read.
        """
        return self._transactions.view()

    def update(self) -> AbstractContextManager[Update]:
        """Begin a block that writes one commit; it joins an open update.

        Raises:
            FailedPreconditionError: a view is open here, or the database is only read.
            UnavailableError: the writer before did not end in time, or a write failed.
            AbortedError: a call inside the block failed half-way; all was rolled back.
        """
        return self._transactions.update()

    def read(self, question: Callable[[Transaction], _T]) -> _T:
        """Return the answer of `question` from one version; it is called again if the file changed.

        Raises: as `view`.
        """
        return self._transactions.read(question)

    @property
    def version(self) -> int | None:
        """The version of the schema; 0 where none is written, `None` without a schema."""
        return self._transactions.read(migrations.read_version)

    def init(self) -> bool:
        """Bring the schema to the current version, as containerd at its start; see `migrate`."""
        return self.migrate()

    def migrate(self) -> bool:
        """Bring the schema to the current version: all or nothing.

        Version 4 drops the buckets that older daemons keep beside the schema, and there is no way
        back: copy the file first.

        Returns:
            Whether anything was written.

        Raises:
            DataLossError: a stored record does not have the form that a migration reads.
            FailedPreconditionError: the database is only read, or an update is open here.
        """
        if self.read_only:
            raise FailedPreconditionError(f"{self._path} was opened read-only: open it for writing")
        with self._gate.exclusive(self._options.timeout), opening.refusals(self._path):
            self.gc.forget()
            return opening.migrate_schema(self._engine, self._options.timeout)

    def subscribe(self, subscriber: Callable[[Event], None]) -> Callable[[], None]:
        """Deliver every event to `subscriber` after its commit, in the thread that committed.

        Returns:
            A function that ends the subscription.
        """
        return self._audience.subscribe(subscriber)

    def follow(self, follower: Callable[[Changes], None]) -> Callable[[], None]:
        """Deliver the changes of each update to `follower`; return a function that ends that."""
        return self._audience.follow(follower)

    def close(self) -> None:
        """Release the files and the lock; closing twice, or again when interrupted, is allowed.

        In a forked process nothing but its own copies of the descriptors is closed.
        """
        is_home = self._home.is_here
        # The last that is added is closed first. One that raises keeps no other from closing.
        with ExitStack() as parts:
            if is_home:
                parts.callback(self._end_leases)
            parts.callback(self._engine.close)
            if is_home:
                # Before another process can have the root: their ingests may be written to then.
                parts.callback(self._transactions.open_writers.end_all)
            made = self._environment.made_backends
            for snapshotter in made.snapshotters.values() if made is not None else ():
                parts.callback(snapshotter.close)
            if is_home:
                parts.callback(self._transactions.end_what_was_left)
                if self._collector is not None:
                    parts.callback(self._collector.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make_backends(self) -> opening.Backends:
        if self._rules is None:
            return opening.Backends(None, {})
        return opening.make_backends(
            self._rules, open_engine, self._transactions, self._tracker, self._options
        )

    def _make_collector(self) -> Collector:
        from orlop.gc import CollectionContext, Collector, Journal  # noqa: PLC0415 (few readers ask)
        from orlop.gc.quarantine import open_quarantine  # noqa: PLC0415
        from orlop.safety.root_sessions import root_files  # noqa: PLC0415

        layout = self._rules.layout if self._rules else None
        files = root_files(layout, read_file_state) if layout else None
        backends = self._environment.backends
        return Collector(
            CollectionContext(
                transactor=self._transactions,
                read_only=self.read_only,
                reports=self._reports,
                gate=self._gate,
                content=backends.content,
                content_claims=self._environment.content_claims,
                snapshotters=backends.snapshotters,
                snapshot_claims=self._environment.snapshot_claims,
                quarantine=open_quarantine(files, self._tracker, self._clock),
                journal=Journal(layout.journal_file) if layout else None,
            )
        )

    def _end_leases(self) -> None:
        """Delete the leases that could not be deleted with their blocks; else they expire."""
        leases = self._environment.leases_to_end
        if not leases:
            return
        try:
            with self._open_again() as database:
                while leases:
                    namespace, lease_id = leases.pop()
                    database.namespace(namespace).leases.delete(lease_id)
        except (OrlopError, OSError) as error:
            reraise_interrupt(error)
            _logger.warning("a lease stays until it expires: %s", error)

    def _open_again(self) -> Database:
        if self.root is None:
            return Database.open_file(self._path, create=False, timeout=_PATIENCE_SECONDS)
        return open_database(self.root, create=False, timeout=_PATIENCE_SECONDS)


def open_database(
    root: str | os.PathLike[str],
    *,
    read_only: bool = False,
    create: bool = True,
    timeout: float | None = None,
    migrate: bool = False,
    clock: Clock | None = None,
    force: bool = False,
    sharing: str = SHARED,
    sync: bool = True,
    compact: bool = False,
    begin_anew: bool = False,
) -> Database:
    """Open a root directory, as containerd lays it out.

    Args:
        root: the directory; it is made where it is missing.
        read_only: take no lock and write nothing; a daemon may work on it meanwhile.
        create: make missing directories and files.
        timeout: seconds to wait for a lock or for the writer before; `None`: without end. For
            reading: seconds that an answer may take while another process changes the file.
        migrate: bring an older schema to the current version. Copy the file first.
        clock: the source of time; `None`: the system.
        force: write to a database although its schema is newer than this code.
        sharing: how namespaces share content: `shared` (whoever knows a digest may name the
            blob) or `isolated` (unless the namespace that has it is marked as shareable).
        sync: whether commits wait for the disk. Without, a loss of power may lose acknowledged
            commits or the whole database; a crash of the process alone loses nothing.
        compact: first make the file smaller, where at least half of it and 16 MiB are free.
        begin_anew: make a database also where one is missing or empty although the root holds
            data. All of that is set aside.

    Raises:
        NotFoundError: there is no database, and none may be made.
        LostDatabaseError: it is missing or empty although the root holds data.
        UnavailableError: another process holds the lock, and the message says which; or this
            process has the database open for writing already, which is not waited for.
        DataLossError: the file is no database, or damaged.
        FailedPreconditionError: the schema is too old or too new to be written.
        PermissionDeniedError: the system refuses.
    """
    options = opening.OpenOptions(
        read_only=read_only,
        create=create,
        timeout=timeout,
        migrate=migrate,
        clock=clock,
        force=force,
        sharing=sharing,
        sync=sync,
        compact=compact,
        begin_anew=begin_anew,
    )
    return _open_root(opening.layout_of(root), options)


def _open_root(layout: RootLayout, options: opening.OpenOptions) -> Database:
    rules = CreationRules(layout, options.begin_anew)
    tracker = None if options.read_only else _tracker_of(layout)
    if options.may_create:
        opening.make_layout(layout)
    engine = opening.open_metadata(
        open_engine,
        layout.metadata_file,
        options,
        compact=_compact_if_worth if options.compact else None,
        follower=_follower(tracker),
        rules=rules,
    )
    with opening.closed_on_failure(engine):
        if tracker is not None:
            opening.begin_metastores_anew(rules, open_engine, tracker)
        return Database(engine, layout.metadata_file, options, tracker=tracker, rules=rules)


# Only writers need these imports; a reader starts without them.


def _tracker_of(layout: RootLayout) -> SessionTracker:
    """Return the tracker of the session of writing to a root that begins."""
    from orlop.safety.root_sessions import root_files  # noqa: PLC0415
    from orlop.safety.write_session import SessionTracker  # noqa: PLC0415

    return SessionTracker(root_files(layout, read_file_state))


def _follower_of_file(file: Path) -> Follower | None:
    """Return the follower of the versions of a bare `meta.db`; `None` if it is of no root."""
    from orlop.safety.root_sessions import tracker_of_file  # noqa: PLC0415

    return _follower(tracker_of_file(file, read_file_state))


def _follower(tracker: SessionTracker | None) -> Follower | None:
    """Return the follower of the versions of a `meta.db`."""
    if tracker is None:
        return None
    from orlop.safety.assessment import METADATA  # noqa: PLC0415

    return tracker.follower(METADATA)


def _compact_if_worth(path: Path, *, timeout: float | None) -> object:
    """Make a file smaller where that is worth it, and carry the proof of its age over."""
    from orlop.bolt import compact_if_worth  # noqa: PLC0415
    from orlop.safety.root_sessions import proof_carried_over  # noqa: PLC0415

    under_lock = partial(proof_carried_over, read_state=read_file_state)
    return compact_if_worth(path, timeout=timeout, under_lock=under_lock)
