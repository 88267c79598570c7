"""A history: steps that a seed chooses, with a check after each, and an end at which all goes."""

from __future__ import annotations

import faulthandler
import hashlib
import os
import pickle
import random
import shutil
import signal
import threading
import time
import traceback
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from campaigns.world import lives, operations, outsiders, paths, tampering
from campaigns.world.archives import make_archives
from campaigns.world.known import OFF
from campaigns.world.records import INGEST
from campaigns.world.state import RefusedError, World
from orlop.maintenance import check_file
from stores.consistency import check_data, check_nothing_unnamed, check_records

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECONDS_MAX: Final = 30.0
SHRINKING_SECONDS_MAX: Final = 40.0
YEARS: Final = 1000 * 365 * 86_400.0


def reopen(world: World, rng: random.Random) -> None:
    world.say("close")
    world.close(rng)


def jump(world: World, rng: random.Random) -> None:
    """Set the clock on the wall, by hours or decades, either way."""
    seconds = rng.choice((-1, 1)) * rng.choice((2.0, 30.0, 300_000.0)) * 3600
    world.say(f"the clock jumps by {seconds / 3600} h")
    world.clock.jump(seconds)


def pass_time(world: World, rng: random.Random) -> None:
    seconds = rng.choice((60.0, 1800.0, 7200.0))
    world.say(f"{seconds} s pass")
    world.clock.pass_time(seconds)


STEPS: Final[dict[str, tuple[int, Callable[[World, random.Random], None]]]] = {
    **operations.OPERATIONS,
    "begin block": (4, operations.begin_block),
    "end block": (3, operations.end_block),
    "crossed blocks": (3, lives.cross_blocks),
    "close": (2, reopen),
    "process": (14, lives.live),
    "signal": (6, lives.interrupt),
    "threads": (5, lives.at_once),
    "copy": (3, tampering.take_copy),
    "set back": (4, tampering.put_copy_back),
    "lose": (1, tampering.lose_file),
    "newest": (4, tampering.put_newest_back),
    "under handle": (2, tampering.replace_under_handle),
    "power loss": (1, tampering.lose_power),
    "move": (1, tampering.move_root),
    "away": (2, tampering.leave_backend_out),
    "older proof": (3, tampering.put_older_proof_back),
    "release": (1, tampering.release),
    "child": (1, tampering.child_lives_on),
    "command": (3, outsiders.command),
    "daemon": (1, outsiders.daemon),
    "elsewhere": (1, outsiders.go_elsewhere),
    "jump": (2, jump),
    "time": (1, pass_time),
    "long upload": (3, operations.upload_long),
}
"""All steps, with how often they are chosen."""

TAMPERING: Final = frozenset(
    {"set back", "lose", "under handle", "power loss", "move", "copy", "away", "older proof"}
)


DAEMON_EVERY: Final = 100
"""One of so many histories has a real containerd in it, which takes its time to start."""

DAEMON_WEIGHT: Final = 8


class Step(NamedTuple):
    """A step, and the seed that decides all that it does."""

    name: str
    seed: int


@dataclass
class Outcome:
    """The outcome of a history."""

    failure: str = ""
    log: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


def is_daemon_here() -> bool:
    return os.geteuid() == 0 and all(map(shutil.which, ("containerd", "ctr")))


def choose(seed: int) -> list[Step]:
    """Return the steps of a seed."""
    rng = random.Random(seed)
    names = [one for one in STEPS if one not in OFF]
    has_daemon = seed % DAEMON_EVERY == DAEMON_EVERY - 1 and is_daemon_here()
    # In a share of the histories nobody touches the files: there, no doubt may arise.
    if rng.random() < 0.4:
        names = [one for one in names if one not in TAMPERING]
    if rng.random() < 0.5 or has_daemon:
        names = [one for one in names if one not in {"jump", "time"}]
    if has_daemon:
        names += ["daemon"] * DAEMON_WEIGHT
    names.remove("daemon")
    weights = [STEPS[one][0] for one in names]
    count = rng.randrange(6, 25)
    return [Step(one, rng.randrange(1 << 40)) for one in rng.choices(names, weights, k=count)]


def run(folder: Path, steps: list[Step]) -> Outcome:
    """Go through a history in a process of its own, which ends in time."""
    folder.mkdir()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        outcome = Outcome("the process ended")
        try:
            faulthandler.enable((folder / "stacks").open("w"))
            outcome = _run(folder, steps)
        finally:
            with open(writing, "wb") as pipe:  # noqa: PTH123 -- a descriptor
                pickle.dump(outcome, pipe)
            os._exit(0)
    os.close(writing)
    timer = threading.Timer(SECONDS_MAX, lambda: os.kill(pid, signal.SIGABRT))
    timer.start()
    try:
        with open(reading, "rb") as pipe:  # noqa: PTH123 -- a descriptor
            data = pipe.read()
        status = os.waitpid(pid, 0)[1]
    finally:
        timer.cancel()
    stacks = (folder / "stacks").read_text() if (folder / "stacks").exists() else ""
    log = (folder / "log").read_text().splitlines() if (folder / "log").exists() else []
    shutil.rmtree(folder)
    if os.waitstatus_to_exitcode(status):
        return Outcome(f"hung, or was aborted:\n{stacks}", log)
    told: Outcome = pickle.loads(data)  # noqa: S301 -- our own
    return told


def _run(folder: Path, steps: list[Step]) -> Outcome:
    archives = make_archives(folder)
    world = World(folder, archives, folder / "root")
    world.is_relative = any(step.name == "elsewhere" for step in steps)
    with (folder / "log").open("w", encoding="utf-8", buffering=1) as log:
        say = world.say

        def say_and_write(text: str) -> None:
            say(text)
            log.write(f"{text}\n")

        world.say = say_and_write  # type: ignore[method-assign]
        try:
            for number, step in enumerate(steps):
                world.say(f"{number}. {step.name}")
                world.count("steps")
                try:
                    STEPS[step.name][1](world, random.Random(step.seed))
                except RefusedError:
                    world.count("refused")
                world.check()
            world.say("the end")
            _end(world)
        except BaseException as error:  # noqa: BLE001 -- whatever it is, it is the outcome
            text = "".join(traceback.format_exception(error))
            return Outcome(f"{type(error).__name__}: {error}\n{text}", world.log, world.counts)
    return Outcome("", world.log, world.counts)


def _end(world: World) -> None:
    """Put the newest databases back; let all go; and see that all is gone."""
    rng = random.Random(0)
    world.close()
    world.put_newest_back("renamed over")
    world.check()
    for _ in range(2):
        operations.collect(world, rng)
        world.check()
    if world.is_doubtful:
        tampering.release(world, rng)
        world.check()
    database = world.open()
    if "daemons" not in world.counts:  # it leaves notes of children that it has collected
        check_records(database)
    _check_whole(world)
    if not world.is_doubtful:
        # A process that dies in a commit leaves an ingest whose data has become a blob.
        ingests = {node.key for node in world.see() if node.type == INGEST}
        check_data(database, lost=frozenset(ingests))
    check_nothing_unnamed(database)
    _let_go(world)
    for _ in range(2):
        database.gc.run(confirmed=True, release=world.is_doubtful)
    check_nothing_unnamed(database)
    assert not any(database.content_backend.walk()), "blobs are left"
    for name, backend in database.snapshot_backends.items():
        assert not any(backend.walk()), f"snapshots are left in {name}"
        place = world.root / f"{paths.SNAPSHOTTER}{name}"
        # Nothing is cleaned up where the database is missing.
        if (place / "metadata.db").exists():
            assert not any((place / "snapshots").glob("*")), f"directories are left in {name}"
    world.close()
    for name in paths.DATABASES:
        if (world.root / name).exists():
            faults = check_file(world.root / name).faults
            assert faults == [], f"{name}: {faults}"


def _check_whole(world: World) -> None:
    """Check that each blob on disk matches its digest."""
    for path in (world.root / paths.CONTENT / "blobs").glob("sha256/*"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name, f"{path} is damaged"


def _let_go(world: World) -> None:
    """Delete all roots."""
    world.clock.pass_time(YEARS)
    database = world.open()
    for name in database.namespaces.list():
        namespace = database.namespace(name)
        for image in namespace.images.list():
            namespace.images.delete(image.name)
        for info in namespace.content.walk():
            namespace.content.delete(info.digest)
        for snapshotter in namespace.snapshotters():
            store = namespace.snapshots(snapshotter)
            for snapshot in list(store.walk()):
                labels = {label: "" for label in snapshot.labels if "gc.root" in label}
                if labels:
                    store.update(
                        replace(snapshot, labels=labels), [f"labels.{one}" for one in labels]
                    )


def shrink(folder: Path, steps: list[Step], failed: Outcome) -> tuple[list[Step], Outcome]:
    """Leave out steps for as long as the history still fails, and there is time."""
    ends = time.monotonic() + SHRINKING_SECONDS_MAX
    for position in reversed(range(len(steps))):
        if time.monotonic() > ends:
            break
        fewer = steps[:position] + steps[position + 1 :]
        tried = run(folder / f"without-{position}", fewer)
        if tried.failure:
            steps, failed = fewer, tried
    return steps, failed
