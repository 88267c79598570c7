"""One script, played by Orlop and by containerd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from differential.comparison import contents, differ
from differential.player import Player
from differential.scripts import Script

if TYPE_CHECKING:
    from pathlib import Path

    from differential.driver import Driver

    Answers = list[dict[str, Any]]

META_DB = "io.containerd.metadata.v1.bolt/meta.db"


def duel(driver: Driver, folder: Path, seed: int, count: int) -> Answers:
    """Play `count` operations on both sides, compare them, and return Orlop's answers."""
    operations: list[dict[str, Any]] = []
    answers: Answers = []
    with Player(folder / "orlop") as player:
        script = Script(seed, player)
        for _ in range(count):
            operations.append(script.next())
            answers.append(player.answer(operations[-1]))
            script.played(operations[-1], answers[-1])
    compare(driver, folder, operations, answers, f"seed {seed}")
    return answers


def play(driver: Driver, folder: Path, operations: list[dict[str, Any]]) -> Answers:
    """Play a script on both sides, compare them, and return Orlop's answers."""
    with Player(folder / "orlop") as player:
        answers = [player.answer(operation) for operation in operations]
    compare(driver, folder, operations, answers, "the script")
    return answers


def compare(
    driver: Driver, folder: Path, operations: list[dict[str, Any]], answers: Answers, name: str
) -> None:
    """Replay Orlop's operations on containerd; compare the answers, then the databases."""
    expected = driver.run(folder / "containerd", operations)
    for place, (operation, answer, wanted) in enumerate(
        zip(operations, answers, expected, strict=True)
    ):
        assert not differ(answer, wanted), (
            f"operation {place} of {name}: {operation}\norlop:      {answer}\ncontainerd: {wanted}"
        )
    ours, theirs = folder / "orlop" / META_DB, folder / "containerd" / META_DB
    assert contents(ours) == contents(theirs), f"the databases after {name}"
