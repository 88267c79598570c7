"""References on a command line, and the records that they mean.

In this order: the exact name of a record, or of one that others only refer to, with or without
its type before it (`image:NAME`); a path on disk; the beginning of a digest, or of the id of a
container or a sandbox; the end of an image's name.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from orlop import digests
from orlop.errors import InvalidArgumentError, NotFoundError
from orlop.explain.disk_items import owned_at
from orlop.gc.node import (
    BUILT_IN,
    CONTAINER,
    CONTENT,
    IMAGE,
    ORPHAN,
    SANDBOX,
    SNAPSHOT,
    Node,
    split_snapshot,
)
from orlop.gc.omissions import Omission
from orlop.schema import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orlop.database import Database
    from orlop.gc.graph import Graph

SHORTEST: Final = 4
"""So many characters of a digest without its algorithm, or of an id, must be given."""

_SHOWN: Final = 8
_TYPES: Final = BUILT_IN - {ORPHAN}
_ABBREVIATED: Final = frozenset({CONTENT, SNAPSHOT, CONTAINER, SANDBOX})


def resolve(
    database: Database, graph: Graph, text: str, *, namespace: str | None = None
) -> list[Node]:
    """Return the nodes that a text means, in the order of the graph.

    Several of them bear the same name: in other namespaces, with other snapshotters, or as
    another type. Data on disk that no metadata names is an orphan.

    Args:
        database: for paths on disk.
        graph: what there is.
        text: a reference.
        namespace: where to look; `None`: everywhere.

    Raises:
        NotFoundError: it means nothing.
        InvalidArgumentError: it is the beginning, or the end, of several names.
        UnavailableError, DataLossError: a snapshotter's database could not be read.
    """
    found = [one for one in _exact(graph, text) if namespace in {None, one.namespace}]
    if found:
        return [node for node in found if node in graph] or found
    found = _on_disk(database, graph, text, namespace)
    if found:
        return found
    found = [one for one in _abbreviated(graph, text) if namespace in {None, one.namespace}]
    if not found:
        raise _unknown(text, namespace)
    if len({bare_key(node) for node in found}) > 1:
        raise _ambiguous(text, found)
    return found


def resolve_omission(
    graph: Graph, text: str, *, namespace: str | None = None, preferred: str = ""
) -> Omission:
    """Return the omission from a plan that `TYPE:KEY` or `TYPE:KEY#LABEL` means.

    Args:
        graph: what there is.
        text: the type of a record, a colon, and its name as `resolve` takes it; after a `#`
            one of its labels or fields. Names may have such characters themselves: the longest
            name that exists is taken.
        namespace: where to look; `None`: everywhere.
        preferred: the namespace that is meant where several have such a record.

    Raises:
        NotFoundError: there is no such record.
        InvalidArgumentError: there are several, or there is no such type.
    """
    if _split(text) is None:
        types = ", ".join(sorted(_TYPES))
        raise InvalidArgumentError(f'"{text}": write it as TYPE:KEY, with one of the types {types}')
    for key, edge in _cuts(text):
        kind = key.partition(":")[0]
        found = _records(graph, _exact(graph, key.partition(":")[2]), kind, namespace)
        found = found or _records(graph, _abbreviated(graph, key), kind, namespace)
        nearest = [node for node in found if node.namespace == preferred] or found
        if len(nearest) > 1:
            raise _ambiguous(key, nearest)
        if nearest:
            return Omission(nearest[0], edge)
    raise _unknown(text, namespace)


def _records(graph: Graph, nodes: Iterable[Node], kind: str, namespace: str | None) -> list[Node]:
    """Return the nodes that are records of a type, and in a namespace."""
    return [
        node
        for node in nodes
        if node in graph and node.type == kind and namespace in {None, node.namespace}
    ]


def _cuts(text: str) -> Iterator[tuple[str, str]]:
    """Iterate over how a text may be a name and a label, the longest name first."""
    yield text, ""
    end = text.rfind("#")
    while end > 0:
        yield text[:end], text[end + 1 :]
        end = text.rfind("#", 0, end)


def _unknown(text: str, namespace: str | None) -> NotFoundError:
    where = "any namespace" if namespace is None else f'namespace "{namespace}"'
    return NotFoundError(
        f'"{text}" in {where}',
        hint="a reference is a whole name or key, the beginning of a digest or an id, or the end "
        "of an image's name from behind a /, with or without its tag",
    )


def _ambiguous(text: str, found: Iterable[Node]) -> InvalidArgumentError:
    candidates = sorted({f"{one.type}:{one.key} in {one.namespace}" for one in found})
    more = f", and {len(candidates) - _SHOWN} more" if len(candidates) > _SHOWN else ""
    return InvalidArgumentError(f'"{text}" is ambiguous: {", ".join(candidates[:_SHOWN])}{more}')


def bare_key(node: Node) -> str:
    """Return the key of a node, for a snapshot without its snapshotter."""
    return split_snapshot(node.key)[1] if node.type == SNAPSHOT else node.key


def _split(text: str) -> tuple[str, str] | None:
    """Return type and key of a reference with a type."""
    kind, colon, key = text.partition(":")
    return (kind, key) if colon and kind in _TYPES else None


def _exact(graph: Graph, text: str) -> list[Node]:
    """Return the records, and the names that records refer to, that have a key or `TYPE:KEY`."""
    found = list(graph.ids.with_key(text))
    typed = _split(text)
    if typed is not None:
        kind, key = typed
        found += [one for one in graph.ids.with_key(key) if graph.ids.type_of(one) == kind]
    return [graph.node(one) for one in graph.in_scan_order(dict.fromkeys(found))]


def _on_disk(database: Database, graph: Graph, text: str, namespace: str | None) -> list[Node]:
    if "\0" in text or not (text.startswith((os.sep, ".")) or os.path.lexists(text)):
        return []
    owned = owned_at(database, text)
    if owned is None:
        return []
    item, nodes = owned
    if not item.is_data:
        return []
    if not nodes:
        return [Node(ORPHAN, "", item.key)]
    return [
        node
        for node in nodes
        if namespace in {None, node.namespace} and graph.find(node) is not None
    ]


def _abbreviated(graph: Graph, text: str) -> list[Node]:
    """Return the records with a name that begins or, for images, ends with a text."""
    # Whatever matches has the last part of the text in its key: that leaves few to look at.
    part = text.rpartition("/")[2].rpartition(":")[2]
    found = graph.ids.containing(names.to_bytes(part))
    records = [graph.node(one) for one in graph.in_scan_order(found) if graph.exists(one)]
    typed = _split(text)
    if typed is not None:
        kind, key = typed
        return [one for one in records if one.type == kind and _begins(one, key, shortest=1)] or [
            one for one in records if one.type == kind == IMAGE and _ends(one, key)
        ]
    return [
        one
        for one in records
        if (one.type in _ABBREVIATED and _begins(one, text, shortest=SHORTEST))
        or (one.type == IMAGE and _ends(one, text))
    ]


def _begins(node: Node, text: str, *, shortest: int) -> bool:
    key = bare_key(node)
    algorithm, colon, _ = key.partition(":")
    if node.type in {CONTENT, SNAPSHOT} and colon:
        if digests.begins_with(key, text, shortest=shortest):
            return True
        if text.rpartition(":")[0] == algorithm:
            return False
    whole = node.key if "/" in text else key
    return len(text) >= shortest and (key.startswith(text) or whole.startswith(text))


def _ends(image: Node, text: str) -> bool:
    """Whether a text is the short name of an image: `busybox` for `…/library/busybox:1.36`."""
    if not text:
        return False
    place, slash, name = f"/{image.key}".rpartition("/")
    repository = f"{place}{slash}{name.partition(':')[0]}"
    return f"/{image.key}".endswith(f"/{text}") or repository.endswith(f"/{text}")
