"""Any encoding, any name: output never fails because of its characters."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cli.players import METADATA, Orlop
from orlop.cli.output import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENVIRONMENTS: dict[str, Mapping[str, str]] = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "strict ascii": {"PYTHONIOENCODING": "ascii:strict"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "utf-8": {"PYTHONIOENCODING": "utf-8:strict"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "utf-16": {"PYTHONIOENCODING": "utf-16-le"},
    "EBCDIC": {"PYTHONIOENCODING": "cp500"},
    "C": {"LC_ALL": "C"},
    "C as it is": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "POSIX": {"LANG": "POSIX", "LC_ALL": "POSIX", "PYTHONUTF8": "0"},
}
FOREIGN = "\udcff\udc80"
STAND_IN = "~Q"
NAMES = (
    "käse",
    "猫",
    "a\u20ac\U0001f40bwhale",
    "red\x1b[31m",
    "\x1b]0;title\x07",
    "c1\x9b31m\x85",
    "turn\u202eed",
    "zero\u200bwidth\ufeff",
    "line\nfeed\r\u2028",
    "nul\x7f",
    "bytes\udcff\udc80",
)
COMMANDS = (
    ("lease", "ls"),
    ("lease", "inspect", "{name}"),
    ("lease", "resources", "{name}"),
    ("snapshot", "ls"),
    ("snapshot", "tree"),
    ("snapshot", "usage"),
    ("snapshot", "mounts", "{name}"),
    ("image", "inspect", "{name}"),
    ("why", "{name}"),
    ("roots",),
    ("referrers", "{name}"),
    ("owner", "{name}"),
    ("gc", "plan", "--now", "2199-01-01T00:00:00Z"),
    ("gc", "plan", "--without", "lease:{name}"),
    ("db", "tree"),
    ("db", "dump"),
    ("db", "{name}"),
    ("{name}",),
    ("lease", "ls", "--{name}"),
    ("lease", "label", "{name}", "{name}={name}"),
    ("lease", "rm", "{name}", "{name}"),
    ("db", "backup", "{name}/copy.db"),
    ("db", "check", "{name}"),
)
NAME_IN_USE = re.compile(r"\{name\}")


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Orlop:
    """Return the command line on a root with all these names in it."""
    made = Orlop(tmp_path_factory.mktemp("named") / "root")
    for stored in NAMES:
        # No command writes what is no UTF-8: another program did.
        name = stored.replace(FOREIGN, STAND_IN)
        made("lease", "create", name, "--label", f"{name}={name}")
        made("lease", "add", name, "images", name)
        made("snapshot", "prepare", name, "--snapshotter", "native", "--label", f"a={name}")
    native = made.root / "io.containerd.snapshotter.v1.native" / "metadata.db"
    for file in (made.root / METADATA, native):
        data = file.read_bytes()
        file.write_bytes(data.replace(STAND_IN.encode(), os.fsencode(FOREIGN)))
    return made


def filled(command: tuple[str, ...], name: str) -> list[str]:
    return [NAME_IN_USE.sub(lambda _: name, word) for word in command]


def is_harmless(text: str) -> bool:
    return all(letter.isprintable() or letter == "\n" for letter in text)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_an_encoding_that_lacks_characters(
    named: Orlop, environment: str, options: tuple[str, ...]
) -> None:
    draw = random.Random(environment)
    for command in draw.sample(COMMANDS, 8):
        words = filled(command, draw.choice(NAMES))
        ended = named.started(*options, *words, env={**ENVIRONMENTS[environment], "TERM": "dumb"})

        chosen = {} if options else ENVIRONMENTS[environment]
        encoding = chosen.get("PYTHONIOENCODING", "utf-8").partition(":")[0]
        out, err = ended.stdout.decode(encoding), ended.stderr.decode(encoding)
        assert ended.returncode in range(9), (words, err)
        assert "bug" not in err, (words, err)
        assert is_harmless(out), words
        assert is_harmless(err), words
        if options:
            assert out.isascii()
            for line in out.splitlines():
                json.loads(line)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_every_name_in_every_command(named: Orlop, name: str) -> None:
    for command in COMMANDS:
        answer = named.ended(*filled(command, name))

        assert answer.code in range(9), (command, answer.err)
        assert is_harmless(answer.out), command
        assert is_harmless(answer.err), command


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_json_gives_a_name_back(named: Orlop, name: str) -> None:
    answer = named("lease", "ls", "--json")

    assert answer.raw.isascii()
    assert name in {one["id"] for one in answer.objects()}


def on_a_terminal(orlop: Orlop, *arguments: str) -> str:
    """Return the output of a command to a terminal."""
    master, terminal = pty.openpty()
    ended = subprocess.run(
        [sys.executable, "-m", "orlop", *arguments],
        stdout=terminal,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
        env={**os.environ, "ORLOP_ROOT": str(orlop.root), "PYTHONIOENCODING": "utf-8"},
    )
    os.close(terminal)
    with open(master, "rb", buffering=0) as file:  # noqa: PTH123 (a descriptor)
        data = b"".join(_pieces(file))
    assert ended.returncode == 0, ended.stderr
    return data.decode().replace("\r\n", "\n")


def _pieces(file: object) -> Iterator[bytes]:
    while True:
        try:
            piece = file.read(4096)  # type: ignore[attr-defined]
        except OSError:  # the other end is closed
            return
        if not piece:
            return
        yield piece


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_record_on_a_terminal_keeps_its_letters_and_no_controls(named: Orlop, name: str) -> None:
    text = on_a_terminal(named, "lease", "inspect", name)

    assert is_harmless(text)
    assert json.loads(text)["id"] == name
    assert not name.isprintable() or name in text


def test_names_from_a_database_that_are_no_text(orlop: Orlop) -> None:
    """Bytes that are no UTF-8 were written by another program."""
    orlop("lease", "create", "marker-name")
    file = orlop.root / METADATA
    file.write_bytes(file.read_bytes().replace(b"marker-name", b"\xff\x1b[31m\xc3\x28 xy"))

    for command in (("lease", "ls"), ("roots",), ("db", "tree"), ("gc", "plan")):
        for options in ((), ("--json",)):
            answer = orlop(*command, *options)
            assert is_harmless(answer.out)
            assert not options or answer.raw.isascii()


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_what_is_printable_stays(name: str) -> None:
    assert is_harmless(printable(name))
    assert (printable(name) == name) == name.isprintable()
