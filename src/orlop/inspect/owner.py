"""The owner of a file: the records that name its data, and what a collection does to it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from orlop.errors import NotFoundError, OrlopError
from orlop.gc.dirty_backends import CONTENT_BACKEND
from orlop.gc.forecast import Forecast, Prospect
from orlop.gc.items import INGEST_ITEM, SNAPSHOT_ITEM
from orlop.gc.node import CONTAINER, Node
from orlop.inspect.disk import STRANGER, WASTE, Piece, owned_at
from orlop.inspect.mount_table import mount_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orlop.database import Database

BUNDLE: Final = "bundle"
"""The kind of a task's directory, which containerd makes and removes with the task."""

_TASK_DIRECTORIES: Final = frozenset(
    {"io.containerd.runtime.v2.task", "io.containerd.runtime.v1.linux"}
)
_BUNDLE_DEPTH: Final = 2
"""The namespace and the id of a task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The owner of the data at a path.

    Attributes:
        piece: what lies there, or what the path lies in.
        nodes: the records that name it, in all namespaces.
        held: those of them that something holds.
        faults: those of them whose data is missing or of another size, and what is wrong.
        exists: whether there is anything at the path.
        mount: where a mount is that shows the path; empty: none but that of the root.
        forecast: what a collection would do with it; `None`: that depends on the records.
    """

    piece: Piece
    nodes: tuple[Node, ...]
    held: frozenset[Node]
    faults: Mapping[Node, str] = field(default_factory=dict, compare=False)
    exists: bool = True
    mount: str = ""
    forecast: Forecast | None = None


def owner(database: Database, path: str, *, namespace: str | None = None) -> Owner:
    """Return the owner of the data at a path, and what a collection does where it has none.

    That may be a blob, an ingest, a file below a snapshot or seen through a mount of one, the
    bundle of a task, and whatever else lies in the stores.

    Args:
        database: it may be open for reading only.
        path: absolute, or relative to the working directory; it need not exist.
        namespace: where to look for owners; `None`: everywhere.

    Raises:
        NotFoundError: the path leads to none of these.
        UnavailableError: a file changes all the time.
        DataLossError: a file is damaged.
    """
    piece, nodes, mount = _find(database, path)
    marked = database.gc.mark()
    if piece.kind == BUNDLE:
        nodes = [one for one in (_container(piece),) if one in marked.graph]
    shown = tuple(one for one in nodes if namespace in {None, one.namespace})
    return Owner(
        piece=piece,
        nodes=shown,
        held=frozenset(one for one in nodes if marked.holds(one)),
        faults=database.faults(shown) if piece.is_data else {},
        exists=os.path.lexists(path),
        mount=mount,
        forecast=None if piece.is_data and nodes else _forecast(database, piece),
    )


def _find(database: Database, path: str) -> tuple[Piece, list[Node], str]:
    """Return what lies at a path, the records that name it, and the mount that shows it."""
    found = owned_at(database, path)
    shown = mount_of(path)
    if found is not None:
        point = "" if shown is None else shown[0].point
        top = os.path.realpath(found[0].path)
        is_inside = point == top or point.startswith(f"{top}/")
        return *found, point if is_inside else ""
    if shown is not None:
        mount, sources = shown
        for source in sources:
            found = owned_at(database, source)
            if found is not None and found[0].is_data:
                return *found, mount.point
    bundle = _bundle(path)
    if bundle is None:
        absent = "" if os.path.lexists(path) else " (nothing is there)"
        raise NotFoundError(f'"{path}" as a blob, an ingest or a snapshot of this root{absent}')
    return bundle, [], ""


def _bundle(path: str) -> Piece | None:
    """Return the bundle of a task that a path lies in."""
    whole = Path(os.path.abspath(path))  # noqa: PTH100 (links must stay)
    parts = whole.parts
    for position, part in enumerate(parts):
        inside = parts[position + 1 : position + 1 + _BUNDLE_DEPTH]
        if part in _TASK_DIRECTORIES and len(inside) == _BUNDLE_DEPTH:
            top = Path(*parts[: position + 1 + _BUNDLE_DEPTH])
            return Piece(BUNDLE, "/".join(inside), name=inside[1], path=str(top))
    return None


def _container(bundle: Piece) -> Node:
    namespace, _, task = bundle.place.partition("/")
    return Node(CONTAINER, namespace, task)


def _forecast(database: Database, piece: Piece) -> Forecast:
    """Return what a collection would do with what no record names."""
    if piece.kind == BUNDLE:
        return Forecast(Prospect.UNTOUCHED, "it goes with its task")
    if not os.path.lexists(piece.path):
        return Forecast(Prospect.ABSENT)
    if piece.kind == WASTE:
        return database.gc.forecast_of_waste(CONTENT_BACKEND)
    if not piece.is_data:
        reason = "the store knows no such file" if piece.kind == STRANGER else ""
        return Forecast(Prospect.UNTOUCHED, reason)
    try:
        found = database.gc.forecast(piece.snapshotter, piece.is_unnamed_datum)
    except (OrlopError, OSError) as error:
        return Forecast(Prospect.UNKNOWN, str(error))
    return _forecast_of_unlisted(database, piece) if found.prospect is Prospect.ABSENT else found


def _forecast_of_unlisted(database: Database, piece: Piece) -> Forecast:
    """Return what becomes of something in the place of data that its backend does not list."""
    if piece.kind == SNAPSHOT_ITEM:
        return Forecast(Prospect.UNKNOWN, "it is just being made or removed")
    if piece.kind == INGEST_ITEM:  # a part of one: its cleanup takes it away
        return database.gc.forecast_of_waste(CONTENT_BACKEND)
    return Forecast(Prospect.UNTOUCHED, "it is no plain file")
