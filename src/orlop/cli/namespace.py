"""`orlop namespace`: the walls between tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from orlop.cli import arguments
from orlop.cli.parser import Argument, Context, Group, Option
from orlop.cli.presentation import labels_cell
from orlop.cli.session import session_of
from orlop.errors import NotFoundError

if TYPE_CHECKING:
    from orlop.database import Database

app = Group(help="Namespaces: walls between tenants. Content below is shared.")


@app.command()
def create(
    context: Context,
    name: str,
    labels: Annotated[list[str] | None, Option("--label", help="key=value")] = None,
) -> None:
    """Create a namespace. The first object in one creates it, too."""
    session = session_of(context)
    given = arguments.labels(labels or ())
    with session.writing(create=True) as database:
        database.namespaces.create(name, given)
    session.output.document({"name": name, "labels": given}, [name])


@app.command()
def ls(context: Context) -> None:
    """List namespaces."""
    session = session_of(context)
    found = session.ask(
        lambda database: [
            (name, database.namespaces.labels(name)) for name in database.namespaces.list()
        ]
    )
    session.output.listing(
        ("NAME", "LABELS"),
        found,
        as_value=lambda pair: {"name": pair[0], "labels": pair[1]},
        as_row=lambda pair: (pair[0], labels_cell(pair[1])),
    )


@app.command()
def inspect(context: Context, name: str) -> None:
    """Show a namespace: its labels, and how much is in it."""
    session = session_of(context)

    def question(database: Database) -> dict[str, object]:
        if name not in database.namespaces.list():
            raise NotFoundError(f'namespace "{name}"')
        namespace = database.namespace(name)
        return {
            "name": name,
            "labels": database.namespaces.labels(name),
            "images": len(namespace.images.list()),
            "containers": len(namespace.containers.list()),
            "sandboxes": len(namespace.sandboxes.list()),
            "leases": len(namespace.leases.list()),
            "blobs": sum(1 for _ in namespace.content.walk()),
            "snapshots": {
                snapshotter: sum(1 for _ in namespace.snapshots(snapshotter).walk())
                for snapshotter in namespace.snapshotters()
            },
        }

    session.output.found([session.ask(question)], name)


@app.command()
def label(
    context: Context,
    name: str,
    labels: Annotated[list[str], Argument(help="key=value; key= removes one.")],
) -> None:
    """Set or remove labels of a namespace."""
    session = session_of(context)
    wanted = arguments.labels(labels)
    with session.writing() as database, database.update():
        for key, value in wanted.items():
            database.namespaces.set_label(name, key, value)
        now = database.namespaces.labels(name)
    session.output.document({"name": name, "labels": now}, [labels_cell(now)])


@app.command()
def rm(context: Context, names: list[str]) -> None:
    """Remove namespaces, which must be empty."""
    session = session_of(context)
    with session.writing() as database, database.update():
        for name in names:
            database.namespaces.delete(name)
    for name in names:
        session.output.say(f"removed {name}")
