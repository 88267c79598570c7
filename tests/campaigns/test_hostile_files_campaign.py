"""Every operation on a damaged file ends in a typed error, in little time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from campaigns import hostile_worker
from campaigns.seeds import seeds

if TYPE_CHECKING:
    from campaigns.tally import Tally

FILES = 60
"""How many damaged files a seed makes."""

WAIT_SECONDS_MAX = 600


def run_worker(folder: Path, *which: str, tally: Tally) -> None:
    tests = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, hostile_worker.__file__, folder, *which],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tests), *sys.path])},
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not found["failures"], f"files in {folder}:\n" + "\n".join(found["failures"])
    tally.add("damaged files", found["files"])
    for outcome, count in found["outcomes"].items():
        tally.add("questions answered" if outcome.endswith(": done") else "refused", count)


@pytest.mark.parametrize("seed_number", seeds(short=1, long=340))
def test_a_damaged_file_ends_in_a_typed_error(
    tmp_path: Path, seed_number: int, tally: Tally
) -> None:
    run_worker(tmp_path, str(seed_number * FILES), str(FILES), tally=tally)


def test_an_endless_file_ends_too(tmp_path: Path, tally: Tally) -> None:
    run_worker(tmp_path, "bombs", tally=tally)
