"""The command: measure the sides and print the table."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import machine, versions
from benchmarks.measurements import MEASUREMENTS
from benchmarks.plot import write_plot
from benchmarks.programs import FailedError, accelerated_python
from benchmarks.report import document, rows, table
from benchmarks.running import Options, run


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    arguments = _parser().parse_args()
    folder = Path(arguments.folder)
    options = Options(
        folder=folder,
        sizes=arguments.sizes,
        repeats=arguments.repeats,
        selection=arguments.only,
        operations_max=arguments.operations_max,
        accelerated=accelerated_python(),
    )
    if options.accelerated is None:
        print("without the accelerated side: `make accelerate` makes it", file=sys.stderr)
    place, sides = machine(folder), versions()
    found = []
    try:
        for taken in run(options, lambda text: print(text, file=sys.stderr)):
            found += rows(taken)
    except FailedError as error:
        print(error, file=sys.stderr)
        return 1
    print("; ".join(f"{name}: {text}" for name, text in (place | sides).items()), end="\n\n")
    peer = f"containerd {sides['containerd']}, bbolt {sides['bbolt']}"
    print(table(found, peer))
    if arguments.json is not None:
        text = json.dumps(document(found, place, sides), indent=1)
        arguments.json.write_text(f"{text}\n", encoding="utf-8")
    if arguments.plot is not None:
        write_plot(found, peer, arguments.plot)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks", description="Measure Orlop beside Debian's containerd and bbolt."
    )
    names = sorted({one.name for one in MEASUREMENTS} | {one.group for one in MEASUREMENTS})
    parser.add_argument(
        "--only", nargs="+", default=[], choices=names, metavar="NAME", help=", ".join(names)
    )
    parser.add_argument(
        "--sizes",
        nargs="+",
        type=int,
        default=[10_000, 100_000],
        metavar="OBJECTS",
        help="sizes of the data sets; 10000 100000 without (the plot wants 1000 to 1000000)",
    )
    parser.add_argument("--repeats", type=int, default=3, help="runs of each side; 3 without")
    parser.add_argument(
        "--folder", default=tempfile.gettempdir(), help="on the disk that is measured"
    )
    parser.add_argument("--operations-max", type=int, help="do no more than that; to try it out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all values there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write an SVG there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
