"""Shows how far long work is: bars on a terminal, a line for each finished piece elsewhere."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orlop.cli.output import human_size, is_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from orlop.cli.output import Output
    from orlop.oci.progress import Progress, Work

_DIGEST_SHOWN = 19


@contextmanager
def showing(output: Output) -> Iterator[Progress]:
    """Show the progress of a block on stderr: a bar on a terminal, else lines."""
    if not output.is_quiet and is_terminal(sys.stderr):
        with _bars() as bars:
            yield _OnTerminal(bars)
    elif output.is_quiet or output.as_json:
        from orlop.oci.progress import Silent  # noqa: PLC0415 (few commands show progress)

        yield Silent()
    else:
        yield _InLines(output)


def _bars() -> Bars:
    # Only where bars are shown: to import rich takes longer than most commands.
    from rich import progress  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        console=Console(stderr=True),
    )


def _name(work: Work) -> str:
    return f"{work.stage.value} {work.digest[:_DIGEST_SHOWN]}"


class _InLines:
    def __init__(self, output: Output) -> None:
        self._output = output

    def started(self, work: Work) -> None:
        """Write nothing yet: a line is for finished work."""

    def advanced(self, work: Work, done: int) -> None:
        """Say nothing yet: a log is no place for bars."""

    def finished(self, work: Work, *, reused: bool) -> None:
        what = "was there already" if reused else human_size(work.total)
        self._output.say(f"{_name(work)}: {what}")


class _OnTerminal:
    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[Work, TaskID] = {}

    def started(self, work: Work) -> None:
        self._tasks[work] = self._bars.add_task(_name(work), total=work.total)

    def advanced(self, work: Work, done: int) -> None:
        self._bars.update(self._tasks[work], completed=done)

    def finished(self, work: Work, *, reused: bool) -> None:
        note = " (was there)" if reused else ""
        self._bars.update(
            self._tasks[work], completed=work.total, description=f"{_name(work)}{note}"
        )
