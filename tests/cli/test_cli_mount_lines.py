"""The mount command of a snapshot is valid shell for any path of the root."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.players import Orlop
from orlop.cli.output import shell_word

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORIES = (
    "plain",
    "with space",
    'quote\'d "twice"',
    "$HOME `id` $(id) \\",
    "a;b|c&d>e<f*?[g]~#!{h,i}",
    "tab\tand\nline",
    "esc\x1b[31mred",
    "käse 猫",
    "bytes\udcff\udc80",
    "-leading",
    "'",
)


def words_of(line: str) -> list[str]:
    """Return the words of a line as bash reads them."""
    ended = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True, timeout=20
    )
    return [os.fsdecode(word) for word in ended.stdout.split(b"\0")[:-1]]


@pytest.mark.parametrize("name", DIRECTORIES, ids=ascii)
@pytest.mark.parametrize("snapshotter", ["native", "overlayfs"])
def test_a_mount_line_has_the_words_of_the_mount(
    tmp_path: Path, name: str, snapshotter: str
) -> None:
    orlop = Orlop(tmp_path / name / "root")
    chosen = ("--snapshotter", snapshotter)
    orlop("snapshot", "prepare", "base", *chosen)
    orlop("snapshot", "commit", "layer", "base", *chosen)

    for command in (
        ("snapshot", "prepare", "top", "layer", *chosen),
        ("snapshot", "mounts", "top", *chosen),
        ("snapshot", "view", "look", "layer", *chosen),
    ):
        (line,) = orlop(*command).lines
        assert line.isprintable()
        (mount,) = orlop("snapshot", "mounts", command[2], *chosen, "--json").document()
        options = ",".join(mount["options"])
        assert words_of(line) == ["mount", "-t", mount["type"], "-o", options, mount["source"]]


@given(st.lists(st.text(st.characters(exclude_characters="\0")), min_size=1, max_size=4))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_text_is_one_word(texts: list[str]) -> None:
    texts = [os.fsdecode(text.encode("utf-8", "surrogatepass")) for text in texts]
    line = " ".join(shell_word(text) for text in texts)

    assert line.isprintable()
    assert words_of(line) == texts
