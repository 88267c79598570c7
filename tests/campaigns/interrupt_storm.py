"""Signals with a raising handler, at any moment of a program's work with one handle.

usage: interrupt_storm.py ROOT SEED TRIES [OPERATION ...]

It prints each failure on a line, and at last how many tries were interrupted.
"""

from __future__ import annotations

import faulthandler
import logging
import random
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orlop
from campaigns.interrupt_worker import (
    BOUND_SECONDS,
    OPENING_SECONDS,
    OPERATIONS,
    World,
    collect,
    lease_block,
    make_snapshot,
    read,
    remove_snapshot,
    say,
    update,
    update_block,
    view,
    write_content,
)
from orlop.errors import AlreadyExistsError, NotFoundError, OrlopError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

LONGEST_SECONDS: Final = 0.006
SHORTEST_SECONDS: Final = 0.00005

AGAIN_SECONDS: Final = 0.0003
"""Not much shorter, or the handler has all the time for itself."""

SEVERAL: Final[list[Callable[[World], None]]] = [
    update,
    update,
    update_block,
    collect,
    collect,
    make_snapshot,
    remove_snapshot,
    write_content,
    lease_block,
    read,
    view,
]


class AlarmError(Exception):
    """The exception that the handler raises."""


class Storm:
    """One program, and the signals that it gets.

    Attributes:
        interrupted: how many tries were.
        poisoned: how many handles said that they are of no use any more.
    """

    def __init__(self, root: Path, seed: int, operations: Sequence[str]) -> None:
        self.operations = [OPERATIONS[one][1] for one in operations] or SEVERAL
        self.random = random.Random(seed)
        self.world = World(root)
        self.interrupted = 0
        self.poisoned = 0
        self._is_on = False
        signal.signal(signal.SIGALRM, self.on_alarm)

    def on_alarm(self, _signal: int, _frame: FrameType | None) -> None:
        if self._is_on:
            raise AlarmError

    def go_on(self) -> None:
        """Do one thing under signals, then see that all that was acknowledged is there."""
        world = self.world
        world.number += 1
        self.prepare()
        if self.is_interrupted(self.random.choice(self.operations)):
            self.interrupted += 1
        try:
            self.use()
        except OrlopError as error:
            if "a commit failed" not in str(error):
                raise
            self.poisoned += 1
            world.db.close()
            world.db = orlop.open(world.root, timeout=OPENING_SECONDS)
            world.check("opened")
            self.use()
        if self.random.random() < 0.05:
            self.is_interrupted(lambda world: world.db.close())
            world.db.close()
            world.db = orlop.open(world.root, timeout=OPENING_SECONDS)
            world.check("closed")

    def prepare(self) -> None:
        """Create the objects of the next try: an image, and a snapshot that may be deleted."""
        world = self.world
        name = f"a{world.number}"
        world.image(name, world.put(world.data))
        world.live[name] = world.data
        with suppress(AlreadyExistsError):
            world.namespace.leases.create("writing")
        world.snapshot(f"s{world.number}")
        world.snapshots.add(f"s{world.number}")
        world.number += 1000000
        world.put(b"garbage %d" % world.number)
        world.number -= 1000000

    def is_interrupted(self, act: Callable[[World], None]) -> bool:
        """Let signals come while something is done: one, or one after the other."""
        delay = self.random.uniform(SHORTEST_SECONDS, LONGEST_SECONDS)
        again = self.random.choice([0, 0, 0, AGAIN_SECONDS])
        try:
            self._is_on = True
            signal.setitimer(signal.ITIMER_REAL, delay, again)
            act(self.world)
            self._is_on = False
        except (AlarmError, OrlopError, RuntimeError):
            self._is_on = False
            return True
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return False

    def use(self) -> None:
        """Continue to use the handle: no data is lost."""
        world = self.world
        world.db.gc.run(confirmed=True)
        world.check("collected")
        for name in self.random.sample(sorted(world.live), len(world.live) // 2):
            with suppress(NotFoundError):
                world.namespace.images.delete(name)
            world.live.pop(name)
        store = world.namespace.snapshots("native")
        for name in self.random.sample(sorted(world.snapshots), len(world.snapshots) // 2):
            world.snapshots.discard(name)
            with suppress(NotFoundError):
                store.remove(name)
        world.db.gc.run(confirmed=True)
        world.check("collected again")


def main(root: str, seed: int, tries: int, operations: Sequence[str]) -> None:
    logging.disable()
    storm = Storm(Path(root), seed, operations)
    for number in range(tries):
        faulthandler.dump_traceback_later(BOUND_SECONDS, exit=True)
        try:
            storm.go_on()
        except BaseException:  # noqa: BLE001 (told, with the number)
            say(f"FAILED {seed}:{number}\n{traceback.format_exc()}")
            break
    faulthandler.cancel_dump_traceback_later()
    storm.world.db.close()
    say(f"TRIED {storm.interrupted} of {tries}, {storm.poisoned} poisoned")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
