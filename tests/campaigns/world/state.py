"""The root of a history, the open handle on it, and the invariants of both."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from whenever import Instant

import orlop
from campaigns.world import paths
from campaigns.world.clocks import WorldClock
from campaigns.world.known import OFF
from campaigns.world.records import SNAPSHOT, BackendItem, Change, Model, Node, Record
from campaigns.world.seeing import see
from orlop.errors import OrlopError, UnavailableError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from campaigns.world.archives import Archive
    from campaigns.world.records import Seen
    from orlop import Database, Namespace

READINGS_MAX = 100
BLOCK_SECONDS = 3600.0
NO_HANDLE, DEAD_HANDLE = -1, -2
"""Numbers of handles: where none is open, and for what ended without closing its own."""
ROOT = {"containerd.io/gc.root": "held"}
NAMESPACES = ("a", "b")


class RefusedError(Exception):
    """An operation was refused, as it may be in the state that the root is in."""


@dataclass(slots=True)
class Block:
    """An open lease block."""

    namespace: str
    lease: Node
    manager: AbstractContextManager[object]


@dataclass(slots=True)
class Copy:
    """A copy of the databases, and the records that they name."""

    folder: Path
    records: dict[Node, Record]


@dataclass(slots=True)
class Newest(Copy):
    """The newest databases that are not in place; whole, if all of them are of one moment."""

    names: set[str] = field(default_factory=set)
    is_whole: bool = False


@dataclass
class World:
    """All of a history.

    Attributes:
        folder: where everything lies that belongs to the history.
        archives: the images that can be imported.
        is_doubtful: whether anything was done to files that leads to a doubt.
        is_strained: whether the handle was hurt: its file was replaced, or it was interrupted.
        is_relative: whether the root is opened by a path that is relative to the folder.
        other_root: the files of another root, to which nothing may be done.
        is_torn: whether snapshots may be missing in their backend since databases were mixed.
        stable: while several threads are at work, what was held before.
        newest: the newest databases, while others are in place.
    """

    folder: Path
    archives: list[Archive]
    root: Path
    model: Model = field(default_factory=Model)
    clock: WorldClock = field(default_factory=lambda: WorldClock(Instant.now()))
    database: Database | None = None
    handle: int = 0
    blocks: list[Block] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    newest: Newest | None = None
    stable: set[Node] | None = None
    is_torn: bool = False
    is_relative: bool = False
    other_root: dict[Path, bytes] = field(default_factory=dict)
    is_doubtful: bool = False
    is_strained: bool = False
    log: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    report: Callable[[], None] = lambda: None
    mutex: threading.RLock = field(default_factory=threading.RLock)

    @property
    def is_consistent(self) -> bool:
        """Whether the databases in place are the newest ones."""
        return self.newest is None

    def say(self, text: str) -> None:
        """Log an action, for the report of a failure."""
        with self.mutex:
            self.log.append(text)

    def count(self, what: str, count: int = 1) -> None:
        with self.mutex:
            self.counts[what] = self.counts.get(what, 0) + count

    def open(self) -> Database:
        """Return the open handle; one is opened where none is.

        Raises:
            RefusedError: the root cannot be opened in this state.
        """
        if self.database is None:
            try:
                self.database = orlop.open(
                    self.open_as(), clock=self.clock, sync=False, timeout=3.0
                )
            except OrlopError as error:
                if self.is_consistent:
                    raise
                self.say(f"  not opened: {error}")
                raise RefusedError from error
            self.handle += 1
            self.is_strained = False
        return self.database

    def open_as(self) -> Path:
        """Return the path by which the root is opened: a relative one counts from its folder."""
        if not self.is_relative:
            return self.root
        os.chdir(self.folder)
        return Path(self.root.name)

    def namespace(self, name: str) -> Namespace:
        return self.open().namespace(name)

    def close(self, rng: random.Random | None = None) -> None:
        """End the blocks, in any order, and close the handle."""
        while self.blocks:
            self.end_any_block(rng)
        database, self.database = self.database, None
        if database is not None:
            with self.tolerating():
                database.close()

    def end_any_block(self, rng: random.Random | None) -> None:
        """End an open block: any, or the last where nothing chooses."""
        if rng is None or "crossed blocks" in OFF:
            self.end_block(-1)
        else:
            self.end_block(rng.randrange(len(self.blocks)))

    def end_block(self, position: int) -> None:
        block = self.blocks.pop(position)
        self.say(f"  block {block.lease} ends")
        try:
            with self.attempt(Change(gone=frozenset({block.lease}))):
                block.manager.__exit__(None, None, None)
        except RefusedError:
            # The handle deletes the lease when it is closed, if it can.
            self.model.forget(block.lease)

    def leave_block(self, lease: Node) -> None:
        """Note that a block ended without an end of its lease: from now on it expires."""
        record = self.model.records.get(lease)
        if record is not None and record.expiry is None:
            expiry = self.clock.expiry(BLOCK_SECONDS, DEAD_HANDLE)
            self.model.records[lease] = replace(record, expiry=expiry)

    @contextmanager
    def tolerating(self) -> Iterator[None]:
        """Pass over refusals of a handle that was hurt, or on databases that do not fit."""
        try:
            yield
        except OrlopError as error:
            if self.is_consistent and not self.is_strained:
                raise
            self.say(f"  {type(error).__name__}: {error}")

    def lease_in_force(self, namespace: str) -> Node | None:
        """Return the lease of the innermost open block, where this thread has one."""
        if threading.current_thread() is not threading.main_thread():
            return None
        return next(
            (block.lease for block in reversed(self.blocks) if block.namespace == namespace), None
        )

    @contextmanager
    def attempt(self, change: Change, *may: type[OrlopError]) -> Iterator[None]:
        """Make a change; the outcome of a failed one is read from the database.

        Raises:
            RefusedError: it was refused with one of the errors of `may`, or may be in this state.
        """
        with self.mutex:
            token = self.model.begin(change)
        self.report()
        try:
            yield
        except OrlopError as error:
            self.say(f"  {type(error).__name__}: {error}")
            if not isinstance(error, may) and self.is_consistent and not self.is_strained:
                raise
            with self.mutex:
                self.settle(token)
            raise RefusedError from error
        with self.mutex:
            self.model.apply(token)
        self.report()

    def made(self, namespace: str, node: Node, record: Record) -> Change:
        """Return the change that makes a record, held by the lease in force."""
        lease = self.lease_in_force(namespace)
        added = {} if lease is None else {lease: frozenset({node})}
        return Change(records={node: record}, added=added)

    def settle(self, *tokens: int) -> None:
        """Find out whether unacknowledged changes were made."""
        if not self.is_consistent:
            for token in tokens or [*self.model.pending]:
                self.model.give_up(token)
            return
        seen = self.see()
        for token in tokens or [*self.model.pending]:
            self.model.settle(token, seen)

    def see(self) -> dict[Node, Seen]:
        """Read all records, while writers may be active."""
        if not (self.root / paths.META).exists():
            return {}
        with orlop.open(self.root, read_only=True, clock=self.clock) as database:
            for _ in range(READINGS_MAX):
                with suppress(UnavailableError):  # other threads write meanwhile
                    return see(database)
            return see(database)

    def held(self) -> set[Node]:
        with self.mutex:
            return self.model.held(self.clock, self.handle if self.database else NO_HANDLE)

    def check(self) -> None:
        """Check that nothing is lost.

        Raises:
            AssertionError: something is.
        """
        for path, contents in self.other_root.items():
            assert path.exists(), f"{path} of another root is lost"
            assert path.read_bytes() == contents, f"{path} of another root was changed"
        for datum in self.model.foreign:
            assert paths.holds(self.root, datum), f"what another database names: {datum} is lost"
        if self.is_consistent:
            seen = self.see()
            if self.is_torn:
                self._set_torn_apart(seen)
            self._forget_collected(seen)
            self._locate(seen)
            self._check_records(seen)
        else:
            with suppress(OrlopError):
                self._forget_collected(self.see())
        for datum in self.model.data(self.held()):
            assert paths.holds(self.root, datum), f"{datum} is lost"

    def forget_collected(self) -> None:
        """Build on nothing that a collection may have removed."""
        if self.is_consistent and self.stable is None:
            self._forget_collected(self.see())

    def _set_torn_apart(self, seen: dict[Node, Seen]) -> None:
        """Ask only for the files of snapshots that the backend does not know any more."""
        self.is_torn = False
        for node in self.held():
            if node.type == SNAPSHOT and node in seen and not seen[node].has_data:
                datum = self.model.records[node].datum
                self.model.forget(node)
                self.model.foreign |= {datum} if datum else set()

    def _check_records(self, seen: dict[Node, Seen]) -> None:
        for node in self.held():
            assert node in seen, f"{node} is held, and its record is gone"
            record = self.model.records[node]
            lost = {ref for ref in record.refs - seen[node].refs if ref in self.model.records}
            assert not lost, f"{node} refers to {[*map(str, lost)]} no more"
            if not seen[node].has_data:
                # What a process left half-way is undone by the next one that writes.
                snapshotter, key = node.key.split("/", 1)
                self.namespace(node.namespace).snapshots(snapshotter).stat(key)

    def _locate(self, seen: dict[Node, Seen]) -> None:
        """Find out where data is, once its record is there."""
        for node, record in self.model.records.items():
            is_there = node in seen and seen[node].has_data
            if record.datum is None and record.marker is not None and is_there:
                snapshotter = node.key.split("/", 1)[0]
                place = paths.marker_path(snapshotter, seen[node].directory, record.marker[0])
                self.model.records[node] = replace(
                    record, datum=BackendItem(place, record.marker[1])
                )

    def _forget_collected(self, seen: dict[Node, Seen]) -> None:
        held = self.held()
        for node in [one for one in self.model.records if one not in seen and one not in held]:
            self.model.forget(node)

    def keep_newest(self, names: list[str]) -> None:
        """Copy the newest databases of these names, before they are replaced."""
        self.is_doubtful = True
        if self.newest is None:
            folder = self.folder / f"newest-{self.model.next()}"
            folder.mkdir()
            self.newest = Newest(folder, {}, is_whole=set(paths.DATABASES) <= {*names})
        for name in set(names).difference(self.newest.names, {paths.MARKS}):
            (self.newest.folder / name).parent.mkdir(parents=True, exist_ok=True)
            paths.put_file(self.root / name, self.newest.folder / name, "times kept")
            self.newest.names.add(name)
            if name == paths.META:
                self.newest.records = dict(self.model.records)
        if paths.META in names:
            # Whatever is held now is named by a database that is about to go.
            self.model.foreign |= self.model.data(self.held())

    def copy(self, name: str) -> Copy:
        """Take a copy of the databases as they are."""
        folder = self.folder / f"{name}-{self.model.next()}"
        folder.mkdir()
        paths.copy_databases(self.root, folder)
        return Copy(folder, dict(self.model.records))

    def put_newest_back(self, manner: str) -> None:
        """Restore the newest databases."""
        if self.newest is None:
            return
        self.say(f"  the newest databases are put back: {manner}")
        for name in self.newest.names:
            if not (self.newest.folder / name).exists():
                paths.remove_if_empty(self.root / name)
            else:
                paths.put_file(self.newest.folder / name, self.root / name, manner)
        self.is_torn = not (self.newest.is_whole and len(self.newest.names) == len(paths.DATABASES))
        self.newest_is_in_place(self.newest.names)

    def newest_is_in_place(self, names: set[str]) -> None:
        """Note that the newest databases of these names are in their place."""
        assert self.newest is not None
        if paths.META in names:
            self.model.foreign |= self.model.data(self.held())
            self.model.records = self.newest.records
            self.model.foreign -= self.model.data(self.held())
        self.newest.names -= names
        if not self.newest.names:
            shutil.rmtree(self.newest.folder)
            self.newest = None

    def choosable(self, kind: str, namespace: str = "") -> list[Node]:
        """Return the records of a kind that an operation may refer to."""
        with self.mutex:
            return [
                node
                for node in self.model.records
                if node.type == kind
                and namespace in {"", node.namespace}
                and (self.stable is None or node in self.stable)
            ]

    def some(self, rng: random.Random, kind: str, namespace: str = "") -> Node:
        """Return a record of a kind.

        Raises:
            RefusedError: there is none.
        """
        nodes = self.choosable(kind, namespace)
        if not nodes:
            raise RefusedError
        return rng.choice(nodes)

    def release(self) -> None:
        """Note that a person let all go that no database in place names."""
        self.model.foreign.clear()
