"""Every command has help that reads, takes the shared options anywhere, and is tested."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import orlop as library
from orlop.cli.main import app, in_front, main
from orlop.cli.parser import Group

if TYPE_CHECKING:
    from cli.players import Orlop

DESIGNED = {
    "image": "import unpack export ls inspect tag label rm",
    "content": "ls cat ingest label verify rm ingests abort",
    "snapshot": "ls tree prepare view commit mounts usage label rm",
    "container": "create ls inspect label rm",
    "sandbox": "create ls inspect label rm",
    "lease": "create ls inspect label rm add resources",
    "namespace": "create ls inspect label rm",
    "gc": "run plan journal quarantine",
    "db": "init info tree dump check migrate backup pages stats compact diff salvage",
}
QUESTIONS = ("why", "roots", "referrers", "owner")
VERSION = f"orlop {library.__version__}{' (accelerated)' * library.accelerated}"
COMMANDS = [(group, command) for group, names in DESIGNED.items() for command in names.split()]
TESTS = "".join(
    path.read_text(encoding="utf-8")
    for path in Path(__file__).parent.glob("test_*.py")
    if path != Path(__file__)
)


def test_the_groups_are_the_designed_ones() -> None:
    found = app.commands
    groups = {name: group for name, group in found.items() if isinstance(group, Group)}

    assert {name: set(group.commands) for name, group in groups.items()} == {
        name: set(commands.split()) for name, commands in DESIGNED.items()
    }
    assert set(found) - set(groups) == set(QUESTIONS)


@pytest.mark.parametrize(("group", "command"), COMMANDS, ids=" ".join)
def test_help_of_a_command(orlop: Orlop, group: str, command: str) -> None:
    answer = orlop(group, command, "--help")

    usage, _, said, *_ = answer.lines
    assert usage.startswith(f"Usage: orlop {group} {command}")
    assert said.strip()
    assert "orlop --help" in answer.out
    assert answer.err == ""


@pytest.mark.parametrize("command", QUESTIONS)
def test_help_of_a_question(orlop: Orlop, command: str) -> None:
    answer = orlop(command, "--help")

    assert answer.lines[0].startswith(f"Usage: orlop {command}")
    assert "orlop --help" in answer.out
    assert f"\n  {command} " in orlop("--help").out
    assert f'"{command}", ' in TESTS, "no test calls it"


@pytest.mark.parametrize(("group", "command"), COMMANDS, ids=" ".join)
def test_every_command_is_tested(group: str, command: str) -> None:
    either = rf'(?:"{group}"|\bgroup), "{command}"'
    assert re.search(either, TESTS) or (
        group == "lease" and re.search(rf'\("{command}", ', TESTS)
    ), "no test calls it"


def test_help_of_all(orlop: Orlop) -> None:
    answer = orlop("--help")

    for name in DESIGNED:
        assert f"\n  {name} " in answer.out
        assert orlop(name, "--help").out.startswith(f"Usage: orlop {name} ")
    assert all(len(line) <= 80 for line in answer.lines)


@pytest.mark.parametrize("arguments", [(), *((name,) for name in DESIGNED)])
def test_a_group_alone_says_what_it_offers(orlop: Orlop, arguments: tuple[str, ...]) -> None:
    answer = orlop(*arguments, code=2)

    assert answer.out == ""
    assert "Commands:" in answer.err


def test_version(orlop: Orlop) -> None:
    assert orlop("--version").lines == [VERSION]
    assert orlop("--version", "--json").document() == {
        "version": library.__version__,
        "accelerated": library.accelerated,
    }


def test_as_a_module(orlop: Orlop) -> None:
    ended = orlop.started("--version")

    assert (ended.returncode, ended.stdout) == (0, f"{VERSION}\n".encode())


def test_as_a_script(orlop: Orlop, data: Path) -> None:
    # What its environment says holds where no option does.
    ended = orlop.started(
        "image", "ls", "--db", data / "meta-db" / "v2-08b-sandbox.db", "-n", "ns2", "--json"
    )

    assert ended.stdout.count(b"\n") == 1
    assert orlop.started("image", "ls").returncode == 3


@pytest.mark.parametrize(
    ("given", "moved"),
    [
        ("image ls --json", "--json image ls"),
        ("image ls -n default x", "-n default image ls x"),
        ("image ls -ndefault", "-ndefault image ls"),
        ("image --root=/r ls --db /d", "--root=/r --db /d image ls"),
        ("image label -- x --json", "image label -- x --json"),
        ("image import --name n -q f", "-q image import --name n f"),
        ("image ls --namespace", "--namespace image ls"),
        ("gc plan --now --json-like", "gc plan --now --json-like"),
    ],
)
def test_shared_options_stand_anywhere(given: str, moved: str) -> None:
    assert in_front(given.split()) == moved.split()


def test_the_roots_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert main(["lease", "create", "a"]) == 0
    monkeypatch.setenv("ORLOP_ROOT", str(tmp_path / "named"))
    assert main(["lease", "create", "b"]) == 0
    assert main(["lease", "create", "c", "--root", str(tmp_path / "given")]) == 0

    capsys.readouterr()
    for name, lease in {"data/orlop": "a", "named": "b", "given": "c"}.items():
        with library.open(tmp_path / name, read_only=True) as database:
            assert [one.id for one in database.namespace("default").leases.list()] == [lease]
