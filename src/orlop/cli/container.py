"""`orlop container`: descriptions of containers. Nothing here runs one."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from orlop.cli import arguments
from orlop.cli.parser import Argument, Context, Group, Option
from orlop.cli.presentation import as_json, cell, in_namespace, labels_cell
from orlop.cli.session import session_of
from orlop.errors import InvalidArgumentError, NotFoundError
from orlop.records import Container, ProtoAny, Runtime

if TYPE_CHECKING:
    from orlop.database import Database

app = Group(help="Containers: their descriptions. Nothing here runs one.")

SPEC_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
DEFAULT_RUNTIME = "io.containerd.runc.v2"

Filters = Annotated[list[str] | None, Argument(help="Filters; one of them must match.")]


@app.command()
def create(
    context: Context,
    container_id: Annotated[str, Argument(metavar="ID")],
    image: Annotated[str, Option(help="The image that it is made from.")] = "",
    snapshotter: Annotated[str, Option(help="The snapshotter of its snapshot.")] = "",
    snapshot: Annotated[str, Option(help="The key of its snapshot.")] = "",
    spec: Annotated[
        Path | None, Option(help="The OCI runtime spec, a JSON file. [default: an empty one]")
    ] = None,
    runtime: Annotated[str, Option(help="What will run it.")] = DEFAULT_RUNTIME,
    labels: Annotated[list[str] | None, Option("--label", help="key=value")] = None,
) -> None:
    """Describe a container. It holds its snapshot; it does not hold its image."""
    session = session_of(context)
    with session.writing(create=True) as database:
        created = session.target(database).containers.create(
            Container(
                id=container_id,
                labels=arguments.labels(labels or ()),
                image=image,
                runtime=Runtime(name=runtime),
                spec=ProtoAny(SPEC_TYPE, _spec(spec)),
                snapshotter=snapshotter,
                snapshot_key=snapshot,
            )
        )
    session.output.document(as_json(created), [created.id])


def _spec(path: Path | None) -> bytes:
    if path is None:
        return b"{}"
    data = path.read_bytes()
    try:
        json.loads(data)
    except ValueError as error:
        raise InvalidArgumentError(f"{path} is no JSON ({error})") from error
    return data


@app.command()
def ls(context: Context, filters: Filters = None) -> None:
    """List containers."""
    session = session_of(context)
    found = session.ask(
        lambda database: [
            (namespace, container)
            for namespace in session.shown(database)
            for container in namespace.containers.list(*(filters or ()))
        ]
    )
    session.output.listing(
        ("NAMESPACE", "ID", "IMAGE", "RUNTIME", "SNAPSHOTTER", "SNAPSHOT", "LABELS"),
        found,
        as_value=lambda pair: in_namespace(*pair),
        as_row=lambda pair: (
            pair[0].name,
            pair[1].id,
            cell(pair[1].image),
            pair[1].runtime.name,
            cell(pair[1].snapshotter),
            cell(pair[1].snapshot_key),
            labels_cell(pair[1].labels),
        ),
    )


@app.command()
def inspect(context: Context, container_id: Annotated[str, Argument(metavar="ID")]) -> None:
    """Show a container."""
    session = session_of(context)

    def question(database: Database) -> list[dict[str, object]]:
        found = []
        for namespace in session.shown(database):
            with suppress(NotFoundError):
                found.append(in_namespace(namespace, namespace.containers.get(container_id)))
        return found

    session.output.found(session.ask(question), f'container "{container_id}"')


@app.command()
def label(
    context: Context,
    container_id: Annotated[str, Argument(metavar="ID")],
    labels: Annotated[list[str], Argument(help="key=value; key= removes one.")],
) -> None:
    """Set or remove labels of a container."""
    session = session_of(context)
    wanted = arguments.labels(labels)
    with session.writing() as database:
        container = session.target(database).containers.update(
            Container(id=container_id, labels=wanted, runtime=Runtime(name=""), spec=None),
            [f"labels.{key}" for key in wanted],
        )
    session.output.document(as_json(container), [labels_cell(container.labels)])


@app.command()
def rm(context: Context, ids: Annotated[list[str], Argument(metavar="ID...")]) -> None:
    """Remove containers. Their snapshots are no longer held by them."""
    session = session_of(context)
    with session.writing() as database:
        containers = session.target(database).containers
        with database.update():
            for container_id in ids:
                containers.delete(container_id)
    for container_id in ids:
        session.output.say(f"removed {container_id}")
