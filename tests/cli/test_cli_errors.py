"""Every error ends in the right exit code and one line that helps; never in a traceback."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.players import METADATA
from orlop import errors
from orlop.cli.errors import failure_of, run
from orlop.cli.exit_codes import TABLE, exit_code
from orlop.cli.invocation import Invocation
from orlop.kv import (
    BucketNotFoundError,
    CorruptError,
    EnginePoisonedError,
    LockedError,
    StaleReadError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.players import Orlop


def caused(error: Exception, *causes: Exception) -> Exception:
    """Return `error`, caused by the first of `causes`, that by the next."""
    outer = error
    for cause in causes:
        outer.__cause__ = cause
        outer = cause
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidArgumentError("x"), 2),
        (errors.OutOfRangeError("x"), 2),
        (errors.NotFoundError("x"), 3),
        (errors.AlreadyExistsError("x"), 4),
        (errors.FailedPreconditionError("x"), 5),
        (errors.ConflictError("x"), 5),
        (errors.NotModifiedError("x"), 5),
        (errors.AbortedError("x"), 5),
        (errors.UnimplementedError("x"), 5),
        (errors.UnavailableError("x"), 6),
        (errors.DataLossError("x"), 7),
        (errors.PermissionDeniedError("x"), 8),
        (errors.ResourceExhaustedError("x"), 8),
        (errors.UnauthenticatedError("x"), 8),
        (errors.InternalError("x"), 70),
        (errors.UnknownError("x"), 70),
        (LockedError("x"), 6),
        (StaleReadError("x"), 6),
        (CorruptError("x"), 7),
        (BucketNotFoundError("x"), 70),
        (FileNotFoundError(errno.ENOENT, "x"), 3),
        (FileExistsError(errno.EEXIST, "x"), 4),
        (OSError(errno.ENOSPC, "x"), 8),
        (OSError(errno.EINVAL, "x"), 8),
        (PermissionError(errno.EACCES, "x"), 8),
        (ZeroDivisionError("x"), 70),
        (KeyboardInterrupt(), 130),
        (
            caused(errors.UnavailableError("x"), EnginePoisonedError("x"), OSError(errno.EIO, "x")),
            8,
        ),
        (caused(errors.DataLossError("x"), OSError(errno.EROFS, "x")), 8),
        (caused(errors.UnavailableError("x"), LockedError("x")), 6),
        (caused(errors.NotFoundError("x"), FileNotFoundError(errno.ENOENT, "x")), 3),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_exit_codes(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


def test_every_kind_of_error_has_its_code() -> None:
    kinds = [
        kind for kind in errors.OrlopError.__subclasses__() if kind.__module__ == errors.__name__
    ]

    assert len(kinds) == 16
    assert {exit_code(kind("x")) for kind in kinds} == {2, 3, 4, 5, 6, 7, 8, 70}


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.NotFoundError('image "a"'), 'image "a": not found'),
        (OSError(errno.EIO, "Input/output error", "/x"), "/x: Input/output error"),
        (OSError("broken"), "broken"),
        (LockedError("page 7"), "page 7"),
        (MemoryError(), "the memory is used up"),
    ],
)
def test_messages(error: BaseException, text: str) -> None:
    assert failure_of(error, Invocation(is_writing=True)).message == text


def fail_with(error: BaseException, *, as_json: bool = False, is_writing: bool = True) -> int:
    def fail() -> None:
        raise error

    return run(fail, Invocation(as_json=as_json, is_writing=is_writing))


def test_a_bug_is_called_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail_with(ZeroDivisionError("by zero")) == 70

    assert capsys.readouterr().err == (
        "orlop: this is a bug in orlop (ZeroDivisionError: by zero); ORLOP_DEBUG=1 says where\n"
    )


def test_a_traceback_on_demand(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORLOP_DEBUG", "1")

    assert fail_with(ZeroDivisionError("by zero")) == 70

    assert "Traceback" in capsys.readouterr().err


def test_a_message_stays_on_its_line_and_leaves_the_terminal_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fail_with(errors.NotFoundError('image "a\nb\x1b[31m\udc80"'))

    assert capsys.readouterr().err == 'orlop: image "a\\nb\\x1b[31m\\udc80": not found\n'


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_a_collection_is_advised_only_where_it_has_something_to_remove(
    error: BaseException,
) -> None:
    assert "orlop gc run" in failure_of(error, Invocation(is_writing=True)).hint
    assert "orlop gc run" not in failure_of(error, Invocation(is_writing=False)).hint


@pytest.mark.parametrize("wrapper", [errors.UnknownError, errors.AbortedError])
@pytest.mark.parametrize(
    "cause", [errors.DataLossError("x"), LockedError("x"), errors.NotFoundError("x")]
)
def test_an_error_that_says_little_counts_as_its_cause(
    wrapper: type[errors.OrlopError], cause: Exception
) -> None:
    assert exit_code(caused(wrapper("x"), cause)) == exit_code(cause)


def test_the_documented_exit_codes_are_those_of_the_commands() -> None:
    text = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
    section = text.partition("## Exit codes")[2]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]

    assert rows[1:] == [[str(code), f"`{one.name}`", one.meaning] for code, one in TABLE.items()]


@pytest.mark.parametrize("hint", ["", "do this"])
def test_an_error_in_json(capsys: pytest.CaptureFixture[str], hint: str) -> None:
    nasty = 'image "\udc80\x1b\u202e"'

    assert fail_with(errors.NotFoundError(nasty, hint=hint), as_json=True) == 3

    err = capsys.readouterr().err
    assert err.isascii()
    assert json.loads(err) == {
        "error": {
            "code": "not_found",
            "exit_code": 3,
            "message": f"{nasty}: not found",
            "hint": hint or None,
        }
    }


def test_an_interrupt_is_no_bug(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail_with(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err.startswith("orlop: interrupted")


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("image", "nonsense"),
        ("image", "ls", "--nonsense"),
        ("image", "inspect"),
        ("--root", "a", "--db", "b", "image", "ls"),
        ("image", "ls", "--timeout", "soon"),
        ("image", "label", "x", "=value"),
        ("-n", "no spaces", "image", "ls"),
        ("-n", "version", "lease", "create"),
        ("-n", "", "lease", "create"),
        ("container", "create", "a/b"),
        ("lease", "create", "--label", "=x"),
        ("container", "create", "c", "--label", "k=" + "v" * 5000),
        ("snapshot", "prepare", ""),
        ("content", "ingest", "", "-"),
        ("gc", "plan", "--now", "yesterday"),
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)
def test_wrong_usage(orlop: Orlop, arguments: tuple[str, ...]) -> None:
    orlop("namespace", "create", "default")

    # Where a namespace is needed, that it has no name is a precondition, as containerd has it.
    answer = orlop(*arguments, code=2)

    assert answer.out == ""
    assert answer.err.startswith("orlop: ")
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("content", "cat", "sha256:" + "0" * 64),
        ("content", "verify"),
        ("content", "ingests"),
        ("image", "export", "-", "x"),
        ("snapshot", "mounts", "x"),
        ("snapshot", "usage"),
        ("image", "rm", "x"),
        ("lease", "create"),
        ("snapshot", "prepare", "x"),
        ("gc", "run"),
    ],
    ids=" ".join,
)
def test_a_bare_file_answers_questions_about_metadata_only(
    orlop: Orlop, data: Path, arguments: tuple[str, ...]
) -> None:
    golden = data / "meta-db" / "v2-08b-sandbox.db"

    assert "--root" in orlop("--db", golden, *arguments, code=2).err


def test_a_file_that_is_no_database(orlop: Orlop) -> None:
    (orlop.root / METADATA).parent.mkdir(parents=True)
    (orlop.root / METADATA).write_text("no database at all" * 1000, encoding="utf-8")

    assert "meta.db" in orlop("image", "ls", code=7).err
    orlop("lease", "create", code=7)
    orlop("db", "dump", code=7)
    assert (orlop.root / METADATA).read_text(encoding="utf-8") == "no database at all" * 1000


def test_no_database_at_all(orlop: Orlop) -> None:
    assert str(orlop.root / METADATA) in orlop("image", "ls", code=3).err
    orlop("image", "rm", "x", code=3)
    assert not orlop.root.exists()


def test_a_truncated_archive_leaves_nothing(orlop: Orlop, greeting: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tar"
    cut.write_bytes(greeting.read_bytes()[:5000])

    answer = orlop("image", "import", cut, "--unpack", "native", code=7)

    assert "cut.tar" in answer.err
    orlop("gc", "run")
    assert orlop("content", "ls", "--json").objects() == []
    assert orlop("lease", "ls", "--json").objects() == []


@contextmanager
def holder_of(root: Path) -> Iterator[int]:
    """Make another process lock a root; yield its id."""
    program = "import orlop, sys; d = orlop.open(sys.argv[1]); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdin
        process.stdout.readline()
        yield process.pid
        process.stdin.close()


def test_a_lock_that_another_process_holds(with_image: Orlop) -> None:
    with holder_of(with_image.root) as process:
        begin = time.monotonic()
        answer = with_image("lease", "create", "--timeout", "0.2", code=6)

        assert f"process {process} (python" in answer.err
        assert "--timeout SECONDS" in answer.err
        assert 0.2 <= time.monotonic() - begin < 5
        # Questions wait for nobody.
        assert len(with_image("image", "ls", "--json").objects()) == 1
        assert with_image("gc", "plan", "--json").document()["kept"] == 9
        assert len(with_image("snapshot", "ls", "--json").objects()) == 3


def as_nobody(orlop: Orlop, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line without root's rights, even if root runs the tests."""
    program = (
        "import contextlib, io, os, sys, tempfile\n"
        "from orlop.cli.main import main\n"
        # What is imported later would not be found where Python lies in root's own directory.
        "with contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as other:\n"
        "    main([*sys.argv[1:3], 'image', 'ls', '--json'])\n"
        "    main(['--root', other, 'lease', 'create'])\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    return subprocess.run(
        [sys.executable, "-c", program, "--root", str(orlop.root), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_directory_that_may_only_be_read(with_image: Orlop, tmp_path: Path) -> None:
    root = with_image.root
    for path in (*tmp_path.parents, tmp_path):
        if path.stat().st_uid == os.geteuid() and "pytest" in str(path):
            path.chmod(0o755)
    for path in (root, *root.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        read = as_nobody(with_image, "image", "ls", "--json")
        written = as_nobody(with_image, "lease", "create")
    finally:
        for path in (root, *root.rglob("*")):
            if path.is_dir():
                path.chmod(0o755)

    assert (read.returncode, read.stdout.count("\n")) == (0, 1), read.stderr
    assert written.returncode == 8
    assert written.stderr.startswith("orlop: ")
    assert "Permission denied" in written.stderr
    assert written.stderr.count("\n") == 1


@pytest.mark.root
@pytest.mark.skipif(shutil.which("mount") is None, reason="needs mount(8)")
def test_a_full_disk(orlop: Orlop, tmp_path: Path, greeting: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(os.urandom(4 << 20))
    orlop.root.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m,mode=755", "orlop", orlop.root], check=True
    )
    try:
        answer = orlop("content", "ingest", "big", big, code=8)
        assert "No space left on device" in answer.err
        orlop("content", "ls")
        assert orlop("content", "ingests", "--json").objects() == []
        orlop("image", "import", greeting, "--unpack", "native")
        orlop("db", "check")
    finally:
        subprocess.run(["umount", orlop.root], check=True)


def test_a_reader_that_has_seen_enough(data: Path) -> None:
    golden = data / "meta-db" / "v2-08b-sandbox.db"
    read_end, write_end = os.pipe()
    os.close(read_end)

    ended = subprocess.run(
        [sys.executable, "-m", "orlop", "db", "dump", golden],
        stdout=write_end,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )

    os.close(write_end)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_an_interrupt_ends_quietly(orlop: Orlop) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "orlop", "--root", orlop.root, "content", "ingest", "ref", "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        deadline = time.monotonic() + 30
        while not list(orlop.root.glob("*content*/ingest/*")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)

    assert process.returncode == 130
    assert b"Traceback" not in said
    # The lock went with the process.
    orlop("gc", "run")


def test_standard_output_on_a_full_disk(data: Path) -> None:
    golden = data / "meta-db" / "v2-08b-sandbox.db"
    with open("/dev/full", "wb") as full:  # noqa: PTH123 (a device)
        ended = subprocess.run(
            [sys.executable, "-m", "orlop", "db", "info", golden],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )

    assert ended.returncode == 8
    assert b"No space left on device" in ended.stderr
    assert b"Traceback" not in ended.stderr
