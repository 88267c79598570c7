"""Owners of files: the records that name the data at a path, and its fate in a collection.

A path below a mount is traced to the directories that the mount is made from.

Source: proc(5), /proc/PID/mountinfo; Documentation/filesystems/overlayfs.rst of Linux.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from orlop.errors import NotFoundError, OrlopError
from orlop.explain.disk_items import STRANGER, WASTE, DiskItem, owned_at
from orlop.gc.forecast import Forecast, Prospect
from orlop.gc.items import INGEST_ITEM, SNAPSHOT_ITEM
from orlop.gc.node import CONTAINER, Node
from orlop.storage.contract import CONTENT_BACKEND
from orlop.storage.mounts import read_mounts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orlop.database import Database
    from orlop.storage.mounts import Mount

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
        item: what lies there, or what the path lies in.
        nodes: the records that name it, in all namespaces.
        held: those of them that something holds.
        faults: those of them whose data is missing or of another size, and what is wrong.
        exists: whether there is anything at the path.
        mount: where a mount is that shows the path; empty: none but that of the root.
        forecast: what a collection would do with it; `None`: that depends on the records.
    """

    item: DiskItem
    nodes: tuple[Node, ...]
    held: frozenset[Node]
    faults: Mapping[Node, str] = field(default_factory=dict, compare=False)
    exists: bool = True
    mount: str = ""
    forecast: Forecast | None = None


def owner(database: Database, path: str, *, namespace: str | None = None) -> Owner:
    """Return the owner of the data at a path, or the forecast for unowned data.

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
    item, nodes, mount = _find(database, path)
    marked = database.gc.mark()
    if item.kind == BUNDLE:
        nodes = [one for one in (_container(item),) if one in marked.graph]
    shown = tuple(one for one in nodes if namespace in {None, one.namespace})
    return Owner(
        item=item,
        nodes=shown,
        held=frozenset(one for one in nodes if marked.holds(one)),
        faults=database.faults(shown) if item.is_data else {},
        exists=os.path.lexists(path),
        mount=mount,
        forecast=None if item.is_data and nodes else _forecast(database, item),
    )


def _find(database: Database, path: str) -> tuple[DiskItem, list[Node], str]:
    """Return the item at a path, the records that name it, and the mount that shows it."""
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


def _bundle(path: str) -> DiskItem | None:
    """Return the bundle of a task that a path lies in."""
    whole = Path(os.path.abspath(path))  # noqa: PTH100 (links must stay)
    parts = whole.parts
    for position, part in enumerate(parts):
        inside = parts[position + 1 : position + 1 + _BUNDLE_DEPTH]
        if part in _TASK_DIRECTORIES and len(inside) == _BUNDLE_DEPTH:
            top = Path(*parts[: position + 1 + _BUNDLE_DEPTH])
            return DiskItem(BUNDLE, "/".join(inside), name=inside[1], path=str(top))
    return None


def _container(bundle: DiskItem) -> Node:
    namespace, _, task = bundle.place.partition("/")
    return Node(CONTAINER, namespace, task)


def _forecast(database: Database, item: DiskItem) -> Forecast:
    """Return the forecast for an item that no record names."""
    if item.kind == BUNDLE:
        return Forecast(Prospect.UNTOUCHED, "it goes with its task")
    if not os.path.lexists(item.path):
        return Forecast(Prospect.ABSENT)
    if item.kind == WASTE:
        return database.gc.forecast_of_waste(CONTENT_BACKEND)
    if not item.is_data:
        reason = "the store knows no such file" if item.kind == STRANGER else ""
        return Forecast(Prospect.UNTOUCHED, reason)
    try:
        found = database.gc.forecast(item.snapshotter, item.is_unnamed_datum)
    except (OrlopError, OSError) as error:
        return Forecast(Prospect.UNKNOWN, str(error))
    return _forecast_of_unlisted(database, item) if found.prospect is Prospect.ABSENT else found


def _forecast_of_unlisted(database: Database, item: DiskItem) -> Forecast:
    """Return the forecast for a file or directory that its backend does not list."""
    if item.kind == SNAPSHOT_ITEM:
        return Forecast(Prospect.UNKNOWN, "it is just being made or removed")
    if item.kind == INGEST_ITEM:  # a part of one: its cleanup takes it away
        return database.gc.forecast_of_waste(CONTENT_BACKEND)
    return Forecast(Prospect.UNTOUCHED, "it is no plain file")


_OVERLAY: Final = "overlay"


def mount_of(path: str) -> tuple[Mount, tuple[str, ...]] | None:
    """Return the mount that shows a path, and the directories it is made from, the upper first.

    Returns:
        `None` where the system does not tell.
    """
    real = os.path.realpath(path)
    mounts = list(read_mounts())
    showing = [one for one in mounts if _is_below(real, one.point)]
    if not showing:
        return None
    # Of two at one place the later one is on top.
    mount = max(enumerate(showing), key=lambda one: (len(one[1].point), one[0]))[1]
    sources = _layers(mount) if mount.type == _OVERLAY else _bound(mount, mounts)
    return mount, tuple(sources)


def _layers(mount: Mount) -> Iterator[str]:
    """Iterate over the directories of an overlay."""
    options = re.split(r"(?<!\\),", mount.options)
    for name in ("upperdir=", "lowerdir="):
        for option in options:
            if option.startswith(name):
                for layer in re.split(r"(?<!\\):+", option.removeprefix(name)):
                    yield re.sub(r"\\(.)", r"\1", layer)


def _bound(mount: Mount, mounts: list[Mount]) -> Iterator[str]:
    """Iterate over other places where a bind mount's directory can be seen."""
    for other in mounts:
        is_other = other.device == mount.device and other.point != mount.point
        if is_other and _is_below(mount.root, other.root):
            inside = os.path.relpath(mount.root, other.root)
            yield os.path.normpath(os.path.join(other.point, inside))  # noqa: PTH118 (texts)


def _is_below(path: str, directory: str) -> bool:
    return directory in {"/", path} or path.startswith(f"{directory}/")
