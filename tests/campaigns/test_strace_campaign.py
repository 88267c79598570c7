"""System calls of a commit, seen by strace: data, sync, meta, sync."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from campaigns.tally import Tally

pytestmark = pytest.mark.real("strace")

COMMITS = """
import sys
from pathlib import Path
from orlop.bolt import open_engine

engine = open_engine(Path(sys.argv[1]))
for size in (10, 10, 200_000):
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.create_bucket_if_absent(b"bucket")
        bucket.put(b"key", bytes(size))
engine.close()
"""
CALL = re.compile(
    r"(?P<name>pwrite64|pwritev|write|fdatasync|fsync|msync|fallocate|ftruncate)2?"
    r"\(\d+<(?P<path>[^>]+)>(?:, .*?, \d+, (?P<offset>\d+)(?:, 0)?)?\) = (?P<result>-?\d+)"
)
PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")


def calls_on(path: Path, trace: str) -> list[str]:
    """Return the calls on a file that write, each as a word."""
    found: list[str] = []
    for line in trace.splitlines():
        call = CALL.search(line)
        if call is None or call["path"] != str(path):
            continue
        assert int(call["result"]) >= 0, line
        name = call["name"]
        if name.startswith("pwrite"):
            offset = int(call["offset"])
            name = f"meta {offset // PAGE_SIZE}" if offset < 2 * PAGE_SIZE else "data"
        # One write of data is as good as several.
        if found[-1:] != ["data"] or name != "data":
            found.append(name)
    return found


def test_a_commit_is_data_sync_meta_sync(tmp_path: Path, tally: Tally) -> None:
    path, trace = tmp_path / "traced.db", tmp_path / "trace"
    done = subprocess.run(
        ["strace", "-f", "-y", "-s", "0", "-o", trace, sys.executable, "-c", COMMITS, path],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if "ptrace" in done.stderr.lower():
        pytest.skip(f"strace is not allowed here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr

    assert calls_on(path, trace.read_text(encoding="utf-8", errors="replace")) == [
        *("meta 1", "fdatasync"),  # of opening
        *("data", "fdatasync", "meta 0", "fdatasync"),
        *("data", "fdatasync", "meta 1", "fdatasync"),
        *("fallocate", "fdatasync", "data", "fdatasync", "meta 0", "fdatasync"),
    ]
    tally.add("commits traced", 3)
