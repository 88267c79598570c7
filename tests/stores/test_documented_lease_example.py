"""The example of leases in the documentation, killed after any line and run again."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import orlop
from stores.blobs import digest_of

LIBRARY = Path(__file__).parents[2] / "docs" / "library.md"
(EXAMPLE,) = (
    block
    for block in re.findall(r"```python\n(.*?)```", LIBRARY.read_text(), re.DOTALL)
    if "ns.lease(" in block and "writer.commit" in block
)

KILLED = """
import os, sys
def trace(frame, event, argument):
    if frame.f_code.co_filename != "example":
        return None
    if event == "line":
        lines.append(frame.f_lineno)
        if len(lines) > int(sys.argv[1]):
            os._exit(9)
    return trace
lines = []
code = compile(sys.stdin.read(), "example", "exec")
sys.settrace(trace)
exec(code)
"""


def run(directory: Path, lines: int) -> int:
    command = [sys.executable, "-c", KILLED, str(lines)]
    return subprocess.run(
        command, cwd=directory, input=EXAMPLE, text=True, check=False, timeout=120
    ).returncode


@pytest.mark.parametrize("others", [False, True])
def test_the_lease_example_stores_right_bytes_whenever_it_was_killed(
    tmp_path: Path, *, others: bool
) -> None:
    # Each run is killed one line later than the one before, on the same store.
    lines = 4
    while (code := run(tmp_path, lines)) == 9:
        lines += 1
        if others and lines == 9:
            with orlop.open(tmp_path / "store") as database:
                database.namespace("other").leases.create("l")
                database.gc.run()
    assert code == 0
    assert lines > 8
    for _ in range(2):
        assert run(tmp_path, 1000) == 0
    with orlop.open(tmp_path / "store") as database:
        content = database.namespace("default").content
        assert [one.digest for one in content.walk()] == [digest_of(b"Ahoy")]
        with content.open(digest_of(b"Ahoy")) as blob:
            assert blob.read() == b"Ahoy"
