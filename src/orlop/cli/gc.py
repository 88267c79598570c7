"""`orlop gc`: plan and run collections, list what is set aside."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Annotated

from orlop.cli import arguments, journal
from orlop.cli.exit_codes import CORRUPT, DONE, NEGATIVE, exit_code
from orlop.cli.output import human_size, table
from orlop.cli.parser import Context, Group, Option
from orlop.cli.presentation import as_json, cell, faults_as_json, node_as_json
from orlop.cli.questions import LINK_COLUMNS, link_as_json, link_as_row
from orlop.cli.session import session_of
from orlop.errors import LostDatabaseError
from orlop.explain.questions import dangling_links
from orlop.explain.references import resolve_omission
from orlop.gc.node import ORPHAN, Node

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from orlop.cli.session import Session
    from orlop.gc.graph import Graph
    from orlop.gc.omissions import Omission
    from orlop.gc.plan import Plan, Removal, Statistics
    from orlop.gc.quarantine import SetAside

app = Group(help="The collector: it removes what nothing holds.")

_NANOSECONDS_A_MILLISECOND = 1_000_000


@app.command()
def plan(
    context: Context,
    now: Annotated[
        str | None, Option(metavar="TIME", help="As of when: 2026-01-31T12:00:00Z.")
    ] = None,
    without: Annotated[
        list[str] | None,
        Option(
            metavar="TYPE:KEY[#LABEL]",
            help="As if that record, or that label or field of it, were not there. Repeatable.",
        ),
    ] = None,
    verbose: Annotated[
        bool,
        Option("--verbose", "-v", help="Also show references to what does not exist."),
    ] = False,
) -> int:
    """Show the records and data that a collection would delete, why, and the bytes freed.

    Ends with 1 where a backend could not be read.
    """
    session = session_of(context)
    moment = arguments.moment(now)
    with session.reading() as database:
        graph = database.gc.mark().graph if without else None
        omitted = [] if graph is None else [_omission(session, graph, one) for one in without or ()]
        found = database.gc.plan(now=moment, without=omitted)
    shown = _Shown(found, session.namespace, is_verbose=verbose)
    for one in omitted:
        session.output.say(f"without {one}:")
    session.output.document(shown.as_json(), shown.lines())
    return _report_failures(
        session,
        found.failures,
        found.errors,
        "{name} could not be read, and is not in the plan: {failure}",
    )


def _report_failures(
    session: Session, failures: Mapping[str, str], errors: Mapping[str, Exception], text: str
) -> int:
    """Say which backends failed while all else was done; return the exit code.

    Raises:
        DataLossError, LostDatabaseError: one failed because its database is damaged or lost.
    """
    damaged = [error for error in errors.values() if exit_code(error) == CORRUPT]
    lost = [error for error in errors.values() if isinstance(error, LostDatabaseError)]
    worst = next(iter((*damaged, *lost)), None)
    for name, failure in failures.items():
        session.output.say(text.format(name=name, failure=failure))
    if worst is not None:
        raise worst
    return NEGATIVE if failures else DONE


def _omission(session: Session, graph: Graph, text: str) -> Omission:
    return resolve_omission(graph, text, namespace=session.namespace, preferred=session.target_name)


class _Shown:
    """A plan, or the part of it that is in one namespace."""

    def __init__(self, plan: Plan, namespace: str | None, *, is_verbose: bool) -> None:
        links = dangling_links(plan.marked, namespace=namespace) if is_verbose else ()
        self._dangling = list(links)
        self._is_verbose = is_verbose
        self._removals = [one for one in plan.nodes if namespace in {None, one.namespace}]
        self._freed_bytes = sum(one.bytes for one in self._removals)
        self._set_aside_bytes = sum(one.set_aside_bytes for one in self._removals)
        self._doubt = plan.doubt
        self._failures = dict(plan.failures)
        nodes = {item: one.node for one in self._removals for item in one.data}
        self._mounts = {
            nodes.get(item, Node(ORPHAN, "", item.key)): place
            for item, place in plan.mounts.items()
            if namespace is None or item in nodes
        }
        self._faults = {
            node: fault
            for node, fault in plan.faults.items()
            if namespace in {None, node.namespace}
        }
        self._kept = plan.kept
        if namespace is not None:
            marked = plan.marked
            self._kept = sum(
                node.namespace == namespace and marked.holds(node) for node in marked.graph.swept()
            )

    def as_json(self) -> dict[str, object]:
        dangling = [link_as_json(one) for one in self._dangling]
        return {
            "remove": [
                {
                    "type": removal.type,
                    "namespace": removal.namespace,
                    "key": removal.key,
                    "bytes": removal.bytes,
                    **self._eventual(removal),
                    "reason": removal.reason,
                }
                for removal in self._removals
            ],
            "kept": self._kept,
            "freed_bytes": self._freed_bytes,
            **self._reserve(),
            **faults_as_json(self._faults),
            **self._mounts_as_json(),
            **({"failures": self._failures} if self._failures else {}),
            **({"dangling": dangling} if self._is_verbose else {}),
        }

    def _mounts_as_json(self) -> dict[str, object]:
        if not self._mounts:
            return {}
        return {
            "mounts": [{**node_as_json(node), "mount": at} for node, at in self._mounts.items()]
        }

    def _reserve(self) -> dict[str, object]:
        """Return the notes on data that is set aside instead of deleted."""
        if self._doubt is None and not self._set_aside_bytes:
            return {}
        return {
            "doubt": self._doubt,
            "set_aside_bytes": self._set_aside_bytes,
            "eventually_freed_bytes": self._freed_bytes + self._set_aside_bytes,
        }

    def _eventual(self, removal: Removal) -> dict[str, object]:
        return (
            {"eventual_bytes": removal.bytes + removal.set_aside_bytes} if self._reserve() else {}
        )

    def lines(self) -> Iterator[str]:
        if self._removals:
            yield from table(
                ("TYPE", "NAMESPACE", "KEY", "FREES", "WHY"),
                [
                    (
                        removal.type,
                        cell(removal.namespace),
                        removal.key,
                        human_size(removal.bytes + removal.set_aside_bytes),
                        removal.reason,
                    )
                    for removal in self._removals
                ],
            )
        in_the_end = " in the end" if self._set_aside_bytes else ""
        yield (
            f"{len(self._removals)} would be removed, which frees "
            f"{human_size(self._freed_bytes + self._set_aside_bytes)}{in_the_end}; "
            f"{self._kept} are held"
        )
        if self._set_aside_bytes:
            yield (
                f"this run would free {human_size(self._freed_bytes)} of that; "
                "orlop gc run --release frees all"
            )
            yield f"{human_size(self._set_aside_bytes)} stay on disk, set aside"
        if self._doubt is not None:
            what = "that is not deleted" if self._set_aside_bytes else "no data is deleted"
            yield f"{what}, because {self._doubt}"
        for node, place in self._mounts.items():
            yield f"the data of {node} stays until {place} is unmounted"
        if self._faults:
            yield ""
            yield (
                "the data of these is missing, or of another size "
                "(orlop image import ARCHIVE --name NAME --unpack SNAPSHOTTER puts it back):"
            )
            yield from table(
                ("TYPE", "NAMESPACE", "KEY", "FAULT"),
                [
                    (node.type, node.namespace, node.key, fault)
                    for node, fault in self._faults.items()
                ],
            )
        if self._dangling:
            yield ""
            yield "references to what does not exist:"
            yield from table(LINK_COLUMNS, [link_as_row(one) for one in self._dangling])


@app.command()
def run(
    context: Context,
    *,
    release: Annotated[
        bool,
        Option("--release", help="Also delete data that is set aside (gc quarantine)."),
    ] = False,
    yes: Annotated[
        bool,
        Option("--yes", help="Confirm that much may go at once, in doubt or of what is set aside."),
    ] = False,
) -> int:
    """Collect garbage: delete unreachable records, and data that no record names."""
    session = session_of(context)
    with session.writing() as database:
        statistics = database.gc.run(release=release, confirmed=yes)
    document = {
        one.name: as_json(getattr(statistics, one.name)) for one in fields(statistics) if one.repr
    }
    session.output.document(document, _summary(statistics))
    return _report_failures(
        session,
        statistics.failures,
        statistics.errors,
        "{name}: {failure}; the next collection tries again",
    )


def _summary(statistics: Statistics) -> Iterator[str]:
    removed = ", ".join(f"{count} {kind}" for kind, count in statistics.removed.items() if count)
    yield f"removed: {removed or 'nothing'}; {statistics.kept} are held"
    yield (
        f"deleted on disk: {statistics.deleted}, which freed {human_size(statistics.freed_bytes)}"
    )
    if statistics.set_aside:
        yield (
            f"set aside on disk: {statistics.set_aside}, which take "
            f"{human_size(statistics.set_aside_bytes)} (orlop gc quarantine)"
        )
    yield f"updates waited {statistics.pause_nanoseconds / _NANOSECONDS_A_MILLISECOND:.1f} ms"


@app.command()
def quarantine(context: Context) -> None:
    """List data that no metadata names, and that stays because the metadata was in doubt."""
    session = session_of(context)
    with session.reading() as database:
        found = database.gc.quarantine()
    session.output.document({"set_aside": [one.as_json() for one in found]}, _listed(found))


def _listed(found: Sequence[SetAside]) -> Iterator[str]:
    if found:
        yield from table(
            ("KIND", "NAME", "SIZE", "SINCE", "WHY"),
            [
                (one.item.kind, one.item.key, human_size(one.bytes), str(one.since), one.why)
                for one in found
            ],
        )
    if not found:
        yield "nothing is set aside"
        return
    total = human_size(sum(one.bytes for one in found))
    yield f"{len(found)} are set aside, and take {total}; orlop gc run --release deletes them"


app.command("journal")(journal.journal)
