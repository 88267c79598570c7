"""The owner of a file: the records that name the data at a path on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orlop.inspect.disk import owned_at
from orlop.model.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orlop.collect.node import Node
    from orlop.database import Database
    from orlop.inspect.disk import Piece


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The owner of the data at a path.

    Attributes:
        piece: what lies there, or what the path lies in.
        nodes: the records that name it, in all namespaces.
        held: those of them that something holds.
        faults: those of them whose data is missing or of another size, and what is wrong.
    """

    piece: Piece
    nodes: tuple[Node, ...]
    held: frozenset[Node]
    faults: Mapping[Node, str] = field(default_factory=dict, compare=False)


def owner(database: Database, path: str, *, namespace: str | None = None) -> Owner:
    """Return the owner of the data at a path: a blob, an ingest, or a file below a snapshot.

    Args:
        database: it may be open for reading only.
        path: absolute, or relative to the working directory; it need not exist.
        namespace: where to look for owners; `None`: everywhere.

    Raises:
        NotFoundError: the path leads to none of these.
        UnavailableError: a file changes all the time.
        DataLossError: a file is damaged.
    """
    found = owned_at(database, path)
    if found is None:
        raise NotFoundError(f'"{path}" as a blob, an ingest or a snapshot of this root')
    piece, nodes = found
    marked = database.gc.mark()
    shown = tuple(one for one in nodes if namespace in {None, one.namespace})
    return Owner(
        piece=piece,
        nodes=shown,
        held=frozenset(one for one in nodes if marked.holds(one)),
        faults=database.faults(shown),
    )
