"""Opening a database: options, errors, the engine, backends, and the version of the schema.

Source: containerd, cmd/containerd and plugins/metadata (directories and their modes);
spec/metadata.md 1.3.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from orlop.clock import require_timeout
from orlop.concurrency.interrupts import reraise_interrupt
from orlop.creation import CreationRules, database_error, lost_database
from orlop.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    OrlopError,
    PermissionDeniedError,
    kind_of,
    system_error,
)
from orlop.kv import EngineError
from orlop.layout import SNAPSHOTTER_DIRECTORY, RootLayout
from orlop.schema import migrations
from orlop.schema.metastore import is_foreign, is_metastore
from orlop.storage.contract import CONTENT_BACKEND
from orlop.stores.content import SHARED, check_sharing

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping

    from orlop.clock import Clock
    from orlop.kv import Engine, Follower, Transaction
    from orlop.safety.write_session import SessionTracker
    from orlop.storage.contract import ContentBackend, SnapshotBackend
    from orlop.transactions import Transactions

FILE_MODE: Final = 0o644
METASTORE_MODE: Final = 0o600

_HINTS: Final[Mapping[type[OrlopError], str]] = {
    PermissionDeniedError: "open it read-only, or as a user who may write there",
    InvalidArgumentError: "give the root directory of a database, or the file itself",
}
"""What to do next where the system refuses to open a database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOptions:
    """The options of `orlop.open`, which documents them.

    Raises:
        InvalidArgumentError: the timeout is no number of seconds, or the sharing is unknown.
    """

    read_only: bool = False
    create: bool = True
    timeout: float | None = None
    migrate: bool = False
    clock: Clock | None = None
    force: bool = False
    sharing: str = SHARED
    sync: bool = True
    compact: bool = False
    begin_anew: bool = False

    def __post_init__(self) -> None:
        """Check the values that types do not."""
        check_sharing(self.sharing)
        require_timeout(self.timeout)

    @property
    def may_create(self) -> bool:
        """Whether missing files are made."""
        return self.create and not self.read_only


class EngineOpener(Protocol):
    """A function that opens the file of an engine; see `orlop.bolt.open_engine`."""

    def __call__(
        self,
        path: Path,
        *,
        read_only: bool,
        create: bool,
        timeout: float | None,
        mode: int,
        sync: bool,
        follower: Follower | None,
        before_create: Callable[[], None] | None,
    ) -> Engine:
        """Open the file at `path`."""


class Backends(NamedTuple):
    """The backends of a database, which keep the data that its records name.

    Attributes:
        content: the backend of the blobs; `None` for a bare database.
        snapshotters: the backends of the snapshots, by the name of the snapshotter.
    """

    content: ContentBackend | None
    snapshotters: dict[str, SnapshotBackend]


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Translate engine and system errors of opening `path` into OrlopError.

    Raises:
        LostDatabaseError, NotFoundError, PermissionDeniedError, InvalidArgumentError,
        ResourceExhaustedError, UnavailableError, DataLossError: see `orlop.open`.
    """
    try:
        yield
    except EngineError as error:
        raise database_error(error, path) from error
    except OSError as error:
        reraise_interrupt(error)
        kind = kind_of(error)
        if kind is NotFoundError:
            raise lost_database(path) or NotFoundError(
                f"database {path} (is this a root directory?)",
                hint="name the root with --root, or make one with orlop db init",
            ) from error
        refusal = system_error(error, path, hint=_HINTS.get(kind, "") if kind else "")
        if refusal is None:
            raise
        raise refusal from error


def layout_of(root: str | os.PathLike[str]) -> RootLayout:
    """Return the layout of a root, by its absolute path: the working directory may change.

    Raises: as `refusals`.
    """
    return RootLayout(absolute(root))


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a file or directory. Symbolic links stay in it.

    Raises: as `refusals`.
    """
    with refusals(Path(path)):
        return Path(path).absolute()


def make_layout(layout: RootLayout) -> None:
    """Create the directories of a root that are missing, with containerd's modes.

    Raises: as `refusals`.
    """
    with refusals(layout.root):
        layout.make()


def make_backends(
    rules: CreationRules,
    open_engine: EngineOpener,
    transactions: Transactions,
    tracker: SessionTracker | None,
    options: OpenOptions,
) -> Backends:
    """Return the backends of content and snapshots in a root.

    Args:
        rules: the layout of the root, and whether databases of snapshotters may be made in it.
        open_engine: opens the databases of snapshotters.
        transactions: those of `meta.db`.
        tracker: follows these databases; `None` if they are only read.
        options: how the root was opened.
    """
    from orlop.storage.content import LocalContent  # noqa: PLC0415 (many readers ask only metadata)
    from orlop.storage.native import NativeSnapshotter  # noqa: PLC0415
    from orlop.storage.overlay import OverlaySnapshotter  # noqa: PLC0415

    def open_(path: Path) -> Engine:
        name = path.parent.name.removeprefix(SNAPSHOTTER_DIRECTORY)
        return open_engine(
            path,
            read_only=options.read_only,
            create=not options.read_only,
            timeout=options.timeout,
            mode=METASTORE_MODE,
            sync=options.sync,
            follower=tracker.follower(name) if tracker else None,
            before_create=lambda: rules.check_metastore(name, transactions),
        )

    clock = transactions.clock
    layout = rules.layout
    content = LocalContent(layout.backend(CONTENT_BACKEND), clock=clock)
    snapshotters = {"native": NativeSnapshotter, "overlayfs": OverlaySnapshotter}
    return Backends(
        content,
        {
            name: snapshotter(layout.backend(name), open_, clock=clock)
            for name, snapshotter in snapshotters.items()
        },
    )


def begin_metastores_anew(
    rules: CreationRules, open_engine: EngineOpener, tracker: SessionTracker
) -> None:
    """Make the databases of snapshotters that have lost theirs, if `rules` begin anew.

    Raises: as `refusals`.
    """
    for name in rules.lost_metastores() if rules.begin_anew else ():
        path = rules.layout.metastore_file(name)
        with refusals(path):
            open_engine(
                path,
                read_only=False,
                create=True,
                timeout=None,
                mode=METASTORE_MODE,
                sync=True,
                follower=tracker.follower(name),
                before_create=None,
            ).close()


def open_metadata(
    open_engine: EngineOpener,
    path: Path,
    options: OpenOptions,
    *,
    compact: Callable[..., object] | None = None,
    follower: Follower | None = None,
    rules: CreationRules | None = None,
) -> Engine:
    """Open `meta.db`, and settle its schema.

    Args:
        open_engine: opens the file.
        path: the file.
        options: how it is opened.
        compact: is called first, and makes the file smaller if that is worth it.
        follower: follows the versions of the file.
        rules: say whether a file may be made; `None`: wherever there is none.

    Raises: as `refusals` and `settle_schema`.
    """
    engine: Engine | None = None
    try:
        with refusals(path):
            if compact is not None and not options.read_only and path.exists():
                compact(path, timeout=options.timeout)
            engine = open_engine(
                path,
                read_only=options.read_only,
                create=options.may_create,
                timeout=options.timeout,
                mode=FILE_MODE,
                sync=options.sync,
                follower=follower,
                before_create=rules.check_metadata if rules else None,
            )
            settle_schema(engine, path, migrate=options.migrate, force=options.force)
        return engine  # noqa: TRY300 (an interrupt of this line closes it, too)
    except BaseException:
        if engine is not None:
            engine.close()
        raise


@contextmanager
def closed_on_failure(engine: Engine) -> Iterator[None]:
    """Close an engine if the block fails."""
    try:
        yield
    except BaseException:
        engine.close()
        raise


def settle_schema(engine: Engine, path: Path, *, migrate: bool, force: bool) -> None:
    """Write the schema of a new file; check the version of an older one.

    Raises:
        FailedPreconditionError: it is too old or too new, or the file is another program's.
    """
    if engine.read_only:
        if migrate:
            raise InvalidArgumentError(f"{path}: what is opened read-only cannot be migrated")
        return
    with engine.begin() as transaction:
        stored = migrations.read_version(transaction)
        if not migrate or is_metastore(transaction):
            require_metadata(transaction, path)
    if stored is not None and stored > migrations.CURRENT_VERSION and not force:
        raise FailedPreconditionError(
            f"{path} has a schema of version {stored}, newer than {migrations.CURRENT_VERSION}",
            hint="open it read-only, or force it (orlop.open(..., force=True)) at the risk of "
            "breaking what the newer version added",
        )
    if migrate or stored is None:
        migrate_schema(engine)
    elif stored < migrations.OLDEST_WRITABLE_VERSION:
        raise FailedPreconditionError(
            f"{path} has a schema of version {stored}, "
            f"older than {migrations.OLDEST_WRITABLE_VERSION}",
            hint="raise it (orlop db migrate, which keeps a copy), or open it read-only",
        )


def require_metadata(transaction: Transaction, path: Path) -> None:
    """Refuse a database that is not empty and not a `meta.db`.

    Raises:
        FailedPreconditionError: it is a snapshotter's, or another program's.
    """
    if is_foreign(transaction):
        is_of_snapshotter = is_metastore(transaction)
        what = "it is a snapshotter's metadata.db" if is_of_snapshotter else "it has no bucket v1"
        raise FailedPreconditionError(
            f"{path} is a database, but none of containerd's metadata: {what}",
            hint="name the meta.db; orlop db tree FILE shows what is in other files",
        )


def migrate_schema(engine: Engine, timeout: float | None = None) -> bool:
    """Bring the schema to the current version: all or nothing; return whether it changed."""
    with engine.begin() as reading:
        stored = migrations.read_version(reading)
    if stored is not None and stored >= migrations.CURRENT_VERSION:
        return False  # nothing to write, and so no need of the writer's turn
    with engine.begin(writable=True, timeout=timeout) as transaction:
        return migrations.migrate(transaction)
