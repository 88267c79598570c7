"""`orlop content`: blobs and ingests."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from orlop import digests
from orlop.cli import arguments
from orlop.cli.abbreviations import resolve_digest
from orlop.cli.exit_codes import NEGATIVE
from orlop.cli.output import StandardOutput, human_size
from orlop.cli.parser import Argument, Context, Group, Option
from orlop.cli.presentation import as_json, fault_of, in_namespace, labels_cell, time_cell
from orlop.cli.session import session_of
from orlop.cli.standard_streams import standard_input
from orlop.errors import (
    REPLACE_BLOBS,
    AlreadyExistsError,
    DataLossError,
    FailedPreconditionError,
    NotFoundError,
    OrlopError,
)
from orlop.gc.node import CONTENT, Node
from orlop.records import ContentInfo
from orlop.storage.files import read_available
from orlop.stores.blob_faults import MISSING

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import BinaryIO

    from orlop.cli.session import Session
    from orlop.database import Database
    from orlop.namespace import Namespace
    from orlop.stores.content import ContentStore
    from orlop.stores.content_writer import ContentWriter

app = Group(help="Content: blobs by their digest.")

Filters = Annotated[list[str] | None, Argument(help="Filters; one of them must match.")]

_CHUNK_BYTES = 1024 * 1024


@app.command()
def ls(context: Context, filters: Filters = None) -> None:
    """List blobs, with the faults of those that are missing or damaged."""
    session = session_of(context)
    with session.reading() as database:
        found = database.read(
            lambda _: [
                (namespace, info)
                for namespace in session.shown(database)
                for info in namespace.content.walk(*(filters or ()))
            ]
        )
        faults = database.faults([_node(*pair) for pair in found])
    session.output.listing_with_faults(
        ("NAMESPACE", "DIGEST", "SIZE", "CREATED", "LABELS"),
        found,
        as_value=lambda pair: in_namespace(*pair),
        as_row=lambda pair: (
            pair[0].name,
            pair[1].digest,
            human_size(pair[1].size),
            time_cell(pair[1].created_at),
            labels_cell(pair[1].labels),
        ),
        faults=lambda pair: fault_of(faults.get(_node(*pair))),
    )


def _node(namespace: Namespace, info: ContentInfo) -> Node:
    return Node(CONTENT, namespace.name, info.digest)


@app.command()
def cat(context: Context, digest: str) -> None:
    """Write a blob to standard output."""
    session = session_of(context)
    session.require_root("reading content")
    with session.reading() as database:
        digest = database.read(lambda _: _resolved(session, database, digest))
        for namespace in session.shown(database):
            try:
                namespace.content.info(digest)
            except NotFoundError:
                continue
            with namespace.content.open(digest) as blob:
                _copy(blob, StandardOutput(), digest)
            return
    raise NotFoundError(f"content {digest} in {session.namespace or 'any namespace'}")


def _resolved(session: Session, database: Database, text: str) -> str:
    """Return the digest of the blob that a text is or begins, in the namespaces that are shown."""
    return resolve_digest(
        text,
        (info.digest for one in session.shown(database) for info in one.content.walk()),
    )


def _copy(source: BinaryIO, target: StandardOutput, digest: str) -> None:
    """Copy a blob, and check it on the way.

    Raises:
        DataLossError: it is not what its digest says.
    """
    running = digests.new_hash(digests.algorithm(digest))
    while chunk := source.read(_CHUNK_BYTES):
        running.update(chunk)
        target.write(chunk)
    if (actual := digests.of_hash(running)) != digest:
        raise DataLossError(
            f"blob {digest} is damaged, it has the digest {actual}", hint=REPLACE_BLOBS
        )


@app.command()
def ingest(
    context: Context,
    ref: Annotated[str, Argument(help="What to call it while it is written.")],
    file: Annotated[Path, Argument(help="The data; - for standard input.")],
    expected: Annotated[str, Option(help="The digest that it must have.")] = "",
    size: Annotated[int, Option(minimum=0, help="The size that it must have, in bytes.")] = 0,
    labels: Annotated[list[str] | None, Option("--label", help="key=value")] = None,
    verify: Annotated[
        bool, Option("--verify", help="Read what is there, and replace it where it is damaged.")
    ] = False,
) -> None:
    """Bring a blob in. With --expected, one that was interrupted goes on where it stopped."""
    session = session_of(context)
    session.require_root("writing content")
    if expected:
        digests.validate(expected)  # before gigabytes are read
    wanted = arguments.labels(labels or ())
    session.invocation.leftovers_hint = _abort_hint(ref)
    with (
        standard_input() if str(file) == "-" else file.open("rb") as source,
        session.writing(create=True) as database,
    ):
        content = session.target(database).content
        # Without a digest nothing would tell that older bytes are of other data.
        resume = bool(expected)
        writer = content.writer(ref, size=size, expected=expected, resume=resume, verify=verify)
        try:
            with writer:
                _skip(source, writer)
                while chunk := read_available(source, _CHUNK_BYTES):
                    writer.write(chunk)
                digest = expected or writer.digest()
                writer.commit(size=size, expected=expected, labels=wanted)
        except BaseException as error:
            if not isinstance(error, AlreadyExistsError):  # else the ingest has ended
                _keep_or_abort(session, content, ref, error, resume=resume)
            raise
        info = content.info(digest)
    session.output.document(as_json(info), [info.digest])


def _abort_hint(ref: str) -> str:
    return f"orlop content abort {shlex.quote(ref)} removes what was half done"


def _keep_or_abort(
    session: Session, content: ContentStore, ref: str, error: BaseException, *, resume: bool
) -> None:
    """Abort a failed ingest where the same command could not resume it; note what is kept.

    Where all data was read and is not what was expected, it could not.
    """
    if resume and not isinstance(error, FailedPreconditionError):
        kept = f"run the command again to resume it, or {_abort_hint(ref)}"
        session.invocation.leftovers_hint = kept
        return
    try:
        content.abort(ref)
    except NotFoundError:
        pass  # another process did
    except (OrlopError, OSError):
        return  # the hint says how to do it by hand
    session.invocation.leftovers_hint = ""


def _skip(source: BinaryIO, writer: ContentWriter) -> None:
    """Skip the bytes that were written before if the data begins with them; else start over.

    Raises:
        FailedPreconditionError: it is not, and the data cannot be read again.
    """
    written = writer.status().offset
    if not written:
        return
    begin = source.tell() if source.seekable() else None
    running, count = digests.new_hash(digests.algorithm(writer.digest())), written
    while count and (chunk := read_available(source, min(count, _CHUNK_BYTES))):
        running.update(chunk)
        count -= len(chunk)
    if digests.of_hash(running) == writer.digest():
        return
    writer.truncate(0)
    if begin is None:
        raise FailedPreconditionError(
            f"the {written} bytes of this ingest that were written before are not how the data "
            "begins; they were discarded: run the command again"
        )
    source.seek(begin)


@app.command()
def label(
    context: Context,
    digest: str,
    labels: Annotated[list[str], Argument(help="key=value; key= removes one.")],
) -> None:
    """Set or remove labels of a blob."""
    session = session_of(context)
    wanted = arguments.labels(labels)
    with session.writing() as database:
        info = session.target(database).content.update(
            ContentInfo(digest=digest, size=0, labels=wanted), [f"labels.{key}" for key in wanted]
        )
    session.output.document(as_json(info), [labels_cell(info.labels)])


@app.command()
def verify(
    context: Context,
    digests_: Annotated[
        list[str] | None, Argument(metavar="[DIGEST]...", help="Which; all where none.")
    ] = None,
) -> int:
    """Read blobs and compare them with their digests. Ends with 1 where one is not sound."""
    session = session_of(context)
    session.require_root("verifying content")
    faulty = 0
    checked: dict[str, str] = {}
    with session.reading() as database:
        wanted = database.read(
            lambda _: {_resolved(session, database, text) for text in digests_ or ()}
        )
        found = database.read(lambda _: _blobs(session, database, wanted))
        missing = wanted - set(found)
        if missing:
            raise NotFoundError(f"content {', '.join(sorted(missing))}")
        for digest, namespace in found.items():
            fault = _fault(namespace, digest)
            # What has gone meanwhile is not damaged.
            if not fault or _is_there(session, database, digest):
                checked[digest] = fault
    for digest, fault in checked.items():
        faulty += bool(fault)
        session.output.document(
            {"digest": digest, "sound": not fault, "fault": fault},
            [f"{digest}: {fault or 'sound'}"],
        )
    return NEGATIVE if faulty else 0


def _blobs(session: Session, database: Database, wanted: Collection[str]) -> dict[str, Namespace]:
    """Return a namespace of each blob that is wanted; of all where none is named."""
    found: dict[str, Namespace] = {}
    for namespace in session.shown(database):
        for info in namespace.content.walk():
            if not wanted or info.digest in wanted:
                found.setdefault(info.digest, namespace)
    return found


def _is_there(session: Session, database: Database, digest: str) -> bool:
    return bool(database.read(lambda _: _blobs(session, database, {digest})))


def _fault(namespace: Namespace, digest: str) -> str:
    try:
        return namespace.content.fault(digest, verify=True)
    except NotFoundError:
        return MISSING  # taken out of the namespace meanwhile


@app.command()
def rm(context: Context, digests_: Annotated[list[str], Argument(metavar="DIGEST...")]) -> None:
    """Take blobs out of the namespace. Their data goes with the next collection."""
    session = session_of(context)
    with session.writing() as database:
        content = session.target(database).content
        with database.update():
            for digest in digests_:
                content.delete(digest)
    for digest in digests_:
        session.output.say(f"removed {digest}")


@app.command()
def abort(
    context: Context,
    refs: Annotated[list[str], Argument(metavar="REF...", help="As orlop content ingests has it.")],
) -> None:
    """Abort ingests, and delete what was written of them."""
    session = session_of(context)
    with session.writing() as database:
        content = session.target(database).content
        for ref in refs:
            content.abort(ref)
            session.output.say(f"aborted {ref}")


@app.command()
def ingests(context: Context, filters: Filters = None) -> None:
    """List ingests: blobs that are being written, or whose writer stopped."""
    session = session_of(context)
    session.require_root("listing ingests")
    found = session.ask(
        lambda database: [
            (namespace, status)
            for namespace in session.shown(database)
            for status in namespace.content.statuses(*(filters or ()))
        ]
    )
    session.output.listing(
        ("NAMESPACE", "REF", "WRITTEN", "TOTAL", "UPDATED"),
        found,
        as_value=lambda pair: in_namespace(*pair),
        as_row=lambda pair: (
            pair[0].name,
            pair[1].ref,
            human_size(pair[1].offset),
            human_size(pair[1].total) if pair[1].total else "-",
            time_cell(pair[1].updated_at),
        ),
    )
