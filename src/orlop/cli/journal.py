"""`orlop gc journal`: deletions of past collections, with times and reasons."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

from orlop.cli.output import human_size
from orlop.cli.parser import Argument, Context
from orlop.cli.presentation import cell, time_cell
from orlop.cli.session import session_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.database import Database
    from orlop.gc.journal import Entry

_COLUMNS = ("AT", "WHAT", "TYPE", "NAMESPACE", "KEY", "FREED", "WHY")


def journal(
    context: Context,
    reference: Annotated[
        str | None,
        Argument(
            metavar="REF",
            help="Only what has that key: a name, a digest or its beginning, a snapshot's key.",
        ),
    ] = None,
) -> None:
    """Show the deletions of past collections, with times and reasons, the oldest first."""
    session = session_of(context)
    session.require_root("the journal")
    with session.reading() as database:
        entries = [
            entry
            for entry in _entries(database)
            if (reference is None or entry.is_meant(reference))
            and session.namespace in {None, entry.namespace}
        ]
    session.output.listing(
        _COLUMNS, entries, as_value=lambda entry: json.loads(entry.as_line()), as_row=_row
    )


def _entries(database: Database) -> Iterator[Entry]:
    return iter(()) if database.gc.journal is None else database.gc.journal.entries()


def _row(entry: Entry) -> tuple[str, ...]:
    freed = human_size(entry.bytes) if entry.bytes else "-"
    return (
        time_cell(entry.at),
        entry.event,
        cell(entry.type),
        cell(entry.namespace),
        cell(entry.key),
        freed,
        cell(entry.reason),
    )
