"""`orlop snapshot`: layers on disk, and how to mount them."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

from orlop.cli import arguments
from orlop.cli.output import human_size, printable, shell_word
from orlop.cli.parser import Argument, Context, Group, Option
from orlop.cli.presentation import as_json, cell, fault_of, in_namespace, labels_cell
from orlop.cli.session import session_of
from orlop.errors import DataLossError, InvalidArgumentError, NotFoundError
from orlop.gc.node import Node, snapshot_node
from orlop.records import SnapshotInfo, SnapshotKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from orlop.cli.session import Session
    from orlop.database import Database
    from orlop.namespace import Namespace
    from orlop.records import Mount, SnapshotUsage
    from orlop.stores.snapshots import SnapshotStore

app = Group(help="Snapshots: layers of file systems.")

Snapshotter = Annotated[
    str | None,
    Option(
        help="native or overlayfs. Listings show all; else $CONTAINERD_SNAPSHOTTER, else native."
    ),
]
Labels = Annotated[list[str] | None, Option("--label", help="key=value")]
Filters = Annotated[list[str] | None, Argument(help="Filters; one of them must match.")]


def _chosen(snapshotter: str | None) -> str:
    return snapshotter or os.environ.get("CONTAINERD_SNAPSHOTTER") or "native"


def _store(session: Session, database: Database, snapshotter: str | None) -> SnapshotStore:
    return session.target(database).snapshots(_chosen(snapshotter))


def _walk(
    session: Session,
    database: Database,
    snapshotter: str | None,
    filters: Sequence[str] = (),
    *,
    lost: bool = False,
) -> Iterator[tuple[Namespace, str, SnapshotInfo]]:
    """Iterate over snapshots that backends have; `lost`: over those that they do not have."""
    for namespace in session.shown(database):
        for name in namespace.snapshotters() if snapshotter is None else [snapshotter]:
            store = namespace.snapshots(name)
            for info in store.lost(*filters) if lost else store.walk(*filters):
                yield namespace, name, info


def _find(
    session: Session, database: Database, snapshotter: str | None, key: str
) -> tuple[Namespace, str]:
    """Return the namespace and the snapshotter that have a snapshot."""
    namespace = session.only(
        database, lambda one: bool(_holders(one, snapshotter, key)), f'snapshot "{key}"'
    )
    holders = _holders(namespace, snapshotter, key)
    if _chosen(snapshotter) in holders:
        return namespace, _chosen(snapshotter)
    if len(holders) > 1:
        raise InvalidArgumentError(
            f'snapshot "{key}" is with {", ".join(holders)}: choose one with --snapshotter'
        )
    return namespace, holders[0]


def _holders(namespace: Namespace, snapshotter: str | None, key: str) -> list[str]:
    """Return the snapshotters that have a snapshot of that key."""
    found = []
    for name in namespace.snapshotters() if snapshotter is None else [snapshotter]:
        try:
            namespace.snapshots(name).stat(key)
        except NotFoundError:
            continue
        found.append(name)
    return found


@app.command()
def ls(context: Context, snapshotter: Snapshotter = None, filters: Filters = None) -> None:
    """List snapshots, with the faults of those whose directories are missing or damaged."""
    session = session_of(context)
    with session.reading() as database:
        found = database.read(
            lambda _: [
                *_walk(session, database, snapshotter, filters or ()),
                *_walk(session, database, snapshotter, filters or (), lost=True),
            ]
        )
        faults = database.faults([_node(*entry) for entry in found])
    session.output.listing_with_faults(
        ("NAMESPACE", "SNAPSHOTTER", "KEY", "PARENT", "KIND", "LABELS"),
        found,
        as_value=lambda entry: {
            **in_namespace(entry[0], entry[2]),
            "snapshotter": entry[1],
        },
        as_row=lambda entry: (
            entry[0].name,
            entry[1],
            entry[2].name,
            cell(entry[2].parent),
            entry[2].kind.name.lower(),
            labels_cell(entry[2].labels),
        ),
        faults=lambda entry: fault_of(faults.get(_node(*entry))),
    )


def _node(namespace: Namespace, snapshotter: str, info: SnapshotInfo) -> Node:
    return snapshot_node(namespace.name, snapshotter, info.name)


@app.command()
def tree(context: Context, snapshotter: Snapshotter = None) -> None:
    """Show which snapshots stand on which."""
    session = session_of(context)
    found = session.ask(lambda database: list(_walk(session, database, snapshotter)))
    groups: dict[tuple[str, str], dict[str, list[SnapshotInfo]]] = {}
    for namespace, name, info in found:
        groups.setdefault((namespace.name, name), {}).setdefault(info.parent, []).append(info)
    for (namespace_name, name), children in groups.items():
        session.output.document(
            {
                "namespace": namespace_name,
                "snapshotter": name,
                "snapshots": _nested(children),
            },
            [f"{namespace_name} {name}", *_drawn(children)],
        )


def _roots(children: dict[str, list[SnapshotInfo]]) -> list[SnapshotInfo]:
    """Return the snapshots without a parent, or with a missing one."""
    names = {info.name for group in children.values() for info in group}
    return [info for parent, group in children.items() if parent not in names for info in group]


def _nested(children: dict[str, list[SnapshotInfo]]) -> list[dict[str, object]]:
    top: list[dict[str, object]] = []
    pending = [(info, top) for info in _roots(children)]
    for info, place in pending:
        below: list[dict[str, object]] = []
        place.append({"key": info.name, "kind": info.kind.name.lower(), "children": below})
        pending += [(child, below) for child in children.get(info.name, ())]
    return top


def _drawn(children: dict[str, list[SnapshotInfo]]) -> Iterator[str]:
    pending = [(info, 1) for info in reversed(_roots(children))]
    while pending:
        info, depth = pending.pop()
        yield f"{'  ' * depth}{printable(info.name)} ({info.kind.name.lower()})"
        pending += [(child, depth + 1) for child in reversed(children.get(info.name, ()))]


def _made(
    context: Context,
    snapshotter: str | None,
    make: Callable[[SnapshotStore], tuple[Mount, ...]],
) -> None:
    session = session_of(context)
    session.require_root("making a snapshot")
    with session.writing(create=True) as database:
        mounts = make(_store(session, database, snapshotter))
    _show_mounts(session, mounts)


def _show_mounts(session: Session, mounts: tuple[Mount, ...]) -> None:
    session.output.document(as_json(mounts), [_command(mount) for mount in mounts])


def _command(mount: Mount) -> str:
    """Return the mount(8) command, but for the mount point, as a shell reads it."""
    words = ("mount", "-t", mount.type, "-o", ",".join(mount.options), mount.source)
    return " ".join(shell_word(word) for word in words)


@app.command()
def prepare(
    context: Context,
    key: str,
    parent: Annotated[str, Argument(help="What to stand on; nothing where not given.")] = "",
    snapshotter: Snapshotter = None,
    labels: Labels = None,
) -> None:
    """Make a snapshot to write to, and say how to mount it."""
    given = arguments.labels(labels or ())
    _made(context, snapshotter, lambda store: store.prepare(key, parent, given))


@app.command()
def view(
    context: Context,
    key: str,
    parent: str,
    snapshotter: Snapshotter = None,
    labels: Labels = None,
) -> None:
    """Make a snapshot to read from, and say how to mount it."""
    given = arguments.labels(labels or ())
    _made(context, snapshotter, lambda store: store.view(key, parent, given))


@app.command()
def commit(
    context: Context,
    name: str,
    key: str,
    snapshotter: Snapshotter = None,
    labels: Labels = None,
) -> None:
    """Turn the active snapshot KEY into the committed snapshot NAME."""
    session = session_of(context)
    session.require_root("committing a snapshot")
    with session.writing() as database:
        _store(session, database, snapshotter).commit(name, key, arguments.labels(labels or ()))
    session.output.say(f"committed {key} as {name}")


@app.command()
def mounts(context: Context, key: str, snapshotter: Snapshotter = None) -> None:
    """Say how to mount a snapshot."""
    session = session_of(context)
    session.require_root("mounting a snapshot")

    def question(database: Database) -> tuple[Mount, ...]:
        namespace, name = _find(session, database, snapshotter, key)
        return namespace.snapshots(name).mounts(key)

    _show_mounts(session, session.ask(question))


@app.command()
def usage(
    context: Context,
    keys: Annotated[list[str] | None, Argument(help="Which; all where none.")] = None,
    snapshotter: Snapshotter = None,
) -> None:
    """Show the disk usage of snapshots beyond their parents."""
    session = session_of(context)
    session.require_root("measuring snapshots")
    with session.reading() as database:
        found = [
            (namespace, name, key, namespace.snapshots(name).usage(key))
            for namespace, name, key in database.read(
                lambda _: [(*_find(session, database, snapshotter, key), key) for key in keys or ()]
            )
        ]
        if not keys:
            found = list(_usages(session, database, snapshotter))
    session.output.listing(
        ("NAMESPACE", "SNAPSHOTTER", "KEY", "SIZE", "INODES"),
        found,
        as_value=lambda entry: {
            **in_namespace(entry[0], entry[3]),
            "snapshotter": entry[1],
            "key": entry[2],
        },
        as_row=lambda entry: (
            entry[0].name,
            entry[1],
            entry[2],
            human_size(entry[3].size),
            str(entry[3].inodes),
        ),
    )


def _usages(
    session: Session, database: Database, snapshotter: str | None
) -> Iterator[tuple[Namespace, str, str, SnapshotUsage]]:
    """Iterate over the usage of all snapshots; those removed meanwhile are skipped."""
    for namespace, name, info in database.read(
        lambda _: list(_walk(session, database, snapshotter))
    ):
        if name in database.snapshot_backends:
            snapshots = namespace.snapshots(name)
            with suppress(NotFoundError):
                try:
                    yield namespace, name, info.name, snapshots.usage(info.name)
                except DataLossError as error:
                    snapshots.stat(info.name)  # which raises where it is gone
                    if not snapshots.fault(info.name):
                        raise
                    session.output.say(str(error))


@app.command()
def label(
    context: Context,
    key: str,
    labels: Annotated[list[str], Argument(help="key=value; key= removes one.")],
    snapshotter: Snapshotter = None,
) -> None:
    """Set or remove labels of a snapshot."""
    session = session_of(context)
    session.require_root("labelling a snapshot")
    wanted = arguments.labels(labels)
    with session.writing() as database:
        info = _store(session, database, snapshotter).update(
            SnapshotInfo(kind=SnapshotKind.UNKNOWN, name=key, labels=wanted),
            [f"labels.{name}" for name in wanted],
        )
    session.output.document(as_json(info), [labels_cell(info.labels)])


@app.command()
def rm(
    context: Context,
    keys: Annotated[list[str], Argument(help="The snapshots, children first.")],
    snapshotter: Snapshotter = None,
) -> None:
    """Remove snapshots. Their files go with the next collection."""
    session = session_of(context)
    with session.writing() as database:
        store = _store(session, database, snapshotter)
        with database.update():
            for key in keys:
                store.remove(key)
    for key in keys:
        session.output.say(f"removed {key}")
