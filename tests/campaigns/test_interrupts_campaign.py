"""Any exception at any instruction: nothing is lost, nothing stays locked.

An operation is interrupted at a point; then the handle works correctly or reports that it is
unusable, it can be closed, and opened again at once, and all acknowledged data is there, also
after a collection.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from campaigns import interrupt_storm, interrupt_worker
from campaigns.interrupt_points import CALLS, LINES
from campaigns.seeds import seeds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from campaigns.tally import Tally

STEPS: Final = {
    "update": 60,
    "update_block": 80,
    "view": 12,
    "read": 12,
    "collect": 140,
    "make_snapshot": 400,
    "remove_snapshot": 60,
    "write_content": 350,
    "lease_block": 500,
    "schedule": 250,
    "note": 250,
    "close": 50,
    "open": 160,
}
"""Of so many points that an operation passes a seed takes one: some dozens of them all."""

TRIES: Final = 150
"""How many signals a seed of a storm sends."""

WAIT_SECONDS_MAX: Final = 900

POINTS: Final = [
    pytest.param(operation, kind, seed, id=f"{operation}-{kind}-{seed}")
    for operation, step in STEPS.items()
    for kind in (LINES, CALLS)
    for seed in seeds(short=1, long=step)
]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Yield where a root may be made: in memory, since no power is lost here."""
    memory = Path("/dev/shm")  # noqa: S108 (a directory of its own in it)
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as one:
        yield Path(one, "root")


def run(program: Path, *arguments: object) -> str:
    """Run a program of this folder, with the modules that this process has."""
    tests = str(Path(__file__).resolve().parents[1])
    done = subprocess.run(
        [sys.executable, program, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([tests, *sys.path])},
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout, done.stdout
    return done.stdout


@pytest.mark.interpreted("compiled lines cannot be traced")
@pytest.mark.parametrize(("operation", "kind", "seed_number"), POINTS)
def test_an_exception_at_a_point_leaves_nothing_locked_and_loses_nothing(
    root: Path, operation: str, kind: str, seed_number: int, tally: Tally
) -> None:
    step = STEPS[operation]
    said = run(
        Path(interrupt_worker.__file__),
        root,
        operation,
        kind,
        seed_number % step + 1,
        step,
    )
    (tried,) = re.findall(r"TRIED (\d+) of [1-9]", said)
    tally.add(f"{kind} interrupted", int(tried))


@pytest.mark.parametrize("operations", [(), ("update",)], ids=["several", "updates"])
@pytest.mark.parametrize("seed_number", seeds(short=1, long=70))
def test_signals_at_any_moment_leave_nothing_locked_and_lose_nothing(
    root: Path, operations: tuple[str, ...], seed_number: int, tally: Tally
) -> None:
    said = run(Path(interrupt_storm.__file__), root, seed_number, TRIES, *operations)
    (tried,) = re.findall(r"TRIED (\d+) of [1-9]", said)
    tally.add("signals taken", int(tried))
