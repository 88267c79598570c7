"""An error of the engine or of the system has the same kind on every path to the user."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

import pytest

import orlop
from orlop import errors, kv, opening
from orlop.cli.exit_codes import KINDS, exit_code
from orlop.clock import SystemClock
from orlop.errors import (
    AlreadyExistsError,
    DataLossError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    OrlopError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnavailableError,
)
from orlop.schema import migrations
from orlop.storage.metastore import Metastore
from storage.opening import open_for_writing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orlop import Database

ENGINE_ERRORS: Final[dict[type[kv.EngineError], type[OrlopError]]] = {
    kv.EngineError: InternalError,
    kv.KeyRequiredError: InvalidArgumentError,
    kv.KeyTooLargeError: InvalidArgumentError,
    kv.ValueTooLargeError: InvalidArgumentError,
    kv.IncompatibleValueError: DataLossError,
    kv.BucketExistsError: InternalError,
    kv.BucketNotFoundError: InternalError,
    kv.NestingTooDeepError: FailedPreconditionError,
    kv.TransactionClosedError: FailedPreconditionError,
    kv.ReadOnlyError: FailedPreconditionError,
    kv.EngineClosedError: FailedPreconditionError,
    kv.EnginePoisonedError: UnavailableError,
    kv.LockedError: UnavailableError,
    kv.StaleReadError: UnavailableError,
    kv.FileBusyError: UnavailableError,
    kv.ReplacedError: FailedPreconditionError,
    kv.CorruptError: DataLossError,
    kv.EmptyFileError: DataLossError,
}

SYSTEM_ERRORS: Final[dict[int, type[OrlopError]]] = {
    errno.ENOENT: NotFoundError,
    errno.EEXIST: AlreadyExistsError,
    errno.EACCES: PermissionDeniedError,
    errno.EPERM: PermissionDeniedError,
    errno.EROFS: PermissionDeniedError,
    errno.ENOSPC: ResourceExhaustedError,
    errno.EDQUOT: ResourceExhaustedError,
    errno.EFBIG: ResourceExhaustedError,
    errno.ENOMEM: ResourceExhaustedError,
    errno.EMFILE: ResourceExhaustedError,
    errno.ENFILE: ResourceExhaustedError,
    errno.ENOTDIR: InvalidArgumentError,
    errno.EISDIR: InvalidArgumentError,
    errno.ELOOP: InvalidArgumentError,
    errno.ENAMETOOLONG: InvalidArgumentError,
}


def engine_errors() -> list[tuple[kv.EngineError, type[OrlopError]]]:
    """Return every error of an engine, alone and with a cause that says more, with its kind."""
    found: list[tuple[kv.EngineError, type[OrlopError]]] = [
        (kv.EmptyFileError() if kind is kv.EmptyFileError else kind("it failed"), ours)
        for kind, ours in ENGINE_ERRORS.items()
    ]
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        full = kv.EnginePoisonedError("a commit failed")
        full.__cause__ = OSError(number, os.strerror(number))
        found.append((full, ResourceExhaustedError))
    broken = kv.EnginePoisonedError("a commit failed")
    broken.__cause__ = OSError(errno.EIO, os.strerror(errno.EIO))
    found.append((broken, UnavailableError))
    damaged = kv.EnginePoisonedError("a commit failed")
    damaged.__cause__ = kv.CorruptError("page 7 is damaged")
    found.append((damaged, DataLossError))
    return found


def in_update(db: Database, _: Metastore, error: kv.EngineError) -> None:
    with db.update():
        raise error


def in_joined_update(db: Database, _: Metastore, error: kv.EngineError) -> None:
    with db.update(), db.update():
        raise error


def in_view(db: Database, _: Metastore, error: kv.EngineError) -> None:
    with db.view():
        raise error


def in_read(db: Database, _: Metastore, error: kv.EngineError) -> None:
    def fail(_: object) -> None:
        raise error

    db.read(fail)


def in_joined_read(db: Database, metastore: Metastore, error: kv.EngineError) -> None:
    with db.view():
        in_read(db, metastore, error)


def in_snapshotter_read(_: Database, metastore: Metastore, error: kv.EngineError) -> None:
    def fail(_: object) -> None:
        raise error

    metastore.read(fail)


def in_snapshotter_update(_: Database, metastore: Metastore, error: kv.EngineError) -> None:
    with metastore.update():
        raise error


def in_opening(db: Database, _: Metastore, error: kv.EngineError) -> None:
    with opening.refusals(db.path):
        raise error


PATHS: Final = (
    in_update,
    in_joined_update,
    in_view,
    in_read,
    in_joined_read,
    in_snapshotter_read,
    in_snapshotter_update,
    in_opening,
)


@pytest.fixture
def metastore(tmp_path: Path) -> Metastore:
    return Metastore(tmp_path / "metadata.db", open_for_writing, clock=SystemClock())


def all_engine_errors() -> set[type[kv.EngineError]]:
    found = {kv.EngineError}
    pending = [kv.EngineError]
    while pending:
        below = pending.pop().__subclasses__()
        found.update(below)
        pending += below
    return {kind for kind in found if kind.__module__ == kv.EngineError.__module__}


def test_the_tables_name_each_error_of_an_engine() -> None:
    assert set(ENGINE_ERRORS) == set(errors.ENGINE_KINDS) == all_engine_errors()


@pytest.mark.parametrize("raise_in", PATHS, ids=lambda path: path.__name__)
@pytest.mark.parametrize("position", range(len(engine_errors())))
def test_an_error_of_an_engine_has_one_kind_on_every_path(
    db: Database,
    metastore: Metastore,
    position: int,
    raise_in: Callable[[Database, Metastore, kv.EngineError], None],
) -> None:
    error, kind = engine_errors()[position]

    with pytest.raises(OrlopError) as caught:
        raise_in(db, metastore, error)

    file = metastore.path if "snapshotter" in raise_in.__name__ else db.path
    assert type(caught.value) is kind
    assert str(file) in str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("position", range(len(engine_errors())))
def test_a_command_ends_alike_with_an_error_of_the_engine_and_with_ours(position: int) -> None:
    error, kind = engine_errors()[position]
    ours = kind("x")
    ours.__cause__ = error

    assert exit_code(error) == exit_code(ours)


def test_an_error_of_an_engine_ends_a_command_with_the_code_of_its_kind() -> None:
    codes = {type(error): exit_code(error) for error, _ in engine_errors() if not error.__cause__}

    assert codes == {error: KINDS[kind] for error, kind in ENGINE_ERRORS.items()}


def test_the_table_of_the_system_is_complete() -> None:
    assert dict(errors.SYSTEM_KINDS) == SYSTEM_ERRORS


@pytest.mark.parametrize("number", SYSTEM_ERRORS, ids=errno.errorcode.get)
def test_an_error_of_the_system_has_one_kind_at_opening_and_in_a_command(
    tmp_path: Path, number: int
) -> None:
    error = OSError(number, os.strerror(number), str(tmp_path))

    with pytest.raises(SYSTEM_ERRORS[number]) as caught, opening.refusals(tmp_path):
        raise error

    assert exit_code(error) == exit_code(caught.value) == KINDS[SYSTEM_ERRORS[number]]


def test_another_error_of_the_system_stays_what_it_is(tmp_path: Path) -> None:
    error = OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(OSError, match="Input/output") as caught, opening.refusals(tmp_path):
        raise error

    assert caught.value is error
    assert errors.kind_of(error) is None
    assert exit_code(error) == KINDS[OSError]


def test_every_kind_is_a_public_name() -> None:
    family: list[type[OrlopError]] = [OrlopError, *OrlopError.__subclasses__()]
    family.append(errors.LostDatabaseError)
    kinds = {kind.__name__: kind for kind in family if kind.__module__ == errors.__name__}

    assert len(kinds) == 18
    assert {name: getattr(orlop, name) for name in kinds} == kinds
    assert set(kinds) <= set(orlop.__all__) & set(errors.__all__)


@pytest.mark.parametrize("position", range(len(engine_errors())))
def test_a_migration_blames_the_records_only_for_their_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, position: int
) -> None:
    error, kind = engine_errors()[position]

    def fail(_: object) -> None:
        raise error

    with orlop.open(tmp_path) as fresh, fresh.update() as update:
        migrations.write_version(update.transaction, 3)
    monkeypatch.setattr(migrations, "_STEPS", ((migrations.CURRENT_VERSION, fail),))

    # Whatever else a step meets is a record that it did not expect.
    transient = {UnavailableError, FailedPreconditionError, ResourceExhaustedError}
    with pytest.raises(kind if kind in transient else DataLossError), orlop.open(tmp_path) as db:
        db.migrate()


@pytest.mark.parametrize("directory", ["root", "root/below"])
def test_a_file_in_the_place_of_a_directory_is_an_invalid_argument(
    tmp_path: Path, directory: str
) -> None:
    (tmp_path / "root").write_bytes(b"")

    with pytest.raises(InvalidArgumentError, match="root"):
        orlop.open(tmp_path / directory)
