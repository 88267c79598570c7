"""First mistakes of a new user: refusals have the right exit code, and name the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.players import CONTENT, METADATA
from orlop.cli.exit_codes import CORRUPT, NOT_FOUND, USAGE

if TYPE_CHECKING:
    from cli.players import Orlop


@pytest.mark.parametrize("options", [["-n", ""], ["--namespace="]])
def test_an_empty_namespace_is_wrong_usage(with_image: Orlop, options: list[str]) -> None:
    assert "-n" in with_image("image", "ls", *options, code=USAGE).err


@pytest.mark.parametrize("size", [100, 8192, 9000])
def test_statistics_of_a_cut_file_are_refused(with_image: Orlop, tmp_path: Path, size: int) -> None:
    cut = tmp_path / "cut.db"
    cut.write_bytes((with_image.root / METADATA).read_bytes()[:size])

    answer = with_image("db", "stats", cut, code=CORRUPT)

    assert answer.raw == b""


@pytest.mark.parametrize(
    "place",
    [CONTENT / "blobs" / "sha256" / "x", Path("io.containerd.snapshotter.v1.native/snapshots/1/x")],
    ids=["blobs", "snapshots"],
)
def test_no_database_is_written_among_the_data_of_a_root(with_image: Orlop, place: Path) -> None:
    meta, target = with_image.root / METADATA, with_image.root / place

    lines: list[list[str | Path]] = [["salvage", meta, target], ["backup", target]]
    for line in lines:
        assert "elsewhere" in with_image("db", *line, code=USAGE).err
    assert not target.exists()


def test_what_a_reference_may_be_is_said_where_it_names_nothing(with_image: Orlop) -> None:
    with_image("image", "tag", "example.com/greeting:v1", "app:app2")

    answer = with_image("why", "app2", code=NOT_FOUND)

    assert "the end of an image's name" in answer.err
    assert with_image("why", "app:app2").lines


def test_damage_names_the_backup_before_salvage(with_image: Orlop, tmp_path: Path) -> None:
    damaged = tmp_path / "meta.db"
    damaged.write_bytes(b"\x01" * 16384)

    answer = with_image("--db", damaged, "image", "ls", code=CORRUPT)

    assert answer.err.index("backup") < answer.err.index("salvage")
