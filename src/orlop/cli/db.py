"""`orlop db`: the database file itself."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from orlop.cli import db_file
from orlop.cli.db_file import require_new
from orlop.cli.exit_codes import NEGATIVE
from orlop.cli.output import human_size, printable
from orlop.cli.parser import Argument, Context, Group, Option
from orlop.cli.presentation import as_json
from orlop.cli.session import require_metadata, session_of
from orlop.creation import lost_database
from orlop.database import Database
from orlop.errors import (
    FailedPreconditionError,
    NotFoundError,
    OrlopError,
)
from orlop.kv import LockedError
from orlop.maintenance import backup as copy_file
from orlop.maintenance import check_file, file_info
from orlop.maintenance import dump as dumped
from orlop.maintenance.decoding import readable
from orlop.maintenance.listing import entries
from orlop.opening import refusals
from orlop.schema import migrations
from orlop.storage.files import naming

if TYPE_CHECKING:
    from orlop.cli.session import Session
    from orlop.kv import Transaction
    from orlop.maintenance import Fault
    from orlop.maintenance.listing import Entry

app = Group(help="The database file: what is in it, and is it sound.")
app.include(db_file.app)

File = Annotated[
    Path | None,
    Argument(help="The file, in place of --root or --db."),
]


def _path(session: Session, file: Path | None) -> Path:
    return file or session.metadata_file


def _open(session: Session, file: Path | None) -> Database:
    return Database.open_file(_path(session, file), read_only=True)


@app.command()
def info(context: Context, file: File = None) -> None:
    """Show the meta pages of the file: version, size, freelist."""
    session = session_of(context)
    path = _path(session, file)
    with _open(session, file) as database, refusals(path):
        found = file_info(path)
        stored, namespaces = database.read(lambda _: (database.version, database.namespaces.list()))
    session.output.document(
        {
            "path": str(path),
            "schema_version": stored,
            "namespaces": namespaces,
            **{field.name: as_json(getattr(found, field.name)) for field in fields(found)},
        },
        [
            f"file: {path}, {human_size(found.size)}",
            f"schema: {'none' if stored is None else f'version {stored}'}",
            f"namespaces: {', '.join(map(printable, namespaces)) or 'none'}",
            f"transaction: {found.transaction}",
            f"pages: {found.pages} of {found.page_size} bytes",
            f"freelist: {'kept in the file' if found.freelist_kept else 'found by reading'}",
            *found.faulty_metas,
        ],
    )


@app.command()
def tree(
    context: Context,
    file: File = None,
    depth: Annotated[
        int | None, Option(minimum=1, help="How many levels to show. [default: all]")
    ] = None,
) -> None:
    """Draw the buckets of the file, with their values as people read them."""
    session = session_of(context)
    with session.output.spooled() as output:

        def show(transaction: Transaction) -> None:
            output.begin_again()
            for entry in entries(transaction, depth=depth):
                output.document(_entry_as_json(entry), [_drawn(entry)])

        with _open(session, file) as database:
            database.read(show)


def _entry_as_json(entry: Entry) -> dict[str, object]:
    shown: dict[str, object] = {"path": [readable(key) for key in entry.path]}
    if entry.value is None:
        return {**shown, "entries": entry.count, "sequence": entry.sequence}
    return {**shown, "value": entry.value}


def _drawn(entry: Entry) -> str:
    indent = "  " * (len(entry.path) - 1)
    if entry.value is None:
        sequence = f", sequence {entry.sequence}" if entry.sequence else ""
        return f"{indent}{entry.name}/ ({entry.count}{sequence})"
    return f"{indent}{entry.name} = {entry.value}"


@app.command()
def dump(context: Context, file: File = None) -> None:
    """Write everything in the file in one canonical form: JSON, in key order."""
    session = session_of(context)
    with session.output.spooled() as output:

        def show(transaction: Transaction) -> None:
            output.begin_again()
            output.pieces(dumped(transaction))

        with _open(session, file) as database:
            database.read(show)


@app.command()
def check(
    context: Context,
    file: File = None,
    meta: Annotated[
        int | None,
        Option(minimum=0, maximum=1, help="Which of the two metas. [default: the newest]"),
    ] = None,
) -> int:
    """Look for damage. Ends with 1 where there is some."""
    session = session_of(context)
    path = _path(session, file)
    with refusals(path):
        report = check_file(path, meta=meta)
    if report.is_empty and (lost := lost_database(path)):
        raise lost
    session.output.document(
        {
            "path": str(path),
            "sound": not report.faults,
            "transaction": report.transaction,
            "pages": report.pages,
            "sound_metas": list(report.sound_metas),
            "faults": [
                {
                    "message": fault.message,
                    "page": fault.page,
                    "buckets": [name.hex() for name in fault.bucket_path],
                }
                for fault in report.faults
            ],
            "untold": report.untold,
        },
        [
            *map(_described, report.faults),
            *([f"and in {report.untold} more places"] if report.untold else []),
            f"{path}: {_verdict(len(report.faults) + report.untold)}",
        ],
    )
    return NEGATIVE if report.faults else 0


def _described(fault: Fault) -> str:
    where = "/".join(name.decode("utf-8", "backslashreplace") for name in fault.bucket_path)
    return printable(f"{fault.message} (in {where})" if where else fault.message)


def _verdict(count: int) -> str:
    return "sound" if not count else f"damaged in {count} place{'s' if count > 1 else ''}"


@app.command()
def init(
    context: Context,
    begin_anew: Annotated[
        bool,
        Option(
            "--begin-anew",
            help="Do so although the root holds data whose database was lost; all of it is set "
            "aside, and nothing is deleted.",
        ),
    ] = False,
) -> None:
    """Make the root directory and its database, where they are missing."""
    session = session_of(context)
    with session.writing(create=True, begin_anew=begin_anew) as database:
        path = database.path
    session.output.document({"path": str(path)}, [f"{path} is ready"])


@app.command()
def migrate(
    context: Context,
    file: File = None,
    copy: Annotated[
        bool, Option("--copy/--no-copy", help="Keep a copy of the file beside it.")
    ] = True,
) -> None:
    """Raise the schema to the newest version. No way leads back but the copy."""
    session = session_of(context)
    path = _path(session, file)
    with _open(session, file) as database:
        require_metadata(database)
        before = database.version
    if before == migrations.CURRENT_VERSION:
        session.output.document(
            {"from": before, "to": before, "copy": None}, [f"version {before} already"]
        )
        return
    kept = path.with_name(f"{path.name}.version-{before}") if copy else None
    after = _migrated(path, session.timeout, kept, before)
    session.output.document(
        {"from": before, "to": after, "copy": str(kept) if kept else None},
        [f"version {before} to {after}"],
    )
    if kept:
        session.output.say(f"the file as it was: {kept}")


def _migrated(path: Path, timeout: float, kept: Path | None, before: int | None) -> int | None:
    """Raise the schema from `before`, after a copy has been made at `kept`; return its version."""
    if kept:
        require_new(kept)
    try:
        if kept:
            copy_file(path, kept)
        with Database.open_file(path, create=False, timeout=timeout, migrate=True) as database:
            return database.version
    except OrlopError as error:
        locked_out = isinstance(error.__cause__, LockedError)
        if kept and (locked_out or isinstance(error, FailedPreconditionError)):
            kept.unlink()  # nothing was touched, and the next try makes a newer copy
        raise
    except KeyboardInterrupt:
        if kept and _version(path) == before:
            kept.unlink(missing_ok=True)  # likewise
        raise


def _version(path: Path) -> int | None:
    with Database.open_file(path, read_only=True) as database:
        return database.version


@app.command()
def backup(
    context: Context,
    target: Annotated[Path, Argument(help="The copy to make; it must not exist.")],
    file: File = None,
) -> None:
    """Copy the file, consistently, also while a daemon writes it."""
    session = session_of(context)
    path = _path(session, file)
    require_new(target)
    if not target.parent.is_dir():
        raise NotFoundError(f"directory {target.parent} for the copy")
    with refusals(path), naming(str(target)):
        size = copy_file(path, target)
    session.output.document({"path": str(target), "bytes": size}, [f"{target}: {human_size(size)}"])
