"""One script, played by Orlop and by containerd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from differential.comparison import contents, differ
from differential.player import Player
from differential.scripts import Script

if TYPE_CHECKING:
    from pathlib import Path

    from differential.driver import Driver

META_DB = "io.containerd.metadata.v1.bolt/meta.db"


def duel(driver: Driver, folder: Path, seed: int, count: int) -> list[dict[str, Any]]:
    """Play `count` operations on both sides, compare them, and return Orlop's answers."""
    ours, theirs = folder / "orlop", folder / "containerd"
    operations: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = []
    with Player(ours) as player:
        script = Script(seed, player)
        for _ in range(count):
            operations.append(script.next())
            answers.append(player.answer(operations[-1]))
            script.played(operations[-1], answers[-1])
    expected = driver.run(theirs, operations)
    assert len(expected) == count
    for place, (operation, answer, wanted) in enumerate(
        zip(operations, answers, expected, strict=True)
    ):
        assert not differ(answer, wanted), (
            f"operation {place} of seed {seed}: {operation}\norlop:      {answer}\n"
            f"containerd: {wanted}"
        )
    assert contents(ours / META_DB) == contents(theirs / META_DB), f"seed {seed}"
    return answers
