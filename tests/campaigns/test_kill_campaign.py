"""A process of eight writing threads is killed repeatedly; acknowledged data is there."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from campaigns import kill_writer
from campaigns.changes import read
from campaigns.seeds import seeds
from orlop.bolt import open_engine
from orlop.maintenance import check_file

if TYPE_CHECKING:
    from campaigns.tally import Tally
    from oracle.client import Oracle

KILLS = 10
"""How often a file's writer is killed in one seed."""

DEEDS = (None, None, None, "kill", "half", "fail")
CALL_MAX = 60
KILL_SECONDS_MAX = 0.3
WAIT_SECONDS_MAX = 60

pytestmark = pytest.mark.real("bbolt", "go")


class Writer:
    """One life of the writing process."""

    def __init__(self, path: Path, *deed: str) -> None:
        tests = Path(__file__).resolve().parents[1]
        self.acknowledged: list[tuple[int, int, int]] = []
        self.was_poisoned = False
        self.has_begun = threading.Event()
        self._process = subprocess.Popen(
            [sys.executable, kill_writer.__file__, path, *deed],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tests), *sys.path])},
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.endswith(b"\n"):
                continue
            if line == b"poisoned\n":
                self.was_poisoned = True
            else:
                thread, number, version = map(int, line.split())
                self.acknowledged.append((thread, number, version))
                self.has_begun.set()
        self.has_begun.set()

    def kill_after(self, seconds: float) -> None:
        """Kill the process so many seconds after its first acknowledgement."""
        assert self.has_begun.wait(WAIT_SECONDS_MAX)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join(WAIT_SECONDS_MAX)
        assert self._process.wait(WAIT_SECONDS_MAX) == -9
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.mark.parametrize("seed_number", seeds(short=1, long=24))
def test_no_acknowledged_transaction_is_lost(
    bbolt: Oracle, tmp_path: Path, seed_number: int, tally: Tally
) -> None:
    seed = random.Random(seed_number)
    path = tmp_path / "killed.db"
    open_engine(path, freelist_sync=seed_number % 2 == 0).close()
    counts = dict.fromkeys(range(kill_writer.THREADS), 0)
    for _ in range(KILLS):
        deed = seed.choice(DEEDS)
        writer = Writer(path, *([deed, str(seed.randrange(3, CALL_MAX))] if deed else []))
        kills_itself = deed in {"kill", "half"}
        writer.kill_after(WAIT_SECONDS_MAX if kills_itself else seed.uniform(0, KILL_SECONDS_MAX))
        counts = after(writer, path, counts, is_torn=deed == "half")
        assert bbolt.check(path) == []
        tally.add("kills")
        tally.add("of them in the middle of a commit", int(kills_itself))
        tally.add("after a failed sync", int(writer.was_poisoned))
        tally.add("acknowledged transactions", len(writer.acknowledged))


def after(writer: Writer, path: Path, counts: dict[int, int], *, is_torn: bool) -> dict[int, int]:
    """Check the file of a killed writer; return the number of transactions of each thread."""
    faults = [fault.message for fault in check_file(path).faults]
    if is_torn:
        faults = [fault for fault in faults if not fault.startswith("meta page")]
    assert faults == []
    least = dict(counts)
    versions: dict[int, list[int]] = {}
    for thread, number, version in writer.acknowledged:
        assert number > least[thread]
        least[thread] = number
        versions.setdefault(thread, []).append(version)
    for of_thread in versions.values():
        assert of_thread == sorted(set(of_thread)), "a later transaction has no later version"
    engine = open_engine(path, read_only=True)
    try:
        with engine.begin() as transaction:
            newest = max((version for _, _, version in writer.acknowledged), default=0)
            assert transaction.id >= newest
            found = read(transaction.root)
    finally:
        engine.close()
    result = {}
    for thread, acknowledged in least.items():
        bucket = found.buckets.get(kill_writer.bucket_name(thread))
        count = 0 if bucket is None else bucket.sequence
        # One may have been in flight, and another one when the sync failed.
        assert acknowledged <= count <= acknowledged + 1 + writer.was_poisoned
        if bucket is not None:
            assert bucket == kill_writer.expected(thread, count)
        result[thread] = count
    return result
