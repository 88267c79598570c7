"""A missing or empty database in a root with data: all commands give the same error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.players import METADATA, OVERLAY
from orlop.cli.exit_codes import CORRUPT, DONE, PRECONDITION

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.players import Orlop

NATIVE = Path("io.containerd.snapshotter.v1.native", "metadata.db")
ON_FILES = [
    "db info {file}",
    "db check {file}",
    "db check --meta 0 {file}",
    "db stats {file}",
    "db tree {file}",
    "db dump {file}",
    "db pages {file}",
    "db backup {out} {file}",
    "db diff {file} {file}",
    "db salvage {file} {out}",
    "db compact {file}",
    "db migrate {file}",
    "--db {file} image ls",
]
NEED_METADATA = [
    "image ls",
    "image inspect example.com/greeting:v1",
    "content ls",
    "content verify",
    "snapshot ls",
    "snapshot usage",
    "gc plan",
    "gc run",
    "gc quarantine",
    "gc journal",
    "why greeting:v1",
    "roots",
    "owner {root}/io.containerd.snapshotter.v1.native/snapshots/1",
    "lease create",
    "snapshot prepare new",
    "image import {archive} --quiet",
    "image export {out} example.com/greeting:v1",
    "content cat sha256:00",
    "db init",
]
NEED_SNAPSHOTS = [
    "snapshot ls",
    "snapshot tree",
    "snapshot usage",
    "snapshot mounts {key}",
    "snapshot prepare new --snapshotter {name}",
    "snapshot view new {key} --snapshotter {name}",
    "image import {archive} --unpack {name} --quiet",
    "image unpack example.com/greeting:v1 --snapshotter {name} --quiet",
]
LOSSES: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda file: file.write_bytes(b""),
    "interrupted at its creation": lambda file: file.write_bytes(bytes(8192)),
}


@pytest.fixture
def unpacked(orlop: Orlop, greeting: Path) -> Orlop:
    orlop(
        "image", "import", greeting, "--quiet", "--unpack", "native", "--unpack", "overlayfs"
    )  # fmt: skip
    return orlop


def answers_that_it_was_lost(orlop: Orlop, file: Path, command: str) -> str:
    answer = orlop(*command.split(), code=PRECONDITION)
    assert answer.raw == b""
    assert answer.err.count("\n") == 1
    assert answer.err.startswith(f"orlop: {file} is ")
    for part in ("although", "was lost", "backup", "orlop db init --begin-anew"):
        assert part in answer.err, answer.err
    return answer.err


@pytest.mark.parametrize("loss", LOSSES)
def test_a_lost_meta_db_has_one_answer(
    unpacked: Orlop, greeting: Path, tmp_path: Path, loss: str
) -> None:
    file = unpacked.root / METADATA
    LOSSES[loss](file)
    for command in NEED_METADATA + ON_FILES:
        line = command.format(file=file, root=unpacked.root, archive=greeting, out=tmp_path / "out")
        answers_that_it_was_lost(unpacked, file, line)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("which", [NATIVE, OVERLAY], ids=lambda path: path.parent.suffix)
def test_a_lost_database_of_a_snapshotter_has_one_answer(
    unpacked: Orlop, greeting: Path, tmp_path: Path, loss: str, which: Path
) -> None:
    name = which.parent.suffix[1:]
    snapshots = unpacked("snapshot", "ls", "--snapshotter", name, "--json").objects()
    file = unpacked.root / which
    LOSSES[loss](file)
    for command in NEED_SNAPSHOTS + ON_FILES[:-1]:
        line = command.format(
            name=name,
            key=snapshots[0]["name"],
            file=file,
            directory=file.parent,
            archive=greeting,
            out=tmp_path / "out",
        )
        answers_that_it_was_lost(unpacked, file, line)
    assert not (tmp_path / "out").exists()
    # What needs none of it goes on.
    for line in ("roots", "content ls", "lease create", "why greeting:v1"):
        unpacked(*line.split())


def test_an_empty_file_in_a_root_without_data_is_no_loss(orlop: Orlop) -> None:
    file = orlop.root / METADATA
    file.parent.mkdir(parents=True)
    file.touch()

    answer = orlop("image", "ls", code=CORRUPT)

    assert "is empty" in answer.err
    assert "salvage" not in answer.err
    orlop("lease", "create", code=DONE)
    orlop("image", "ls")
