"""What stands between a path and an open database: the layout, refusals, the schema's version.

Source: containerd, cmd/containerd and plugins/metadata (directories and their modes);
spec/metadata.md 1.3.
"""

from __future__ import annotations

import errno
import logging
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from orlop.backends.content import LocalContent
from orlop.backends.native import NativeSnapshotter
from orlop.backends.overlay import OverlaySnapshotter
from orlop.collect.mark_of_period import METADATA, Files, Mark
from orlop.collect.period import Period, PeriodKeeper, carry_over
from orlop.collect.quarantine import Quarantine
from orlop.kv import EngineError
from orlop.model.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    OrlopError,
    PermissionDeniedError,
    ResourceExhaustedError,
)
from orlop.schema import migrations, version
from orlop.schema.metastore import is_foreign, is_metastore
from orlop.translation import translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orlop.database import Database
    from orlop.kv import Engine, Follower, Transaction
    from orlop.model.backends import ContentBackend, SnapshotBackend
    from orlop.model.clock import Clock

METADATA_DIRECTORY: Final = "io.containerd.metadata.v1.bolt"
CONTENT_DIRECTORY: Final = "io.containerd.content.v1.content"
SNAPSHOTTER_DIRECTORY: Final = "io.containerd.snapshotter.v1."
FILE_NAME: Final = "meta.db"
METASTORE_NAME: Final = "metadata.db"

PERIOD_DIRECTORY: Final = "orlop"

SNAPSHOTTERS: Final = {"native": NativeSnapshotter, "overlayfs": OverlaySnapshotter}

FILE_MODE: Final = 0o644
METASTORE_MODE: Final = 0o600
_ROOT_MODE: Final = 0o711
_CONTENT_MODE: Final = 0o755
_SNAPSHOTTER_MODE: Final = 0o700

_REFUSED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_MISPLACED: Final = frozenset({errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP})
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


_logger = logging.getLogger(__name__)

JOURNAL: Final = Path("orlop", "journal.jsonl")
"""Where the journal of collections is, beside the metadata."""


class EngineOpener(Protocol):
    """What opens an engine's file; see `orlop.bolt.open_engine`."""

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
    ) -> Engine:
        """Open the file at `path`."""


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Turn what engine and system say at the opening of `path` into errors of the model.

    Raises:
        NotFoundError, PermissionDeniedError, InvalidArgumentError, ResourceExhaustedError,
        UnavailableError, DataLossError: see `orlop.open`.
    """
    try:
        yield
    except EngineError as error:
        raise translated(error, path) from error
    except OSError as error:
        at, reason = error.filename or path, error.strerror
        if error.errno == errno.ENOENT:
            raise NotFoundError(f"database {path} (is this a root directory?)") from error
        if error.errno in _REFUSED:
            raise PermissionDeniedError(
                f"{at}: {reason}; open it read-only, or as a user who may write there"
            ) from error
        if error.errno in _MISPLACED:
            raise InvalidArgumentError(
                f"{at}: {reason}; give the root directory of a database, or the file itself"
            ) from error
        if error.errno in _FULL:
            raise ResourceExhaustedError(f"{at}: {reason}") from error
        raise


def make_layout(root: Path) -> None:
    """Make the directories of a root where they are missing, with containerd's modes.

    Raises: as `refusals`.
    """
    with refusals(root):
        _make_directory(root, _ROOT_MODE)
        _make_directory(root / METADATA_DIRECTORY, _ROOT_MODE)
        _make_directory(root / CONTENT_DIRECTORY, _CONTENT_MODE)
        for name in SNAPSHOTTERS:
            _make_directory(root / f"{SNAPSHOTTER_DIRECTORY}{name}", _SNAPSHOTTER_MODE)


def make_backends(
    root: Path,
    open_engine: EngineOpener,
    clock: Clock,
    keeper: PeriodKeeper | None,
    *,
    read_only: bool,
    timeout: float | None,
    sync: bool,
) -> tuple[ContentBackend, dict[str, SnapshotBackend]]:
    """Return what keeps content and snapshots in a root.

    Args:
        root: the directory.
        open_engine: opens the databases of snapshotters.
        clock: where the time comes from.
        keeper: follows these databases; `None`: nobody does.
        read_only: whether they are only read.
        timeout: seconds to wait for their locks; `None`: without end.
        sync: whether commits to them wait for the disk.
    """

    def open_(path: Path) -> Engine:
        name = path.parent.name.removeprefix(SNAPSHOTTER_DIRECTORY)
        return open_engine(
            path,
            read_only=read_only,
            create=not read_only,
            timeout=timeout,
            mode=METASTORE_MODE,
            sync=sync,
            follower=keeper.follower(name) if keeper else None,
        )

    content = LocalContent(root / CONTENT_DIRECTORY, clock=clock)
    return content, {
        name: snapshotter(root / f"{SNAPSHOTTER_DIRECTORY}{name}", open_, clock=clock)
        for name, snapshotter in SNAPSHOTTERS.items()
    }


def database_files(root: Path, open_engine: Callable[..., Engine]) -> Files:
    """Return the databases of a root, for its mark."""
    paths = {
        name: root / f"{SNAPSHOTTER_DIRECTORY}{name}" / METASTORE_NAME for name in SNAPSHOTTERS
    }
    return Files(
        folder=root / METADATA_DIRECTORY / PERIOD_DIRECTORY,
        paths={METADATA: root / METADATA_DIRECTORY / FILE_NAME, **paths},
        version_of=lambda path: version_of(path, open_engine),
    )


def period_keeper(root: Path, open_engine: Callable[..., Engine]) -> PeriodKeeper:
    """Return what keeps the mark of a root, for a handle that writes."""
    files = database_files(root, open_engine)
    return PeriodKeeper(files, is_new=not files.paths[METADATA].exists() and not _has_data(root))


def keeper_of_file(path: Path, open_engine: Callable[..., Engine]) -> PeriodKeeper | None:
    """Return what keeps the mark of a root whose `meta.db` is opened as a bare file."""
    if path.name != FILE_NAME or Mark.read(path.parent / PERIOD_DIRECTORY) is None:
        return None
    return period_keeper(path.parent.parent, open_engine)


@contextmanager
def carried_over(path: Path, open_engine: Callable[..., Engine]) -> Iterator[None]:
    """Let the mark of a root go with a database of it that the block writes anew.

    Raises:
        OSError: the mark cannot be written.
    """
    is_metadata = path.name != METASTORE_NAME
    name = METADATA if is_metadata else path.parent.name.removeprefix(SNAPSHOTTER_DIRECTORY)
    root = path.parent.parent
    files = replace(database_files(root, open_engine), paths={name: path})
    if not files.folder.exists():
        yield
        return
    before = files.state(name)
    yield
    carry_over(files.folder, name, before, files.state(name))


def quarantine(
    root: Path | None,
    open_engine: Callable[..., Engine],
    keeper: PeriodKeeper | None,
    clock: Clock,
) -> Quarantine:
    """Return what is set aside in a root; whoever asks goes on to use the root.

    Args:
        root: the directory; `None`: this is a bare database.
        open_engine: opens databases for reading.
        keeper: has judged how the last period of writing ended; `None`: this only reads.
        clock: where the time comes from.
    """
    if root is None:
        return Quarantine(None, None, clock)
    files = database_files(root, open_engine)
    period = keeper.period if keeper else Period.judge(files, is_read=True)
    if keeper and period:
        period.keep()
    return Quarantine(files.folder, period, clock)


def version_of(path: Path, open_engine: Callable[..., Engine]) -> int | None:
    """Return the version of a database: 0 where there is none, `None` where it is unreadable."""
    try:
        if not path.exists() or not path.stat().st_size:
            return 0
        engine = open_engine(path, read_only=True)
        try:
            return engine.begin().id
        finally:
            engine.close()
    except (EngineError, OSError):
        return None


def _has_data(root: Path) -> bool:
    """Tell whether a root has anything that metadata could name."""
    places = [root / CONTENT_DIRECTORY]
    places += [root / f"{SNAPSHOTTER_DIRECTORY}{name}" for name in SNAPSHOTTERS]
    return any(place.is_dir() and any(place.iterdir()) for place in places)


def open_metadata(
    open_engine: EngineOpener,
    path: Path,
    *,
    read_only: bool,
    create: bool,
    timeout: float | None,
    migrate: bool,
    force: bool,
    sync: bool,
    compact: Callable[..., object] | None = None,
    follower: Follower | None = None,
) -> Engine:
    """Open the file of the metadata, and see to it that its schema may be worked on.

    First `compact` is called, if there is one: it makes the file smaller where that is worth it.

    Raises: as `refusals` and `settle_schema`.
    """
    with refusals(path):
        if compact is not None and not read_only and path.exists():
            with carried_over(path, open_engine):
                compact(path, timeout=timeout)
        engine = open_engine(
            path,
            read_only=read_only,
            create=create,
            timeout=timeout,
            mode=FILE_MODE,
            sync=sync,
            follower=follower,
        )
        try:
            settle_schema(engine, path, migrate=migrate, force=force)
        except BaseException:
            engine.close()
            raise
    return engine


def settle_schema(engine: Engine, path: Path, *, migrate: bool, force: bool) -> None:
    """See to it that the schema may be worked on: a new file gets one, others are checked.

    Raises:
        FailedPreconditionError: it is too old or too new, or the file is another program's.
    """
    if engine.read_only:
        if migrate:
            raise InvalidArgumentError(f"{path}: what is opened read-only cannot be migrated")
        return
    with engine.begin() as transaction:
        stored = version.read(transaction)
        if not migrate or is_metastore(transaction):
            require_metadata(transaction, path)
    if stored is not None and stored > version.CURRENT and not force:
        raise FailedPreconditionError(
            f"{path} has a schema of version {stored}, newer than {version.CURRENT}: open it "
            "read-only, or force it at the risk of breaking what the newer version added"
        )
    if migrate or stored is None:
        migrate_schema(engine)
    elif stored < version.OLDEST_WRITABLE:
        raise FailedPreconditionError(
            f"{path} has a schema of version {stored}, older than {version.OLDEST_WRITABLE}: "
            "open it read-only, or copy it and migrate it"
        )


def require_metadata(transaction: Transaction, path: Path) -> None:
    """Refuse a database that has contents, but none of a `meta.db`.

    Raises:
        FailedPreconditionError: it is a snapshotter's, or another program's.
    """
    if is_foreign(transaction):
        is_of_snapshotter = is_metastore(transaction)
        what = "it is a snapshotter's metadata.db" if is_of_snapshotter else "it has no bucket v1"
        raise FailedPreconditionError(
            f"{path} is a database, but none of containerd's metadata: {what}. Name the meta.db; "
            "orlop db shows what is in other files"
        )


def end_leases(open_again: Callable[[], Database], leases: list[tuple[str, str]]) -> None:
    """Delete leases that could not be deleted with their blocks; at worst they expire."""
    if not leases:
        return
    try:
        with open_again() as database:
            while leases:
                namespace, lease_id = leases.pop()
                database.namespace(namespace).leases.delete(lease_id)
    except (OrlopError, OSError) as error:
        _logger.warning("a lease stays until it expires: %s", error)


def migrate_schema(engine: Engine, timeout: float | None = None) -> bool:
    """Bring the schema to the current version: all or nothing; return whether it changed."""
    with engine.begin() as reading:
        stored = version.read(reading)
    if stored is not None and stored >= version.CURRENT:
        return False  # nothing to write, and so no need of the writer's turn
    with engine.begin(writable=True, timeout=timeout) as transaction:
        return migrations.migrate(transaction)


def _make_directory(path: Path, mode: int) -> None:
    """Make a directory; one that is there keeps its mode."""
    if path.is_dir():
        return
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)  # past the umask, as containerd's directories are
