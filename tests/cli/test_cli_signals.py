"""SIGTERM and SIGHUP end every command as Ctrl-C does: nothing half done stays, no traceback."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cli.players import CONTENT, METADATA
from cli.test_cli_interrupts import leftovers
from orlop.cli.exit_codes import HANGUP, INTERRUPTED, TERMINATED
from orlop.cli.signals import raising

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.players import Answer, Orlop

# A signal may arrive between the opening of a file and the block that closes it, which the
# interpreter does then, with a warning.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

NAME = "example.com/greeting:v1"
CODES = {
    signal.SIGINT: INTERRUPTED,
    signal.SIGTERM: TERMINATED,
    signal.SIGHUP: HANGUP,
}
ENDING = pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
CALLS = ("open", "write", "pwrite", "pwritev", "fsync", "link", "replace", "rename", "unlink")
"""Calls to the system at which the signals arrive."""


class Sending:
    """Sends a signal when one of `CALLS` is made for the `count`th time."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int, count: int) -> None:
        self.calls = 0
        self._number = number
        self._count = count
        for name in CALLS:
            patch.setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self._count:
                signal.raise_signal(self._number)
            return call(*arguments, **options)

        return counted


def ended_at(orlop: Orlop, number: int, count: int, *arguments: str | Path) -> Answer | None:
    """Run a command that gets a signal at a call; `None` where it makes fewer."""
    with pytest.MonkeyPatch.context() as patch:
        sending = Sending(patch, number, count)
        answer = orlop.ended(*arguments)
    return answer if sending.calls >= count else None


def assert_ended(answer: Answer, number: int) -> None:
    """Check an end by a signal, or that of a command that was done already."""
    assert answer.code in {0, CODES[signal.Signals(number)]}, answer.err
    assert "Traceback" not in answer.err
    if answer.code:
        names = {signal.SIGINT: "interrupted"}
        text = names.get(signal.Signals(number), f"ended by {signal.Signals(number).name}")
        assert answer.err.splitlines()[-1].startswith(f"orlop: {text}")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root with an image, unpacked, and data that the next collection takes."""
    from cli.players import Orlop as Player  # noqa: PLC0415 (the name is only for types here)

    made = Player(tmp_path_factory.mktemp("template") / "root")
    greeting = Path(__file__).parents[2] / "examples" / "greeting.tar"
    made("image", "import", greeting, "--unpack", "native", "--quiet")
    made("content", "ingest", "ref", "-", stdin=b"garbage")
    return made.root


WORK = {
    "import": ("image", "import", "{examples}/greeting.tar", "--unpack", "native", "--quiet"),
    "unpack": ("image", "unpack", NAME, "--snapshotter", "native", "--quiet"),
    "export": ("image", "export", "{output}/out.tar", NAME, "--quiet"),
    "collect": ("gc", "run"),
    "backup": ("db", "backup", "{output}/copy.db"),
    "compact": ("db", "compact"),
    "compact to": ("db", "compact", "--output", "{output}/copy.db"),
    "salvage": ("db", "salvage", "{root}/io.containerd.metadata.v1.bolt/meta.db", "{output}/s.db"),
    "prepare": ("snapshot", "prepare", "key"),
}


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
@pytest.mark.parametrize("work", WORK)
def test_a_signal_at_any_call_leaves_nothing_half_done(
    orlop: Orlop, template: Path, tmp_path: Path, work: str, number: signal.Signals
) -> None:
    output = tmp_path / "output"
    words = {
        "examples": Path(__file__).parents[2] / "examples",
        "output": output,
        "root": orlop.root,
    }
    command = [word.format(**words) for word in WORK[work]]
    draw = random.Random(f"{work} {number}")
    count = first = draw.randint(1, 4)
    while True:
        shutil.rmtree(orlop.root, ignore_errors=True)
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        if work != "import":
            shutil.copytree(template, orlop.root, symlinks=True)
        answer = ended_at(orlop, number, count, *command)
        if answer is None:
            break
        assert_ended(answer, number)
        left = [path.name for path in output.iterdir()]
        assert not [name for name in left if name.startswith(".")], (count, left)
        if (orlop.root / METADATA).exists():
            assert orlop("lease", "ls", "--json").lines == [], count
            orlop("db", "check")
            # A signal amid the last step of a compaction leaves a file to the next opening.
            assert orlop.ended("gc", "run").code in {0, 5}
        beside = [path.name for path in (orlop.root / METADATA).parent.glob(".*")]
        assert beside == [], count
        count += draw.randint(1, 1 + count // 6)
    assert count > first


@ENDING
def test_a_migration_that_was_ended_can_be_begun_again(
    orlop: Orlop, data: Path, tmp_path: Path, number: signal.Signals
) -> None:
    golden = data / "meta-db" / "v1.6-07-leases-ns2-ingest.db"
    ended = 0
    for count in range(1, 60):
        folder = tmp_path / str(count)
        folder.mkdir()
        file = folder / "meta.db"
        shutil.copy(golden, file)
        file.chmod(0o600)
        answer = ended_at(orlop, number, count, "db", "migrate", file)
        if answer is None:
            break
        assert_ended(answer, number)
        ended += answer.code != 0
        orlop("db", "migrate", file)
        assert orlop("db", "info", file, "--json").document()["schema_version"] == 4
        assert {path.name for path in folder.iterdir()} == {"meta.db", "meta.db.version-3"}
        kept = orlop("db", "info", folder / "meta.db.version-3", "--json").document()
        assert kept["schema_version"] == 3
    assert ended > 0


def importing(
    orlop: Orlop, archive: Path, *, prelude: str = "", options: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    program = f"{prelude}\nimport sys; from orlop.__main__ import main; sys.exit(main())"
    command = ("image", "import", archive, "--unpack", "native")
    return subprocess.Popen(
        [sys.executable, "-c", program, "--root", orlop.root, *options, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


@ENDING
@pytest.mark.parametrize("lines", [1, 2, 5])
def test_a_process_that_imports(
    orlop: Orlop, long_image: Path, number: signal.Signals, lines: int
) -> None:
    with importing(orlop, long_image) as process:
        assert process.stderr is not None
        for _ in range(lines):
            process.stderr.readline()
        process.send_signal(number)
        if number is signal.SIGHUP:
            process.send_signal(number)  # as the shell and the system both do
        out, rest = process.communicate(timeout=60)

    assert (process.returncode, out) == (CODES[number], "")
    assert "orlop gc run" in rest.splitlines()[-1]
    assert "Traceback" not in rest
    assert orlop("lease", "ls", "--json").lines == []
    orlop("db", "check")
    assert leftovers(orlop) == []


@ENDING
def test_a_signal_that_was_ignored_stays_ignored(
    orlop: Orlop, long_image: Path, number: signal.Signals
) -> None:
    ignore = f"import signal; signal.signal({int(number)}, signal.SIG_IGN)"
    with importing(orlop, long_image, prelude=ignore) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(number)
        out, rest = process.communicate(timeout=60)

    assert process.returncode == 0, rest
    assert out
    assert len(orlop("image", "ls", "--json").objects()) == 1


@ENDING
def test_an_error_in_json_names_the_signal(
    orlop: Orlop, long_image: Path, number: signal.Signals
) -> None:
    with importing(orlop, long_image, options=("--json",)) as process:
        assert process.stderr is not None
        deadline = time.monotonic() + 30
        while not (orlop.root / CONTENT / "ingest").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        _, rest = process.communicate(timeout=60)

    error = json.loads(rest)["error"]
    assert error["exit_code"] == process.returncode == CODES[number]
    assert error["code"] in {"interrupted", "terminated", "hangup"}


@pytest.mark.parametrize("delay", [number / 50 for number in range(1, 16)])
def test_ctrl_c_while_the_program_starts_writes_no_traceback(orlop: Orlop, delay: float) -> None:
    """From the first modules of Orlop on: Python itself starts before that."""
    program = (
        "import os, signal, sys, threading, time\n"
        "import orlop.__main__\n"
        "def later():\n"
        "    while signal.getsignal(signal.SIGINT) is signal.default_int_handler: pass\n"
        f"    time.sleep({delay / 3})\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "threading.Thread(target=later, daemon=True).start()\n"
        "code = orlop.__main__.main()\n"
        f"time.sleep({delay})\n"
        "sys.exit(code)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "--root", orlop.root, "gc", "plan"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert "Traceback" not in ended.stderr
    assert ended.returncode in {INTERRUPTED, 3}, ended.stderr
    assert ended.stderr.startswith("orlop: ")


def test_a_signal_inside_an_import_waits_for_its_end(tmp_path: Path) -> None:
    (tmp_path / "slow_module.py").write_text(
        "import os, signal, time\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "for _ in range(20): time.sleep(0.01)\n"
        "IS_WHOLE = True\n",
        encoding="utf-8",
    )
    program = (
        "import sys, time\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "from orlop.cli.signals import raising\n"
        "try:\n"
        "    with raising():\n"
        "        import slow_module\n"
        "        time.sleep(20)\n"
        "except KeyboardInterrupt as error:\n"
        "    print(slow_module.IS_WHOLE, error, error.exit_code)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=15
    )

    assert ended.stdout == "True ended by SIGTERM 143\n"


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in CODES]

    with raising():
        assert [signal.getsignal(number) for number in CODES] != before

    assert [signal.getsignal(number) for number in CODES] == before


def test_handlers_of_the_caller_stay() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    try:
        with raising():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)

    assert seen == [signal.SIGTERM]
