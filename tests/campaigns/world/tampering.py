"""Manual changes to the files of a root: copies restored, files emptied or replaced."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import orlop
from campaigns.world import lives, paths
from campaigns.world.state import Copy
from orlop.errors import OrlopError

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from campaigns.world.records import Node, Record
    from campaigns.world.state import World

COPIES_MAX: Final = 3


def take_copy(world: World, rng: random.Random) -> None:
    """Copy the databases, for later."""
    del rng
    world.say("the databases are copied")
    world.copies.append(world.copy("copy"))
    if len(world.copies) > COPIES_MAX:
        shutil.rmtree(world.copies.pop(0).folder)


def put_copy_back(world: World, rng: random.Random) -> None:
    """Put a copy of some databases in the place of the newer ones."""
    if not world.copies:
        return take_copy(world, rng)
    copy = rng.choice(world.copies)
    world.close(rng)
    names = paths.some(rng, (*paths.DATABASES, paths.MARKS))
    _put(world, rng, copy, names)
    return None


def lose_file(world: World, rng: random.Random) -> None:
    """Delete or empty some databases."""
    world.close(rng)
    there = tuple(name for name in paths.DATABASES if (world.root / name).exists())
    if there:
        _put(world, rng, _nothing(world, rng), paths.some(rng, there))


def _nothing(world: World, rng: random.Random) -> Copy:
    """Return a copy in which databases are missing or empty."""
    folder = world.folder / f"nothing-{world.model.next()}"
    folder.mkdir()
    if rng.random() < 0.5:
        for name in paths.DATABASES:
            (folder / name).parent.mkdir(parents=True)
            (folder / name).write_bytes(b"")
    return Copy(folder, {})


def _put(world: World, rng: random.Random, copy: Copy, names: list[str]) -> str:
    """Replace files by copies, and return the manner of it."""
    manner = rng.choice(paths.MANNERS)
    world.say(f"put back from {copy.folder.name}: {names}, {manner}")
    world.count("set-backs")
    world.keep_newest(names)
    paths.put_back(copy.folder, world.root, names, manner)
    if paths.META in names:
        world.model.records = _left(world.root, copy.records)
    assert world.newest is not None
    unchanged = {
        name
        for name in world.newest.names
        if paths.is_same(world.root / name, world.newest.folder / name)
    }
    if unchanged:
        world.newest_is_in_place(unchanged)
    elif not world.newest.names:
        world.newest_is_in_place(set())
    return manner


def _left(root: Path, records: dict[Node, Record]) -> dict[Node, Record]:
    """Return the records that still have their data."""
    return {
        node: record
        for node, record in records.items()
        if record.datum is None or paths.holds(root, record.datum)
    }


def put_newest_back(world: World, rng: random.Random) -> None:
    """Notice the mistake, and put the newest databases back."""
    if world.newest is not None:
        world.close(rng)
        world.put_newest_back(rng.choice(paths.MANNERS))


def replace_under_handle(world: World, rng: random.Random) -> None:
    """Replace files while a handle has them open; its operations may be refused then."""
    world.open()
    if not world.is_consistent:
        return
    while world.blocks:
        world.end_block(-1)
    copy = rng.choice([*world.copies, _nothing(world, rng), world.copy("same")])
    names = [name for name in paths.some(rng, paths.DATABASES) if (world.root / name).exists()]
    if not names:
        return
    world.say("under the open handle:")
    world.is_strained = True
    if _put(world, rng, copy, names).startswith("renamed"):
        # Even if the contents are the same: what the handle writes now goes into another file.
        world.keep_newest(names)
    for name in (*rng.choices(("blob", "import", "delete image", "prepare"), k=2), "collect"):
        lives.operate(world, name, rng)
    lives.close_in_time(world, rng)
    if rng.random() < 0.7:
        world.put_newest_back(rng.choice(paths.MANNERS))


def lose_power(world: World, rng: random.Random) -> None:
    """Let the machine start again, after a process died; the databases may be older then."""
    world.close(rng)
    place = world.root / paths.MARKS / "period.json"
    try:
        mark = json.loads(place.read_bytes())
        mark["period"]["boot"] = "another start"
    except (OSError, ValueError, KeyError, TypeError):
        return
    world.say("power loss")
    place.write_text(json.dumps(mark), encoding="utf-8")
    world.is_doubtful = True
    if world.copies and rng.random() < 0.5:
        _put(world, rng, rng.choice(world.copies), paths.some(rng, paths.DATABASES))


def move_root(world: World, rng: random.Random) -> None:
    """Move the root away and back, or put a copy of all of it in its place."""
    world.close(rng)
    if not world.root.exists():
        return
    away = world.folder / "away"
    world.root.rename(away)
    if rng.random() < 0.5:
        world.say("the root is moved away and back")
        away.rename(world.root)
        return
    world.say("the root is replaced by a copy of it")
    world.is_doubtful = True
    keeps = rng.random() < 0.7
    shutil.copytree(
        away, world.root, symlinks=True, copy_function=shutil.copy2 if keeps else shutil.copy
    )
    shutil.rmtree(away)


def leave_backend_out(world: World, rng: random.Random) -> None:
    """Let a backend be away for one session, as a disk that is not mounted."""
    world.close(rng)
    places = [world.root / name for name in paths.BACKENDS if (world.root / name).exists()]
    if not places:
        return
    place, away = rng.choice(places), world.folder / "away"
    world.say(f"{place.name} is away for a session")
    world.is_doubtful = True
    place.rename(away)
    with suppress(OrlopError), orlop.open(world.root, clock=world.clock, sync=False) as database:
        if rng.random() < 0.5:
            database.gc.run()
    if place.exists():
        shutil.rmtree(place)
    away.rename(place)


def put_older_proof_back(world: World, rng: random.Random) -> None:
    """Put back older witnesses and lists of suspects, which were copied some steps before."""
    world.close(rng)
    kept = world.folder / "proof"
    found = [
        f"{backend}/.orlop/{name}"
        for backend in paths.BACKENDS
        for name in ("witness.json", "suspects.json")
    ]
    if kept.exists() and rng.random() < 0.7:
        names = [name for name in paths.some(rng, tuple(found)) if (kept / name).exists()]
        world.say(f"older proof is put back: {names}")
        for name in names:
            if (world.root / name).parent.exists():
                shutil.copy2(kept / name, world.root / name)
                world.is_doubtful = True
        return
    world.say("the proof is copied")
    for name in found:
        if (world.root / name).exists():
            (kept / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(world.root / name, kept / name)


def release(world: World, rng: random.Random) -> None:
    """Let a person say that all may go that the newest databases do not name."""
    if not world.is_consistent:
        return
    world.say("release")
    database = world.open()
    with world.tolerating():
        statistics = database.gc.run(release=True, confirmed=True)
        world.count("collections")
        world.count("deletions", statistics.deleted)
        world.count("bytes released", statistics.freed_bytes)
    world.release()
    del rng


def child_lives_on(world: World, rng: random.Random) -> None:
    """Fork while a handle is open; the child only lives on for a while."""
    world.open()
    world.say("a forked child lives on")
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    try:
        lives.operate(world, "blob", rng)
        lives.close_in_time(world, rng)
        lives.operate(world, "collect", rng)
    finally:
        os.close(writing)
        os.waitpid(pid, 0)
