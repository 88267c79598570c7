"""`orlop why`, `roots`, `referrers` and `owner`: references, and owners of files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from orlop.cli import arguments
from orlop.cli.exit_codes import DONE, NEGATIVE
from orlop.cli.parser import Argument, Context, Group, Option
from orlop.cli.presentation import as_json, cell, fault_of, node_as_json, time_cell
from orlop.cli.session import session_of
from orlop.explain import owners
from orlop.explain import questions as answers
from orlop.explain import questions as referring
from orlop.explain import questions as rooted
from orlop.explain.disk_items import STORE, STRANGER, WASTE
from orlop.explain.owners import BUNDLE
from orlop.gc.explain.links import Standing
from orlop.gc.explain.reasons import describe_path
from orlop.gc.forecast import Prospect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.explain.owners import Owner
    from orlop.explain.questions import Answer, RootRecord
    from orlop.gc.explain.links import Link
    from orlop.gc.explain.paths import HoldingPath

app = Group()

_PATHS: Final = 100
"""So many paths are shown to people, unless they ask for more."""

_KINDS: Final = {
    WASTE: "half removed or half written data of the content store, {place}",
    STORE: "a part of the store itself",
    STRANGER: "nothing of the store that it lies in",
    BUNDLE: "the bundle of task {place}",
}
_PROSPECTS: Final = {
    Prospect.REMOVED: "the next collection removes it",
    Prospect.SET_ASIDE: "collections set it aside until it is released (gc run --release)",
    Prospect.MOUNTED: "no collection removes it before that is unmounted",
    Prospect.SUPPORTING: "no collection removes it while other snapshots stand on it",
    Prospect.UNTOUCHED: "no collection removes it",
    Prospect.ABSENT: "nothing is there",
    Prospect.UNKNOWN: "whether a collection removes it is not known",
}

_STANDINGS: Final = {Standing.UNREACHABLE: "loose"}
"""What a standing is called in JSON where that is not its name: programs know it so."""

LINK_COLUMNS: Final = ("TYPE", "NAMESPACE", "KEY", "BY", "REFERS TO", "AND")

Reference = Annotated[
    str,
    Argument(
        metavar="REF",
        help="An image's name, a digest or its beginning, a snapshot's key, a lease, an ingest, "
        "a container, a sandbox; TYPE:NAME; or a path in the content store or in a snapshot.",
    ),
]
Now = Annotated[str | None, Option(metavar="TIME", help="As of when: 2026-01-31T12:00:00Z.")]


@app.command()
def why(
    context: Context,
    reference: Reference,
    now: Now = None,
    limit: Annotated[
        int | None,
        Option(
            minimum=0,
            help="How many paths to show, at most; 0: all. [default: 100; all with --json]",
        ),
    ] = None,
) -> int:
    """Show the references that keep a record, or why none does. Ends with 1 if none does."""
    session = session_of(context)
    default = 0 if session.output.as_json else _PATHS
    paths = default if limit is None else limit
    with session.reading() as database:
        found = answers.why(
            database,
            reference,
            namespace=session.namespace,
            now=arguments.moment(now),
            limit=paths or None,
        )
    for answer in found:
        session.output.document(_answer_as_json(answer), _answer_lines(answer))
    return DONE if any(answer.is_held for answer in found) else NEGATIVE


@app.command()
def roots(
    context: Context,
    now: Now = None,
    dangling: Annotated[
        bool,
        Option("--dangling", help="Show the references to what does not exist instead."),
    ] = False,
) -> None:
    """List root nodes: leases, images, ingests, containers, sandboxes, labelled blobs."""
    session = session_of(context)
    output = session.output
    with session.reading() as database:
        marked = database.gc.mark(now=arguments.moment(now))
    links = list(rooted.dangling_links(marked, namespace=session.namespace))
    if dangling:
        output.listing(LINK_COLUMNS, links, as_value=link_as_json, as_row=link_as_row)
        return
    output.listing(
        ("TYPE", "NAMESPACE", "KEY", "BECAUSE", "UNTIL", "REFERS TO"),
        list(rooted.roots(marked, namespace=session.namespace)),
        as_value=_root_as_json,
        as_row=_root_as_row,
    )
    if links:
        output.say(f"{len(links)} references lead to what does not exist: orlop roots --dangling")


@app.command()
def referrers(context: Context, reference: Reference, now: Now = None) -> int:
    """List the records that refer to a record, also in vain. Ends with 1 if none does."""
    session = session_of(context)
    with session.reading() as database:
        found = referring.referrers(
            database, reference, namespace=session.namespace, now=arguments.moment(now)
        )
    session.output.listing(LINK_COLUMNS, found, as_value=link_as_json, as_row=link_as_row)
    return DONE if found else NEGATIVE


@app.command()
def owner(
    context: Context,
    path: Annotated[
        str,
        Argument(metavar="PATH", help="A path in a store, a mount or a task's bundle."),
    ],
) -> int:
    """Show the records that name the data at a path. Ends with 1 if none does."""
    session = session_of(context)
    with session.reading() as database:
        found = owners.owner(database, path, namespace=session.namespace)
    session.output.document(_owner_as_json(found, path), _owner_lines(found, path))
    return DONE if found.nodes else NEGATIVE


def link_as_json(link: Link) -> dict[str, object]:
    """Return a link in JSON's types: source, label or field, target, and its effect."""
    return {
        "node": node_as_json(link.source),
        "edge": link.edge,
        "target": node_as_json(link.target),
        "holds": link.standing is Standing.HOLDS,
        "standing": _STANDINGS.get(link.standing) or link.standing.name.lower(),
        "label_of_target": link.is_back,
    }


def link_as_row(link: Link) -> tuple[str, ...]:
    """Return a link as a row under `LINK_COLUMNS`."""
    source, target = link.source, link.target
    return (
        source.type,
        cell(source.namespace),
        source.key,
        f"{link.edge} (its own)" if link.is_back else link.edge,
        f"{target.type} {target.key}",
        link.standing.value,
    )


def _path_as_json(path: HoldingPath) -> list[dict[str, object]]:
    return [
        {"node": node_as_json(step.node), "edge": step.edge, "flat": step.node.is_flat}
        for step in path
    ]


def _answer_as_json(answer: Answer) -> dict[str, object]:
    value: dict[str, object] = {
        "node": node_as_json(answer.node),
        "exists": answer.exists,
        "held": answer.is_held,
        "paths": [_path_as_json(path) for path in answer.paths],
    }
    if answer.is_held:
        return {**value, "complete": answer.is_complete}
    would_hold = [
        {"path": _path_as_json(one.path), "reason": one.reason} for one in answer.broken_paths
    ]
    since = None if answer.removal is None else as_json(answer.removal.at)
    return {**value, "reason": answer.reason, "would_hold": would_hold, "since": since}


def _answer_lines(answer: Answer) -> Iterator[str]:
    missing = "" if answer.exists or answer.node.type == "orphan" else ", which does not exist,"
    if answer.is_held:
        yield f"{answer.node}{missing} is held:"
        for path in answer.paths:
            yield f"  {describe_path(path)}"
        if not answer.is_complete:
            yield "  and by more: --limit 0 shows all"
        return
    yield f"nothing holds {answer.node}{missing.removesuffix(',')}: {answer.reason}"
    if answer.removal is not None:
        removed = answer.removal
        yield f"  a collection removed it at {time_cell(removed.at)}, because {removed.reason}"
    for broken in answer.broken_paths[:_PATHS]:
        yield f"  {describe_path(broken.path)}: {broken.reason}"


def _root_as_json(root: RootRecord) -> dict[str, object]:
    return {
        **node_as_json(root.node),
        "rule": root.rule,
        "expires_at": as_json(root.expires_at),
        "references": root.references,
    }


def _root_as_row(root: RootRecord) -> tuple[str, ...]:
    node = root.node
    return (
        node.type,
        cell(node.namespace),
        node.key,
        root.rule,
        time_cell(root.expires_at),
        str(root.references),
    )


def _owner_as_json(found: Owner, path: str) -> dict[str, object]:
    piece = found.item
    document: dict[str, object] = {
        "path": path,
        "kind": piece.kind,
        "place": piece.place,
        "snapshotter": piece.snapshotter,
        "name": piece.name,
        "owners": [
            {**node_as_json(one), "held": one in found.held, **fault_of(found.faults.get(one))[0]}
            for one in found.nodes
        ],
    }
    if not found.exists:
        document["exists"] = False
    if found.mount:
        document["mount"] = found.mount
    if found.forecast is not None:
        document["forecast"] = found.forecast.prospect.value
        if found.forecast.reason:
            document["reason"] = found.forecast.reason
    return document


def _owner_lines(found: Owner, path: str) -> Iterator[str]:
    piece = found.item
    place = f"{piece.snapshotter}/{piece.place}" if piece.snapshotter else piece.place
    known = f' ("{piece.name}")' if piece.name not in {"", piece.place} else ""
    kind = _KINDS.get(piece.kind, f"{piece.kind} {place}{known}").format(place=place)
    yield f"{path} is {kind}, and belongs to"
    for node in found.nodes:
        fault = found.faults.get(node)
        held = "is held" if node in found.held else "nothing holds"
        yield f"  {node}, which {held}" + (f"; its data is faulty: {fault}" if fault else "")
    if found.forecast is not None:
        reason = f" ({found.forecast.reason})" if found.forecast.reason else ""
        who = "" if found.nodes else "no record: "
        yield f"  {who}{_PROSPECTS[found.forecast.prospect]}{reason}"
    elif not found.nodes:
        yield "  no record of this namespace"
    if found.mount:
        yield f"  it is seen through the mount at {found.mount}"
    is_said = found.forecast is not None and found.forecast.prospect is Prospect.ABSENT
    if not found.exists and not is_said:
        yield "  nothing is at this path"
