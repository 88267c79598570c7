"""The same random script through Orlop and through bbolt, beside each other or in turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from real.pages import Pages
from real.players import check, dump, make_empty, play
from real.scripts import Operation, Script

if TYPE_CHECKING:
    from pathlib import Path

    from oracle.client import Oracle

OPERATIONS = 10_000
SHIFT = 500
"""Operations, at least, that one side plays on a shared file before the other takes over."""


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a duel's files; `page_size` is in bytes, 0 for the machine's own."""

    page_size: int = 0
    freelist_sync: bool = True

    def of(self, oracle: Oracle) -> Oracle:
        """Return bbolt as it makes such files; it does not wait for the disk."""
        return oracle.with_options(
            page_size=self.page_size, freelist_sync=self.freelist_sync, sync=False
        )


def shifts(operations: list[Operation]) -> list[list[Operation]]:
    """Cut a script where a transaction ends, into pieces of `SHIFT` operations or more."""
    pieces: list[list[Operation]] = [[]]
    between = True
    for operation in operations:
        if between and len(pieces[-1]) >= SHIFT:
            pieces.append([])
        pieces[-1].append(operation)
        between = operation.kind in {"commit", "rollback", "reopen"}
    return pieces


def side_by_side(bbolt: Oracle, folder: Path, form: Form, seed: int) -> int:
    """Let each engine play a script on a file of its own; return how many operations it had.

    Every result is the same, both checks of both files are clean, all dumps are equal.
    """
    ours, theirs = folder / "orlop.db", folder / "bbolt.db"
    oracle = form.of(bbolt)
    script = Script(seed, OPERATIONS)
    operations = list(script)
    if form.page_size:
        make_empty(oracle, ours)

    expected = oracle.run(theirs, [operation.as_json() for operation in operations])
    results = play(ours, operations, freelist_sync=form.freelist_sync)

    assert len(operations) > OPERATIONS
    for place, (operation, result, wanted) in enumerate(
        zip(operations, results, expected, strict=True)
    ):
        assert result == wanted, f"operation {place} of seed {seed}: {operation}"
    assert oracle.check(theirs) == check(theirs) == []
    assert oracle.check(ours) == check(ours) == []
    assert Pages(ours).lean_pages() == []
    wanted_dump = script.contents.dump()
    assert oracle.dump(theirs) == wanted_dump
    assert oracle.dump(ours) == wanted_dump
    assert dump(theirs) == wanted_dump
    assert dump(ours) == wanted_dump
    return len(operations)


def in_turns(bbolt: Oracle, folder: Path, form: Form, seed: int) -> int:
    """Let both engines play a script on one file in turns; return how many operations it had.

    After each turn both checks are clean; in the end both dumps are what the script knows.
    """
    path = folder / "shared.db"
    oracle = form.of(bbolt)
    script = Script(seed, OPERATIONS)
    operations = list(script)
    make_empty(oracle, path)

    for turn, piece in enumerate(shifts(operations)):
        if turn % 2:
            oracle.run(path, [operation.as_json() for operation in piece])
        else:
            # Left to itself, Orlop keeps the form of freelist that it finds.
            play(path, piece)
        assert oracle.check(path) == check(path) == [], f"seed {seed}, turn {turn}"
        assert Pages(path).lean_pages() == [], f"seed {seed}, turn {turn}"

    assert oracle.dump(path) == script.contents.dump()
    assert dump(path) == script.contents.dump()
    return len(operations)
