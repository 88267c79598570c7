"""`orlop db`, on the pages of the file: pages, stats, compact, diff, salvage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from orlop import maintenance
from orlop.cli.exit_codes import NEGATIVE
from orlop.cli.output import human_size, printable
from orlop.cli.parser import Argument, Context, Group, Option
from orlop.cli.presentation import as_json
from orlop.cli.session import session_of
from orlop.database import Database
from orlop.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError
from orlop.maintenance.decoding import decoded, readable
from orlop.opening import refusals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.kv import Transaction
    from orlop.maintenance import Difference, Loss, Page, Salvaged, Statistics

app = Group()

File = Annotated[
    Path | None,
    Argument(help="The file, in place of --root or --db."),
]


@app.command()
def pages(
    context: Context,
    file: File = None,
    page: Annotated[int | None, Option(minimum=0, help="Only this one.")] = None,
) -> None:
    """Show the type of each page of the file, and the bucket it belongs to."""
    session = session_of(context)
    path = file or session.metadata_file
    with session.output.spooled() as output, refusals(path):

        def show(found: Iterator[Page]) -> int:
            output.begin_again()
            count = 0
            for one in found:
                if page in (None, one.id):
                    count += 1
                    output.document(_page_as_json(one), [_described(one)])
            return count

        if not maintenance.walk_pages(path, show):
            raise NotFoundError(f"page {page} in {path}")


def _names(path: tuple[bytes, ...]) -> list[str]:
    return [readable(name) for name in path]


def _joined(path: tuple[bytes, ...]) -> str:
    return "/".join(_names(path)) or "/"


def _page_as_json(page: Page) -> dict[str, object]:
    return {
        "page": page.id,
        "kind": page.kind,
        "elements": page.elements,
        "used_bytes": page.used_bytes,
        "span": page.span,
        "depth": page.depth,
        "buckets": _names(page.bucket_path),
    }


def _described(page: Page) -> str:
    text = f"{page.id:>8} {page.kind}"
    if page.elements:
        text += f", {page.elements} elements, {page.used_bytes} bytes"
    return f"{text}, in {_joined(page.bucket_path)}" if page.depth else text


@app.command()
def stats(context: Context, file: File = None) -> None:
    """Count the pages and records of the file, and the bytes that compaction would save."""
    session = session_of(context)
    path = file or session.metadata_file
    with refusals(path):
        found = maintenance.statistics(path)
    session.output.document(_stats_as_json(found), _stats_as_text(found))


def _stats_as_json(found: Statistics) -> dict[str, object]:
    plain = replace(found, largest=[], sizes={})
    return {
        **_fields(plain),
        "largest": [{"bytes": one.size, "path": _names(one.path)} for one in found.largest],
        "sizes": [{"buckets": _names(path), **_fields(size)} for path, size in found.sizes.items()],
    }


def _stats_as_text(found: Statistics) -> Iterator[str]:
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(found.pages.items()))
    yield f"file: {human_size(found.file_bytes)}, pages of {found.page_size} bytes: {kinds}"
    yield (
        f"used: {human_size(found.used_bytes)} of {human_size(found.node_bytes)} on branches and "
        f"leaves ({found.fill:.0%})"
    )
    yield (
        f"free: {human_size(found.free_bytes)}; of that, the version before still needs "
        f"{human_size(found.pending_bytes)}"
    )
    yield f"compaction would save about {human_size(found.compaction_saves)}"
    yield (
        f"values: {found.keys}; buckets: {found.buckets} with pages of their own, "
        f"{found.inline_buckets} inline, nested {found.nesting} deep; "
        f"deepest tree: {found.depth} levels"
    )
    for path, size in found.sizes.items():
        yield (
            f"{_joined(path)}: {human_size(size.used_bytes)} on {size.pages} pages, "
            f"{size.keys} values"
        )
    for one in found.largest:
        yield f"large: {human_size(one.size)} at {_joined(one.path)}"


@app.command()
def compact(
    context: Context,
    file: File = None,
    output: Annotated[
        Path | None, Option(help="Write there. [default: in the place of the file]")
    ] = None,
) -> None:
    """Write the file anew without its free pages. Needs the lock."""
    session = session_of(context)
    path = file or session.metadata_file
    if output is not None:
        require_new(output)
    with refusals(path):
        done = maintenance.compact(path, output=output, timeout=session.timeout)
    session.output.document(
        {"path": str(output or path), **_fields(done)},
        [f"{output or path}: {human_size(done.before)} to {human_size(done.after)}"],
    )


def require_new(path: Path) -> None:
    """Refuse a name that is taken, be it by a link that leads nowhere.

    Raises:
        AlreadyExistsError: it is.
        InvalidArgumentError: it is among the data of a root.
    """
    if any(_is_of_backend(one) for one in path.resolve().parents):
        raise InvalidArgumentError(
            f"{path} would lie among the blobs or snapshots of a root; name a file elsewhere"
        )
    if path.is_symlink() and not path.exists():
        raise AlreadyExistsError(f"{path}, a link that leads nowhere; name a new file")
    if path.exists():
        raise AlreadyExistsError(f"{path}; name a new file")


def _is_of_backend(directory: Path) -> bool:
    """Whether this is a directory in which a root keeps blobs or the files of snapshots."""
    return directory.name == "io.containerd.content.v1.content" or (
        directory.name == "snapshots"
        and directory.parent.name.startswith("io.containerd.snapshotter.v1.")
    )


def _fields(record: object) -> dict[str, object]:
    shown = as_json(record)
    return shown if isinstance(shown, dict) else {}


@app.command()
def diff(context: Context, before: Path, after: Path) -> int:
    """Show the differences of two files, by bucket and key. Ends with 1 if there are any."""
    session = session_of(context)
    with (
        session.output.spooled() as output,
        Database.open_file(before, read_only=True) as one,
        Database.open_file(after, read_only=True) as other,
    ):

        def show(earlier: Transaction, later: Transaction) -> int:
            output.begin_again()
            count = 0
            for difference in maintenance.diff(earlier, later):
                count += 1
                output.document(_difference_as_json(difference), [_difference_text(difference)])
            return count

        count = one.read(lambda earlier: other.read(lambda later: show(earlier, later)))
    return NEGATIVE if count else 0


def _values(difference: Difference) -> tuple[str | int | None, str | int | None]:
    path = difference.path

    def shown(value: bytes | int | None) -> str | int | None:
        return decoded(path, value) if isinstance(value, bytes) else value

    return shown(difference.before), shown(difference.after)


def _difference_as_json(difference: Difference) -> dict[str, object]:
    before, after = _values(difference)
    return {
        "kind": difference.kind.value,
        "path": _names(difference.path),
        "before": before,
        "after": after,
    }


def _difference_text(difference: Difference) -> str:
    place = _joined(difference.path)
    before, after = _values(difference)
    if before is None and after is None:
        return printable(f"{difference.kind.value} {place}/")
    change = " -> ".join(str(each) for each in (before, after) if each is not None)
    return printable(f"{difference.kind.value} {place} {change}")


@app.command()
def salvage(
    context: Context,
    file: Annotated[Path, Argument(help="The damaged file. It is never written.")],
    target: Annotated[Path, Argument(help="The new file; it must not exist.")],
) -> int:
    """Copy all readable records of a damaged file to a new one, and list the lost ones.

    Ends with 1 where something is.
    """
    session = session_of(context)
    require_new(target)
    with refusals(file):
        report = maintenance.salvage(file, target)
    session.output.document(_salvaged_as_json(report, target), _salvaged_text(report, target))
    if report.writers:
        names = ", ".join(f"process {number} ({name})" for number, name in report.writers)
        session.output.say(
            f"{file} is open for writing in {names}: what was salvaged may be of several versions; "
            "end that process and salvage again"
        )
    return 0 if report.is_lossless else NEGATIVE


def _salvaged_as_json(report: Salvaged, target: Path) -> dict[str, object]:
    return {
        "path": str(target),
        "transaction": report.transaction,
        "whole": report.is_whole,
        "entries": report.entries,
        "older_entries": report.older_entries,
        "lost": [
            {
                "page": loss.page,
                "buckets": _names(loss.bucket_path),
                "from": None if loss.least is None else readable(loss.least),
                "below": None if loss.below is None else readable(loss.below),
                "is_record": loss.is_of_record,
                "why": loss.why,
            }
            for loss in report.losses
        ],
        "untold": report.untold,
        "writers": [{"process": number, "command": name} for number, name in report.writers],
        "recovered": [
            {"page": leaf.page, "buckets": _names(leaf.bucket_path), "entries": leaf.entries}
            for leaf in report.recovered
        ],
    }


def _salvaged_text(report: Salvaged, target: Path) -> Iterator[str]:
    if report.is_whole:
        yield (
            f"{target}: all of transaction {report.transaction}, whose tree is sound "
            f"({report.entries} entries)"
        )
    else:
        yield f"{target}: {report.entries} entries from pages that can be reached"
    if report.older_entries:
        yield f"recovered: {report.older_entries} entries from the version before"
    for loss in report.losses:
        yield f"lost: {_loss_text(loss)}"
    if report.untold:
        yield f"lost: and {report.untold} more"
    for leaf in report.recovered:
        yield (
            f"recovered: {leaf.entries} entries of page {leaf.page} into "
            f"{_joined(leaf.bucket_path)}; they may be older than the last commit"
        )


def _loss_text(loss: Loss) -> str:
    gap = "".join(
        f", {word} {readable(key)}"
        for word, key in (("from", loss.least), ("below", loss.below))
        if key is not None
    )
    if loss.is_of_record and loss.bucket is None:
        return loss.why
    what = "a record on page" if loss.is_of_record else "page"
    return f"{what} {loss.page} of {_joined(loss.bucket_path)}{gap}: {loss.why}"
