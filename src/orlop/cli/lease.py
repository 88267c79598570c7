"""`orlop lease`: leases, and the resources attached to them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

from orlop.cli import arguments
from orlop.cli.parser import Argument, Context, Group, Option
from orlop.cli.presentation import as_json, cell, in_namespace, labels_cell, time_cell
from orlop.cli.session import session_of
from orlop.errors import NotFoundError
from orlop.labels import GC_EXPIRE, GC_FLAT
from orlop.records import LeaseResource

if TYPE_CHECKING:
    from orlop.database import Database
    from orlop.namespace import Namespace

app = Group(help="Leases: they hold what nothing else refers to, until they end.")

Filters = Annotated[list[str] | None, Argument(help="Filters; one of them must match.")]


@app.command()
def create(
    context: Context,
    lease_id: Annotated[str | None, Argument(metavar="[ID]", help="A random one.")] = None,
    expires: Annotated[
        str | None, Option(help="When it ends by itself: 90s, 1h30m. [default: never]")
    ] = None,
    flat: Annotated[bool, Option("--flat", help="Hold things without what they refer to.")] = False,
    labels: Annotated[list[str] | None, Option("--label", help="key=value")] = None,
) -> None:
    """Create a lease, and say its id."""
    session = session_of(context)
    given = arguments.labels(labels or ()) | ({GC_FLAT: "true"} if flat else {})
    duration = arguments.duration(expires)
    with session.writing(create=True) as database:
        created = session.target(database).leases.create(lease_id, labels=given, expires=duration)
    session.output.document(as_json(created), [created.id])


@app.command()
def ls(context: Context, filters: Filters = None) -> None:
    """List leases."""
    session = session_of(context)
    found = session.ask(
        lambda database: [
            (namespace, lease)
            for namespace in session.shown(database)
            for lease in namespace.leases.list(*(filters or ()))
        ]
    )
    session.output.listing(
        ("NAMESPACE", "ID", "CREATED", "EXPIRES", "LABELS"),
        found,
        as_value=lambda pair: in_namespace(*pair),
        as_row=lambda pair: (
            pair[0].name,
            pair[1].id,
            time_cell(pair[1].created_at),
            cell(pair[1].labels.get(GC_EXPIRE, "")),
            labels_cell(pair[1].labels),
        ),
    )


@app.command()
def inspect(context: Context, lease_id: Annotated[str, Argument(metavar="ID")]) -> None:
    """Show a lease, and its resources."""
    session = session_of(context)

    def question(database: Database) -> list[dict[str, object]]:
        found = []
        for namespace in session.shown(database):
            with suppress(NotFoundError):
                shown = in_namespace(namespace, namespace.leases.get(lease_id))
                shown["resources"] = as_json(namespace.leases.resources(lease_id))
                found.append(shown)
        return found

    session.output.found(session.ask(question), f'lease "{lease_id}"')


@app.command()
def label(
    context: Context,
    lease_id: Annotated[str, Argument(metavar="ID")],
    labels: Annotated[list[str], Argument(help="key=value; key= removes one.")],
) -> None:
    """Set or remove labels of a lease."""
    session = session_of(context)
    wanted = arguments.labels(labels)
    with session.writing() as database:
        lease = session.target(database).leases.label(lease_id, wanted)
    session.output.document(as_json(lease), [labels_cell(lease.labels)])


@app.command()
def add(
    context: Context,
    lease_id: Annotated[str, Argument(metavar="ID")],
    kind: Annotated[
        str,
        Argument(metavar="TYPE", help="content, ingests, images, snapshots/SNAPSHOTTER"),
    ],
    resource: Annotated[str, Argument(help="Digest, reference, name or key.")],
) -> None:
    """Let a lease hold something."""
    session = session_of(context)
    with session.writing() as database:
        session.target(database).leases.add_resource(
            lease_id, LeaseResource(id=resource, type=kind)
        )
    session.output.say(f"{lease_id} holds {kind} {resource}")


@app.command()
def resources(context: Context, lease_id: Annotated[str, Argument(metavar="ID")]) -> None:
    """List the resources of a lease."""
    session = session_of(context)

    def question(database: Database) -> list[tuple[Namespace, LeaseResource]]:
        found, exists = [], False
        for namespace in session.shown(database):
            with suppress(NotFoundError):
                found += [(namespace, one) for one in namespace.leases.resources(lease_id)]
                exists = True
        if not exists:
            raise NotFoundError(f'lease "{lease_id}"')
        return found

    found = session.ask(question)
    session.output.listing(
        ("NAMESPACE", "TYPE", "ID"),
        found,
        as_value=lambda pair: in_namespace(*pair),
        as_row=lambda pair: (pair[0].name, pair[1].type, pair[1].id),
    )


@app.command()
def rm(context: Context, ids: Annotated[list[str], Argument(metavar="ID...")]) -> None:
    """Remove leases. Data that only they held is deleted by the next collection."""
    session = session_of(context)
    with session.writing() as database:
        leases = session.target(database).leases
        with database.update():
            for lease_id in ids:
                leases.delete(lease_id)
    for lease_id in ids:
        session.output.say(f"removed {lease_id}")
