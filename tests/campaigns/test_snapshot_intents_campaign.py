"""Snapshot updates that end anywhere: killed, rolled back, or with a failing backend.

A seed chooses a history of one root: snapshots are made, committed, relabelled and removed in
updates of several calls, which end well, by an error, or by the death of the process before one
of its calls to the disk. Now and then the directory of a committed snapshot is lost, and a commit
under its name gives it files again. A model says what the metadata named last; each of these
snapshots can be read, with its data, before and after collections. In the end nothing else is left.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import orlop
from campaigns.seeds import seeds
from orlop.errors import OrlopError
from orlop.records import SnapshotInfo, SnapshotKind
from orlop.schema import snapshots
from storage.killing import KILLED, arm
from stores.consistency import check_data, check_nothing_unnamed, check_records
from stores.damaging import snapshot_directory

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaigns.tally import Tally
    from orlop import Database
    from orlop.stores.snapshots import SnapshotStore

ROOTED = {"containerd.io/gc.root": "1"}
SESSIONS = 6
CALLS_A_SESSION_MAX = 60
DEATH_PROBABILITY = 0.75
KEYS = ("a", "b", "c", "d")
INHERITED = "containerd.io/snapshot/x"
LOST = "lost"

State = dict[str, tuple[str, str, str]]
"""The snapshots of a moment: what is in each, its parent, and its label."""


class Planned(Exception):  # noqa: N818 -- what a block raises to be rolled back
    """Leaves an update."""


class World:
    """One process's work on the root, and the durable part of it."""

    def __init__(self, store: SnapshotStore, rng: random.Random, state: State) -> None:
        self._store = store
        self._rng = rng
        self._calls = (self._prepare, self._commit, self._commit, self._remove, self._label)
        self.state = state

    def step(self) -> None:
        """Do one thing that can be done; the state follows where it succeeds."""
        with contextlib.suppress(OrlopError):
            self._rng.choice(
                (self._prepare, self._commit, self._commit, self._remove, self._label)
            )()

    def _prepare(self) -> None:
        key = self._rng.choice(KEYS)
        committed = sorted(one for one in self.state if one.isupper())
        parent = self._rng.choice(["", *committed])
        label = str(self._rng.randrange(9))
        mounts = self._store.prepare(key, parent, {**ROOTED, INHERITED: label})
        data = f"{self._rng.random()}"
        write(mounts, data)
        self.state[key] = (data, parent, label)

    def _commit(self) -> None:
        key, name = self._rng.choice(KEYS), self._rng.choice(KEYS).upper()
        label = str(self._rng.randrange(9))
        self._store.commit(name, key, {**ROOTED, INHERITED: label})
        data, parent, _ = self.state.pop(key)
        # One that had lost its data stays what it was.
        self.state[name] = (data, *self.state.get(name, ("", parent, label))[1:])

    def _remove(self) -> None:
        key = self._rng.choice([*KEYS, *(key.upper() for key in KEYS)])
        self._store.remove(key)
        del self.state[key]

    def _label(self) -> None:
        key = self._rng.choice([*KEYS, *(key.upper() for key in KEYS)])
        label = str(self._rng.randrange(9))
        labels = {**ROOTED, INHERITED: label}
        self._store.update(SnapshotInfo(kind=SnapshotKind.UNKNOWN, name=key, labels=labels))
        self.state[key] = (*self.state[key][:2], label)


def write(mounts: Any, data: str) -> None:
    options = dict(option.partition("=")[::2] for option in mounts[0].options)
    Path(options.get("upperdir", mounts[0].source), "file").write_text(data)


def session(
    root: Path, snapshotter: str, seed: int, state: State, tell: Callable[[State], None]
) -> None:
    """Make some updates; report each state to `tell` before it may be, and when it is, durable."""
    rng = random.Random(seed)
    with orlop.open(root, sync=False) as db:
        store = db.namespace("d").snapshots(snapshotter)
        world = World(store, rng, dict(state))
        for _ in range(rng.randrange(1, 5)):
            before = dict(world.state)
            with contextlib.suppress(Planned), db.update():
                for _ in range(rng.randrange(1, 5)):
                    world.step()
                if rng.random() < 0.4:
                    world.state = before
                    raise Planned
                tell(world.state)
            tell(world.state)
            if rng.random() < 0.3:
                db.gc.run()


def in_a_fork(run: Callable[[], None], death: int | None) -> bool:
    """Run something in a process that dies before that call to the disk; return whether it did."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if death is not None:
                arm(death)
            run()
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in {0, KILLED}, "the session failed by itself"
    return code == KILLED


def found(db: Database, snapshotter: str) -> State:
    """Return the contents of each snapshot that the metadata names."""
    store = db.namespace("d").snapshots(snapshotter)
    backend: Any = store.backend
    with db.view() as transaction:
        bucket = snapshots.find(transaction, "d", snapshotter)
        names = {key: snapshots.backend_name(bucket, key) for key in snapshots.all_names(bucket)}
    state: State = {}
    for key, name in names.items():
        info = store.stat(key)
        assert (info.kind is SnapshotKind.COMMITTED) == key.isupper()
        assert backend.stat(name).labels.get(INHERITED) is not None
        number = backend._metastore.read(lambda one, name=name: one.info(name)[0])
        data = LOST if store.fault(key) else Path(backend._data(number), "file").read_text()
        state[key] = (data, info.parent, info.labels[INHERITED])
    return state


def lose_one(root: Path, snapshotter: str, state: State, rng: random.Random) -> State:
    """Delete the directory of a committed snapshot; return the state after it."""
    whole = sorted(key for key, one in state.items() if key.isupper() and one[0] != LOST)
    if not whole:
        return state
    key = rng.choice(whole)
    with orlop.open(root, read_only=True) as db:
        shutil.rmtree(snapshot_directory(db, db.namespace("d").snapshots(snapshotter), key))
    return {**state, key: (LOST, *state[key][1:])}


def agrees(found: State, told: State) -> bool:
    """Return whether a state is the one that was told.

    A commit that was killed may have given files to what had lost its own, and the snapshot that
    had them has them still.
    """
    return found.keys() == told.keys() and all(
        one == told[key] or (LOST, *one[1:]) == told[key] for key, one in found.items()
    )


@pytest.mark.parametrize("snapshotter", ["native", "overlayfs"])
@pytest.mark.parametrize("seed", seeds(short=12, long=2000))
def test_what_the_metadata_names_can_be_read(
    tmp_path: Path, seed: int, snapshotter: str, tally: Tally
) -> None:
    rng = random.Random(seed)
    root, log = tmp_path / "root", tmp_path / "log"
    orlop.open(root, sync=False).close()
    state: State = {}
    for number in range(SESSIONS):
        death = rng.choice(
            [None, rng.randrange(CALLS_A_SESSION_MAX), rng.randrange(CALLS_A_SESSION_MAX)]
        )
        log.write_text(json.dumps(state) + "\n")
        with log.open("a", buffering=1) as lines:

            def tell(now: State, lines: Any = lines) -> None:
                print(json.dumps(now), file=lines)

            chosen = rng.randrange(2**32)
            killed = in_a_fork(
                lambda chosen=chosen, state=state, tell=tell: session(  # type: ignore[misc]
                    root, snapshotter, chosen, state, tell
                ),
                death,
            )
        told = [as_state(line) for line in log.read_text().splitlines()]
        tally.add("processes")
        tally.add("of them killed", int(killed))
        with orlop.open(root, sync=False) as db:
            state = found(db, snapshotter)
            possible = told[-2:] if killed else told[-1:]
            if killed:
                assert any(agrees(state, one) for one in possible), f"session {number}"
            else:
                assert state in possible, f"session {number}"
            check_records(db)
            check_data(db)
            if rng.random() < 0.5:
                assert not db.gc.run().failures
                assert found(db, snapshotter) == state
        tally.add("snapshots read", len(state))
        if rng.random() < 0.4:
            state = lose_one(root, snapshotter, state, rng)
            tally.add("lost", 1)
    with orlop.open(root, sync=False) as db:
        db.gc.run()
        check_nothing_unnamed(db)
        assert found(db, snapshotter) == state
    assert not list(root.glob("*/.orlop/commits/*"))
    directories = next(root.glob(f"*.{snapshotter}/snapshots"), None)
    if directories is not None:
        kept = sum(data != LOST for data, _, _ in state.values())
        assert len(list(directories.iterdir())) == kept, "a directory for each, and no more"


def as_state(line: str) -> State:
    return {key: (data, parent, label) for key, (data, parent, label) in json.loads(line).items()}
