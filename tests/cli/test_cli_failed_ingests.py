"""`orlop content ingest` that fails: aborted where the same command could not resume it."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

import orlop as library
from cli.players import CONTENT
from orlop import digests
from orlop.cli import content as commands
from orlop.cli.exit_codes import DONE, INTERRUPTED, NOT_FOUND, PRECONDITION, SYSTEM, USAGE

if TYPE_CHECKING:
    from pathlib import Path

    from cli.players import Orlop

DATA = b"Ahoy, world!"
DIGEST = digests.from_bytes(DATA)
OTHER = digests.from_bytes(b"other")


class Failing(io.BytesIO):
    """Data that fails to be read after some bytes."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(DATA[:5])
        self._error = error

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data:
            raise self._error
        return data

    def read1(self, size: int | None = -1, /) -> bytes:
        return self.read(size)

    def seekable(self) -> bool:
        return False


def left(orlop: Orlop) -> list[str]:
    """Return the ingests in the metadata and on disk."""
    folder = orlop.root / CONTENT / "ingest"
    files = [path.name for path in folder.iterdir()] if folder.exists() else []
    return orlop("content", "ingests", "--json").lines + files


FAILURES = pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), INTERRUPTED),
        (OSError(errno.ENOSPC, "No space left on device"), SYSTEM),
        (OSError(errno.EIO, "Input/output error"), SYSTEM),
    ],
    ids=["interrupt", "full disk", "input"],
)


@FAILURES
def test_a_failed_ingest_of_an_unknown_digest_leaves_nothing(
    orlop: Orlop, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    monkeypatch.setattr(commands, "standard_input", lambda: nullcontext(Failing(error)))

    answer = orlop("content", "ingest", "ref", "-", code=code)

    assert left(orlop) == []
    assert "gc run" not in answer.err
    assert "abort" not in answer.err


@FAILURES
def test_a_failed_ingest_of_a_known_digest_is_kept_and_says_how_to_resume_or_abort_it(
    orlop: Orlop, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    line = ("content", "ingest", "a ref", "-", "--expected", DIGEST)
    with monkeypatch.context() as patch:
        patch.setattr(commands, "standard_input", lambda: nullcontext(Failing(error)))
        answer = orlop(*line, code=code)

    assert "gc run" not in answer.err
    if getattr(error, "errno", None) != errno.EIO:
        assert "run the command again to resume it" in answer.err
        assert "orlop content abort 'a ref'" in answer.err
    assert orlop("content", "ingests", "--json").objects()[0]["offset"] == 5
    orlop(*line, stdin=DATA)
    assert orlop("content", "cat", DIGEST).raw == DATA
    assert left(orlop) == []


@pytest.mark.parametrize("options", [("--expected", OTHER), ("--size", "13")])
def test_data_that_is_not_what_was_expected_is_not_kept(
    orlop: Orlop, options: tuple[str, str]
) -> None:
    orlop("content", "ingest", "ref", "-", *options, stdin=DATA, code=PRECONDITION)

    assert left(orlop) == []


def test_an_impossible_digest_is_refused_before_anything_is_read(orlop: Orlop) -> None:
    line = ("content", "ingest", "ref", "/dev/zero", "--expected", "sha256:zz")

    assert "sha256:zz" in orlop(*line, code=USAGE).err
    assert not orlop.root.exists()


def test_an_ingest_is_aborted_by_its_name(orlop: Orlop) -> None:
    with (
        library.open(orlop.root) as database,
        database.namespace("default").content.writer("ref") as writer,
    ):
        writer.write(DATA)

    answer = orlop("content", "abort", "ref")

    assert answer.err == "aborted ref\n"
    assert left(orlop) == []
    assert "ref" in orlop("content", "abort", "ref", code=NOT_FOUND).err


def test_a_writer_of_another_process_keeps_its_ingest(orlop: Orlop) -> None:
    with (
        library.open(orlop.root) as database,
        database.namespace("default").content.writer("ref") as writer,
    ):
        writer.write(DATA)
        orlop("content", "ingest", "ref", "-", "--timeout", "0", stdin=DATA, code=6)
        orlop("content", "abort", "ref", "--timeout", "0", code=6)
        writer.commit()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_an_ingest_and_what_it_wrote(
    orlop: Orlop, number: signal.Signals, tmp_path: Path
) -> None:
    orlop("db", "init")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    program = (
        f"import signal, sys; signal.signal({int(number)}, signal.default_int_handler "
        f"if {number == signal.SIGINT} else signal.SIG_DFL)\n"
        "from orlop.__main__ import main; sys.exit(main())"
    )  # tests may run with ignored signals
    process = subprocess.Popen(
        [sys.executable, "-c", program, "--json", "content", "ingest", "ref", pipe],
        env={**os.environ, "ORLOP_ROOT": str(orlop.root)},
        stderr=subprocess.PIPE,
    )
    with pipe.open("wb") as data:
        data.write(bytes(2_000_000))
        data.flush()
        folder = orlop.root / CONTENT / "ingest"
        deadline = time.monotonic() + 30
        while not any(folder.glob("*/data")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)

    assert json.loads(err.splitlines()[-1])["error"]["hint"] is None
    assert process.returncode != DONE
    assert left(orlop) == []
