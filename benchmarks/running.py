"""The runs: the sides take turns, each on files of its own that began alike."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.imports import Daemons
from benchmarks.measurements import MEASUREMENTS, Measurement
from benchmarks.programs import Program
from benchmarks.start_up import StartUp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ACCELERATED: Final = "accelerated"
ORLOP: Final = "orlop"
PEER: Final = "peer"
_IMPORT: Final = "import"
_START_UP: Final = "start-up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to run.

    Attributes:
        folder: where files are made; on the disk to be measured.
        sizes: of the data sets, in objects.
        repeats: how often each side runs.
        selection: names or groups of measurements; none: all.
        operations_max: a bound on the count of each measurement; for trying things out.
        peer: the other side, if it is built already.
        accelerated: the Python in which modules of Orlop are compiled; `None`: that side is
            left out.
    """

    folder: Path
    sizes: Sequence[int] = (10_000, 100_000)
    repeats: int = 3
    selection: Sequence[str] = ()
    operations_max: int | None = None
    peer: Program | None = None
    accelerated: str | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """What the runs of one measurement gave: for each side the values of each figure."""

    measurement: Measurement
    count: int
    values: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: {side: {} for side in (PEER, ORLOP, ACCELERATED)}
    )

    def add(self, side: str, figures: dict[str, float]) -> None:
        """Add the figures of one run."""
        for name, value in figures.items():
            self.values[side].setdefault(name, []).append(value)


def run(options: Options, tell: Callable[[str], None]) -> Iterator[Taken]:
    """Run what is selected; `tell` hears what is going on."""
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="benchmark-") as name:
        runner = _Runner(Path(name), options, tell)
        for measurement in MEASUREMENTS:
            if options.selection and not {measurement.name, measurement.group} & set(
                options.selection
            ):
                continue
            counts = options.sizes if measurement.count is None else [measurement.count]
            for count in counts:
                yield runner.take(measurement, count)


class _Runner:
    """Runs measurements in a folder and keeps the files that they begin with."""

    def __init__(self, folder: Path, options: Options, tell: Callable[[str], None]) -> None:
        self._folder = folder
        self._options = options
        self._tell = tell
        self._programs = {PEER: options.peer or Program.peer(folder), ORLOP: Program.orlop()}
        if options.accelerated is not None:
            self._programs[ACCELERATED] = Program.orlop(options.accelerated)

    def take(self, measurement: Measurement, count: int) -> Taken:
        """Run a measurement as often as is asked; each side comes first in turns."""
        bound = self._options.operations_max
        if bound is not None and measurement.count is not None:
            count = min(count, bound)
        taken = Taken(measurement, count)
        if measurement.name == _IMPORT:
            with Daemons(self._folder, megabytes=count) as daemons:
                self._repeat(taken, lambda side: {_IMPORT: self._import(daemons, side)})
            return taken
        if measurement.name == _START_UP:
            start_up = StartUp(self._folder / "start-up")
            self._repeat(taken, lambda side: self._start(start_up, side, count))
            return taken
        made = self._made(measurement, count)
        self._repeat(taken, lambda side: self._once(measurement, side, made, count))
        return taken

    def _repeat(self, taken: Taken, once: Callable[[str], dict[str, float]]) -> None:
        for repeat in range(self._options.repeats):
            sides = [*self._programs]
            first = repeat % len(sides)
            for side in (*sides[first:], *sides[:first]):
                name = taken.measurement.name
                self._tell(f"{name} {taken.count:,}, {side}, run {repeat + 1}")
                taken.add(side, once(side))

    def _import(self, daemons: Daemons, side: str) -> float:
        if side == PEER:
            return daemons.containerd()
        return daemons.orlop(self._options.accelerated if side == ACCELERATED else None)

    def _start(self, start_up: StartUp, side: str, runs: int) -> dict[str, float]:
        python = self._options.accelerated if side == ACCELERATED else None
        if side == PEER:
            return start_up.interpreter(runs)
        return start_up.orlop(runs, python or sys.executable)

    def _once(
        self, measurement: Measurement, side: str, made: Path | None, count: int
    ) -> dict[str, float]:
        program = self._programs[side]
        if made is not None and not measurement.copied:
            return program.run(measurement.name, made, count)
        with self._working(made) as folder:
            return program.run(measurement.name, folder, count)

    @contextmanager
    def _working(self, made: Path | None) -> Iterator[Path]:
        """Have a folder of its own for one run, with a copy of what was made."""
        folder = self._folder / "working"
        folder.mkdir()
        try:
            for file in [] if made is None else made.iterdir():
                shutil.copyfile(file, folder / file.name)
            os.sync()  # so that nobody pays for what was written before
            yield folder
        finally:
            shutil.rmtree(folder)

    def _made(self, measurement: Measurement, count: int) -> Path | None:
        """Return the folder with what a measurement begins with; it is made once."""
        if measurement.makes is None:
            return None
        steps = [step for step in (measurement.makes, measurement.then) if step]
        folder = self._folder / f"{'-'.join(steps)}-{count}"
        if folder.exists():
            return folder
        folder.mkdir()
        plain = self._folder / f"{measurement.makes}-{count}"
        if measurement.then and plain.exists():
            for file in plain.iterdir():
                shutil.copyfile(file, folder / file.name)
            steps = steps[1:]
        for step in steps:
            self._tell(f"{step} {count:,}")
            self._programs[PEER].run(step, folder, count)
        return folder
