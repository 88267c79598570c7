"""Files that are no database, or no longer one, and locks on the files of a snapshotter."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from cli.players import METADATA
from orlop.cli.exit_codes import CORRUPT, NEGATIVE, UNAVAILABLE, USAGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli.players import Orlop

COMMANDS = [
    ("image", "ls"),
    ("content", "ls", "--json"),
    ("namespace", "ls"),
    ("gc", "plan"),
    ("db", "info"),
    ("db", "dump"),
    ("db", "tree"),
    ("db", "migrate"),
    ("lease", "create"),
    ("image", "rm", "x"),
    ("gc", "run"),
]

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "zeros": lambda whole: bytes(len(whole)),
    "noise": lambda whole: random.Random(1).randbytes(len(whole)),
    "text": lambda _: b"This is no database.\n" * 500,
    "short": lambda _: b"x",
    "one page": lambda whole: whole[:4096],
    "no tree": lambda whole: whole[: 3 * 4096],
    "half": lambda whole: whole[: len(whole) // 2],
    "no metas": lambda whole: bytes(2 * 4096) + whole[2 * 4096 :],
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_file_that_is_no_database(
    orlop: Orlop, data: Path, tmp_path: Path, damage: str, command: tuple[str, ...]
) -> None:
    file = orlop.root / METADATA
    file.parent.mkdir(parents=True)
    golden = data / "meta-db" / "v1.6-07-leases-ns2-ingest.db"
    file.write_bytes(DAMAGES[damage](golden.read_bytes()))
    before = file.read_bytes()

    answer = orlop(*command, code=CORRUPT)

    assert answer.err.startswith('{"error": ' if "--json" in command else "orlop: ")
    assert answer.err.count("\n") == 1
    assert answer.err.count(str(file)) == 1
    assert len(answer.err) < 500
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["meta.db"]
    orlop("db", "check", code=NEGATIVE)
    assert str(file) in orlop("db", "backup", tmp_path / "copy.db", code=CORRUPT).err
    assert not (tmp_path / "copy.db").exists()


def test_an_empty_file_is_no_database_to_read(orlop: Orlop) -> None:
    file = orlop.root / METADATA
    file.parent.mkdir(parents=True)
    file.touch()

    assert str(file) in orlop("image", "ls", code=CORRUPT).err


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_what_is_no_file_at_all(orlop: Orlop, command: tuple[str, ...]) -> None:
    file = orlop.root / METADATA
    file.parent.mkdir(parents=True)
    os.mkfifo(file)

    answer = orlop(*command, code=CORRUPT)

    assert answer.err.count(str(file)) == 1


@pytest.mark.parametrize("command", [("image", "ls"), ("lease", "create")], ids=" ".join)
def test_a_root_that_is_a_file(orlop: Orlop, command: tuple[str, ...]) -> None:
    orlop.root.write_text("a file", encoding="utf-8")

    assert str(orlop.root) in orlop(*command, code=USAGE).err
    assert orlop.root.read_text(encoding="utf-8") == "a file"


def test_a_damaged_page_is_told_of_where_it_is_met(orlop: Orlop, data: Path) -> None:
    file = orlop.root / METADATA
    file.parent.mkdir(parents=True)
    shutil.copy(data / "meta-db" / "v1.6-07-leases-ns2-ingest.db", file)
    whole = bytearray(file.read_bytes())
    for page in range(4, len(whole) // 4096):
        whole[page * 4096 : page * 4096 + 16] = b"\xff" * 16
    file.chmod(0o600)
    file.write_bytes(whole)

    for command in COMMANDS:
        answer = orlop(*command, code=CORRUPT)
        assert answer.err.count("\n") == 1
    assert orlop("db", "check", code=NEGATIVE).lines[-1].startswith(f"{file}: damaged in ")


def test_a_snapshotters_lock(with_image: Orlop) -> None:
    metastore = with_image.root / "io.containerd.snapshotter.v1.native" / "metadata.db"
    with metastore.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        begun = time.monotonic()
        answer = with_image("snapshot", "prepare", "key", "--timeout", "0.2", code=UNAVAILABLE)

    assert 0.2 <= time.monotonic() - begun < 3
    assert f"process {os.getpid()} (" in answer.err
    assert answer.err.count(str(metastore)) == 1
    assert with_image("snapshot", "ls", "--json").out.count('"key"') == 0
    with_image("snapshot", "prepare", "key")
