"""Every command and every example that the documents show is executed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orlop.cli.main import app, main

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    path.relative_to(REPOSITORY)
    for pattern in ("*.md", "docs/**/*.md", "examples/*.md")
    for path in sorted(REPOSITORY.glob(pattern))
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

RUN_ELSEWHERE = {
    "make test": "this is part of it; .ci/run calls it (asserted below)",
    "make demo": "tests/docs/test_demo.py",
}
IN_THE_REPOSITORY = ("make ", "ORLOP_CAMPAIGN=")


def blocks(document: Path, *languages: str) -> list[str]:
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    return [body for language, body in BLOCK.findall(text) if language in languages]


def commands(document: Path) -> list[str]:
    lines = "".join(blocks(document, "console")).splitlines()
    return [re.sub(r"\s+# .*", "", line[2:]).strip() for line in lines if line.startswith("$ ")]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory like a fresh clone, as far as documents use it."""
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    return tmp_path


def environment(place: Path) -> dict[str, str]:
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(place),
        "ORLOP_ROOT": str(place / "root"),
        "TMPDIR": str(place),
    }


def test_documents_are_found_and_say_something() -> None:
    assert Path("README.md") in DOCUMENTS
    assert sum(len(commands(document)) for document in DOCUMENTS) > 50


def make_daemon_root(directory: Path) -> None:
    """Create the layout of `/var/lib/containerd` on a node."""
    metadata = directory / "io.containerd.metadata.v1.bolt"
    metadata.mkdir(parents=True)
    snapshotter = directory / "io.containerd.snapshotter.v1.overlayfs"
    snapshotter.mkdir()
    golden = REPOSITORY / "tests/data/meta-db/v2-08b-sandbox"
    shutil.copy(f"{golden}.db", metadata / "meta.db")
    shutil.copy(f"{golden}.snapshotter-overlayfs.db", snapshotter / "metadata.db")


@pytest.mark.parametrize("document", [each for each in DOCUMENTS if commands(each)], ids=str)
def test_every_command_works(
    document: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    make_daemon_root(place / "containerd")
    monkeypatch.chdir(place)
    for name, value in environment(place).items():
        monkeypatch.setenv(name, value)
    for command in commands(document):
        if command in RUN_ELSEWHERE or command.startswith(IN_THE_REPOSITORY):
            continue
        line = command.replace("/tmp/", f"{place}/")  # noqa: S108 (only replaced)
        line = line.replace("/var/lib/containerd", f"{place}/containerd")
        if line.startswith("orlop "):
            # In this process: the same function that the installed program calls, at once.
            code = main(shlex.split(line)[1:])
        else:
            code = subprocess.run(["bash", "-c", line], check=False, timeout=120).returncode
        printed = capfd.readouterr()
        assert code == 0, f"{command}\n{printed.out}{printed.err}"
        assert "Traceback" not in printed.err


@pytest.mark.parametrize(
    "document", [each for each in DOCUMENTS if blocks(each, "python")], ids=str
)
def test_every_example_in_python_works(document: Path, place: Path) -> None:
    for number, code in enumerate(blocks(document, "python")):
        shutil.rmtree(place / "store", ignore_errors=True)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            cwd=place,
            env=environment(place),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"example {number} of {document}\n{done.stderr}"


def test_make_help_lists_the_targets_that_documents_name() -> None:
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    named = {
        target
        for document in DOCUMENTS
        for target in re.findall(r"\bmake ([a-z]+)\b", "".join(blocks(document, "console")))
    }
    assert {"demo", "test"} <= named
    for target in named:
        assert f"make {target}" in listed


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert "make test" in commands(Path("README.md"))
    assert re.search(r"^(exec )?make test$", (REPOSITORY / ".ci/run").read_text(), re.MULTILINE)


def test_every_command_of_the_program_is_documented() -> None:
    shown = "\n".join(commands(Path("docs/command-line.md")))
    top = app.commands
    assert len(top) > 10
    for name, command in top.items():
        for inner in getattr(command, "commands", ()):
            assert f"orlop {name} {inner}" in shown
        if not hasattr(command, "commands"):
            assert re.search(rf"^orlop (--root \S+ )?{name}\b", shown, re.MULTILINE), name
