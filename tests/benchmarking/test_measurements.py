"""Each measurement runs on both sides, tiny, so that the benchmarks are there when needed."""

from __future__ import annotations

import fcntl
import json
import math
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from benchmarks.measurements import MEASUREMENTS
from benchmarks.programs import Program
from benchmarks.report import document, rows, table
from benchmarks.running import ACCELERATED, ORLOP, PEER, Options, run
from benchmarks.sides.__main__ import MEASUREMENTS as OURS
from real.conftest import session_folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["session_folder"]

OBJECTS = 1_000
OPERATIONS = 16

SLOW = {"content-large"}

ORLOP_ONLY = {"memory"}
"""Figures that the peer does not have."""


@pytest.fixture(scope="module")
def peer(session_folder: Path) -> Program:
    """Build the other side, once for the whole run."""
    folder = session_folder / "benchmark-peer"
    with (session_folder / "benchmark-peer.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder.mkdir(exist_ok=True)
        built = folder / "peer"
        return Program((str(built),)) if built.exists() else Program.peer(folder)


def options(folder: Path, name: str, peer: Program) -> Options:
    return Options(
        folder=folder,
        sizes=[OBJECTS],
        repeats=1,
        selection=[name],
        operations_max=OPERATIONS,
        peer=peer,
    )


@pytest.mark.real("go", "bbolt", "containerd-go")
@pytest.mark.parametrize(
    "name",
    [pytest.param(one, marks=[pytest.mark.slow] * (one in SLOW)) for one in sorted(OURS)],
)
def test_both_sides_measure_the_same_figures(name: str, peer: Program, tmp_path: Path) -> None:
    told: list[str] = []

    [taken] = run(options(tmp_path, name, peer), told.append)

    figures = set(taken.measurement.figures)
    assert set(taken.values[ORLOP]) == figures
    assert set(taken.values[PEER]) == figures - ORLOP_ONLY
    for side in (ORLOP, PEER):
        for values in taken.values[side].values():
            assert len(values) == 1
            assert math.isfinite(values[0])
    assert [one for one in told if ", run 1" in one] == [
        f"{name} {taken.count:,}, {side}, run 1" for side in (PEER, ORLOP)
    ]
    assert list(tmp_path.iterdir()) == [], "what was made is left behind"


@pytest.mark.real("go", "bbolt", "containerd-go", "containerd", "ctr")
@pytest.mark.root
@pytest.mark.slow
def test_an_image_is_imported_by_both_sides(peer: Program, tmp_path: Path) -> None:
    [taken] = run(options(tmp_path, "import", peer), lambda _: None)

    for side in (ORLOP, PEER):
        [seconds] = taken.values[side]["import"]
        assert seconds > 0


@pytest.mark.real("go", "bbolt", "containerd-go")
def test_the_report_has_every_figure_and_the_document_every_value(
    peer: Program, tmp_path: Path
) -> None:
    [taken] = run(replace(options(tmp_path, "open", peer), repeats=2), lambda _: None)
    found = rows(taken)

    text = table(found, "containerd 1")
    written = json.loads(json.dumps(document(found, {"memory": "little"}, {"Orlop": "0"})))

    assert text.splitlines()[0].startswith("| what | n | containerd 1 | Orlop |")
    assert text.splitlines()[2].startswith("| open, no freelist, to the first write | 1,000 | ")
    [row] = written["rows"]
    assert (len(row["peer"]), len(row["orlop"])) == (2, 2)
    assert row["ratio"] == pytest.approx(found[0].ratio)


@pytest.mark.real("go", "bbolt", "containerd-go")
def test_three_sides_take_turns_where_the_accelerated_one_is_there(
    peer: Program, tmp_path: Path
) -> None:
    # Whether its modules are compiled does not matter here.
    given = replace(options(tmp_path, "engine-synced", peer), accelerated=sys.executable)
    told: list[str] = []

    [taken] = run(replace(given, repeats=3), told.append)

    assert [one.split(", ")[1] for one in told] == [
        *(PEER, ORLOP, ACCELERATED),
        *(ORLOP, ACCELERATED, PEER),
        *(ACCELERATED, PEER, ORLOP),
    ]
    [row] = rows(taken)
    assert len(row.accelerated) == 3
    [written] = document([row], {}, {})["rows"]
    assert written["accelerated"] == list(row.accelerated)
    assert written["accelerated_ratio"] == row.accelerated_ratio


def test_every_measurement_has_a_side_of_ours_and_a_name_of_its_own() -> None:
    names = [one.name for one in MEASUREMENTS]

    assert sorted(names) == sorted({*OURS, "import", "start-up"})
