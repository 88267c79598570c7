"""The session of a command: its database, namespace and output."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import orlop
from orlop.cli.invocation import Invocation
from orlop.cli.output import Output
from orlop.errors import InvalidArgumentError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orlop.cli.parser import Context
    from orlop.database import Database
    from orlop.namespace import Namespace

_T = TypeVar("_T")

METADATA_FILE: Final = Path("io.containerd.metadata.v1.bolt", "meta.db")
DEFAULT_TIMEOUT_SECONDS: Final = 10.0


def default_root() -> Path:
    """Return `$ORLOP_ROOT`, else a directory of the user's own."""
    named = os.environ.get("ORLOP_ROOT")
    if named:
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "orlop"


@dataclass(frozen=True, slots=True)
class Session:
    """The options that every command shares.

    Attributes:
        root: the root directory.
        file: a bare `meta.db` in place of a root; `None`: there is a root.
        namespace: what `-n` says; `None`: nothing.
        timeout: seconds to wait for a lock, and for an answer about a busy file.
        output: where answers go.
        invocation: the call of the command line that this is part of.
    """

    root: Path
    file: Path | None
    namespace: str | None
    timeout: float
    output: Output
    invocation: Invocation = field(default_factory=Invocation)

    @property
    def metadata_file(self) -> Path:
        """The file that holds the metadata."""
        return self.file or self.root / METADATA_FILE

    def reading(self) -> Database:
        """Open the database for reading. No lock is taken.

        Raises:
            FailedPreconditionError: the file has contents, but none of a `meta.db`.
        """
        # A short wait for locks is no reason to refuse an answer.
        seconds = max(self.timeout, DEFAULT_TIMEOUT_SECONDS)
        if self.file is not None:
            database = orlop.Database.open_file(self.file, read_only=True, timeout=seconds)
        else:
            database = orlop.open(self.root, read_only=True, timeout=seconds)
        try:
            require_metadata(database)
        except BaseException:
            database.close()
            raise
        return database

    def ask(self, question: Callable[[Database], _T]) -> _T:
        """Return the result of a function that reads one version of the database.

        It is asked again where a daemon changed the file meanwhile, so it must print nothing.
        """
        with self.reading() as database:
            return database.read(lambda _: question(database))

    def writing(self, *, create: bool = False, begin_anew: bool = False) -> Database:
        """Open the database for writing.

        Args:
            create: make it where it is missing: for commands that bring something in.
            begin_anew: make it also where the root holds data whose database was lost.

        Raises:
            InvalidArgumentError: only a bare file was named. What is removed there would stay
                on disk, and what is made would have no data.
        """
        self.require_root("changing a database")
        self.invocation.is_writing = True
        return orlop.open(self.root, create=create, timeout=self.timeout, begin_anew=begin_anew)

    def require_root(self, what: str) -> None:
        """Refuse an action if the command was given a bare file instead of a root."""
        if self.file is not None:
            raise InvalidArgumentError(
                f"{what} needs its root directory: --db names a file of metadata only, use --root"
            )

    @property
    def target_name(self) -> str:
        """The name of the namespace that a writing command works in."""
        return self.namespace or os.environ.get("CONTAINERD_NAMESPACE") or "default"

    def target(self, database: Database) -> Namespace:
        """Return the namespace that a writing command works in."""
        return database.namespace(self.target_name)

    def shown(self, database: Database) -> Iterator[Namespace]:
        """Iterate over the namespaces that a reading command shows: all, or that of `-n`."""
        names = database.namespaces.list() if self.namespace is None else [self.namespace]
        for name in names:
            yield database.namespace(name)

    def only(self, database: Database, has_it: Callable[[Namespace], bool], what: str) -> Namespace:
        """Return the namespace in which a reading command looks records up.

        Where several have it, it is the one that a writing command would work in.

        Raises:
            NotFoundError: none has it.
            InvalidArgumentError: several have it, but not that one.
        """
        found = {one.name: one for one in self.shown(database) if has_it(one)}
        if not found:
            where = "any namespace" if self.namespace is None else f'namespace "{self.namespace}"'
            raise NotFoundError(f"{what} in {where}")
        if self.target_name in found:
            return found[self.target_name]
        if len(found) > 1:
            raise InvalidArgumentError(f"{what} is in {', '.join(found)}: choose one with -n")
        return next(iter(found.values()))


def require_metadata(database: Database) -> None:
    """Refuse a database that has contents, but none of a `meta.db`.

    Raises:
        FailedPreconditionError: it is a snapshotter's, or another program's.
    """
    from orlop import opening  # noqa: PLC0415 (it is there with the database, and not before)

    database.read(lambda transaction: opening.require_metadata(transaction, database.path))


def session_of(context: Context) -> Session:
    """Return the session that the shared options have made."""
    if not isinstance(context.obj, Session):
        raise TypeError("a command ran without the options that all share")
    return context.obj
