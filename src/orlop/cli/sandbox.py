"""`orlop sandbox`: descriptions of sandboxes."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

from orlop.cli import arguments
from orlop.cli.parser import Argument, Context, Group, Option
from orlop.cli.presentation import as_json, cell, in_namespace, labels_cell, time_cell
from orlop.cli.session import session_of
from orlop.errors import NotFoundError
from orlop.records import Runtime, Sandbox

if TYPE_CHECKING:
    from orlop.database import Database

app = Group(help="Sandboxes: their descriptions.")

Filters = Annotated[list[str] | None, Argument(help="Filters; one of them must match.")]


@app.command()
def create(
    context: Context,
    sandbox_id: Annotated[str, Argument(metavar="ID")],
    runtime: Annotated[str, Option(help="What will run it.")] = "",
    sandboxer: Annotated[str, Option(help="What will manage it.")] = "podsandbox",
    labels: Annotated[list[str] | None, Option("--label", help="key=value")] = None,
) -> None:
    """Describe a sandbox."""
    session = session_of(context)
    with session.writing(create=True) as database:
        created = session.target(database).sandboxes.create(
            Sandbox(
                id=sandbox_id,
                labels=arguments.labels(labels or ()),
                runtime=Runtime(name=runtime),
                sandboxer=sandboxer,
            )
        )
    session.output.document(as_json(created), [created.id])


@app.command()
def ls(context: Context, filters: Filters = None) -> None:
    """List sandboxes."""
    session = session_of(context)
    found = session.ask(
        lambda database: [
            (namespace, sandbox)
            for namespace in session.shown(database)
            for sandbox in namespace.sandboxes.list(*(filters or ()))
        ]
    )
    session.output.listing(
        ("NAMESPACE", "ID", "RUNTIME", "SANDBOXER", "CREATED", "LABELS"),
        found,
        as_value=lambda pair: in_namespace(*pair),
        as_row=lambda pair: (
            pair[0].name,
            pair[1].id,
            cell(pair[1].runtime.name),
            cell(pair[1].sandboxer),
            time_cell(pair[1].created_at),
            labels_cell(pair[1].labels),
        ),
    )


@app.command()
def inspect(context: Context, sandbox_id: Annotated[str, Argument(metavar="ID")]) -> None:
    """Show a sandbox."""
    session = session_of(context)

    def question(database: Database) -> list[dict[str, object]]:
        found = []
        for namespace in session.shown(database):
            with suppress(NotFoundError):
                found.append(in_namespace(namespace, namespace.sandboxes.get(sandbox_id)))
        return found

    session.output.found(session.ask(question), f'sandbox "{sandbox_id}"')


@app.command()
def label(
    context: Context,
    sandbox_id: Annotated[str, Argument(metavar="ID")],
    labels: Annotated[list[str], Argument(help="key=value; key= removes one.")],
) -> None:
    """Set or remove labels of a sandbox."""
    session = session_of(context)
    wanted = arguments.labels(labels)
    with session.writing() as database:
        sandbox = session.target(database).sandboxes.update(
            Sandbox(id=sandbox_id, labels=wanted, runtime=Runtime(name="")),
            [f"labels.{key}" for key in wanted],
        )
    session.output.document(as_json(sandbox), [labels_cell(sandbox.labels)])


@app.command()
def rm(context: Context, ids: Annotated[list[str], Argument(metavar="ID...")]) -> None:
    """Remove sandboxes."""
    session = session_of(context)
    with session.writing() as database:
        sandboxes = session.target(database).sandboxes
        with database.update():
            for sandbox_id in ids:
                sandboxes.delete(sandbox_id)
    for sandbox_id in ids:
        session.output.say(f"removed {sandbox_id}")
