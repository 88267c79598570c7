"""Ctrl-C at any point: exit code 130, one line, and nothing that the next collection leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.players import CONTENT
from orlop.cli.exit_codes import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.players import Orlop
    from orlop.cli.output import Output
    from orlop.oci.progress import Progress, Work

SNAPSHOTS = Path("io.containerd.snapshotter.v1.native", "snapshots")
CALLS_OF_AN_IMPORT = 31
"""How often the import of the example image, with its unpacking, tells how far it is."""


def leftovers(orlop: Orlop) -> list[str]:
    """Collect, then return the remaining blobs, ingests, snapshots and leases."""
    orlop("gc", "run")
    images = orlop("image", "ls", "--json").objects()
    for image in images:
        orlop("content", "verify")
        orlop("image", "rm", image["name"])
    orlop("gc", "run")
    files = [
        str(path)
        for folder in (CONTENT / "blobs" / "sha256", CONTENT / "ingest", SNAPSHOTS)
        if (orlop.root / folder).exists()
        for path in (orlop.root / folder).iterdir()
    ]
    listed = [
        line
        for group in ("content", "snapshot", "lease")
        for line in orlop(group, "ls", "--json").lines
    ]
    return files + listed + orlop("content", "ingests", "--json").lines


class Interrupting:
    """Presses Ctrl-C when it is told of progress for the `number`th time."""

    def __init__(self, number: int) -> None:
        self.calls = 0
        self._number = number

    def _count(self) -> None:
        self.calls += 1
        if self.calls == self._number:
            signal.raise_signal(signal.SIGINT)

    def started(self, _work: Work) -> None:
        self._count()

    def advanced(self, _work: Work, _done: int) -> None:
        self._count()

    def finished(self, _work: Work, *, reused: bool) -> None:
        del reused
        self._count()


@pytest.fixture
def interrupting(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Interrupting:
    pressed = Interrupting(request.param)

    @contextmanager
    def showing(_: Output) -> Iterator[Progress]:
        yield pressed

    monkeypatch.setattr("orlop.cli.image.showing", showing)
    return pressed


@pytest.mark.parametrize("interrupting", range(1, CALLS_OF_AN_IMPORT + 1), indirect=True)
def test_an_import_that_is_interrupted(
    orlop: Orlop, greeting: Path, interrupting: Interrupting
) -> None:
    answer = orlop("image", "import", greeting, "--unpack", "native", code=INTERRUPTED)

    assert answer.out == ""
    assert answer.err.startswith("orlop: interrupted; orlop gc run")
    assert answer.err.count("\n") == 1
    assert interrupting.calls >= 1
    assert orlop("lease", "ls", "--json").lines == []
    orlop("db", "check")
    assert leftovers(orlop) == []


@pytest.mark.parametrize("interrupting", [CALLS_OF_AN_IMPORT + 1], indirect=True)
def test_that_is_all_an_import_tells(
    orlop: Orlop, greeting: Path, interrupting: Interrupting
) -> None:
    orlop("image", "import", greeting, "--unpack", "native")

    assert interrupting.calls == CALLS_OF_AN_IMPORT


@pytest.mark.parametrize("interrupting", [2, 8], indirect=True)
def test_an_import_goes_on_after_an_interrupt(
    orlop: Orlop, greeting: Path, interrupting: Interrupting
) -> None:
    orlop("image", "import", greeting, "--unpack", "native", code=INTERRUPTED)

    orlop("image", "import", greeting, "--unpack", "native")

    assert interrupting.calls > CALLS_OF_AN_IMPORT / 2
    assert len(orlop("snapshot", "ls", "--json").objects()) == 3
    orlop("content", "verify")


@pytest.mark.parametrize("interrupting", [1, 3, 7], indirect=True)
def test_an_export_that_is_interrupted(
    with_image: Orlop, tmp_path: Path, interrupting: Interrupting
) -> None:
    target = tmp_path / "out"
    target.mkdir()
    archive = target / "out.tar"

    with_image("image", "export", archive, "example.com/greeting:v1", code=INTERRUPTED)

    assert interrupting.calls >= 1
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("lines", [1, 2, 5])
def test_a_process_that_gets_the_signal(orlop: Orlop, long_image: Path, lines: int) -> None:
    """Interrupt after so many pieces: while a layer is copied, or unpacked."""
    command = ("image", "import", long_image, "--unpack", "native")
    with subprocess.Popen(
        [sys.executable, "-m", "orlop", "--root", orlop.root, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(lines)]
        process.send_signal(signal.SIGINT)
        out, rest = process.communicate(timeout=60)

    assert all(line.startswith(("import sha256:", "unpack sha256:")) for line in said)
    assert (process.returncode, out) == (INTERRUPTED, "")
    assert rest.splitlines()[-1].startswith("orlop: interrupted")
    assert "Traceback" not in rest
    orlop("db", "check")
    assert leftovers(orlop) == []
