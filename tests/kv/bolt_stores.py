"""Databases of `orlop.bolt` for the contract suite: files, and a disk in memory."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from bolt.simulated_disk import SimulatedDisk
from orlop.bolt import BoltEngine, open_engine
from orlop.bolt.initialization import empty_database
from orlop.bolt.limits import MAX_KEY_SIZE, MAX_NESTING, MAX_VALUE_SIZE
from orlop.bolt.reader import ReadingEngine
from orlop.testing.engine import Limits

if TYPE_CHECKING:
    from pathlib import Path

    from orlop.kv import Engine

BOLT_LIMITS = Limits(key_bytes=MAX_KEY_SIZE, value_bytes=MAX_VALUE_SIZE, nesting=MAX_NESTING)

SMALL_PAGE_BYTES = 1024


class FileStore:
    """A database in a real file."""

    def __init__(self, path: Path, *, freelist_sync: bool | None = None) -> None:
        self._path = path
        self._freelist_sync = freelist_sync
        self.open().close()

    def open(self, *, read_only: bool = False) -> Engine:
        return open_engine(
            self._path, read_only=read_only, timeout=10, freelist_sync=self._freelist_sync
        )


class DiskStore:
    """A database on a simulated disk, in small pages, so that trees grow deep."""

    def __init__(self, disk: SimulatedDisk | None = None) -> None:
        self.disk = disk or SimulatedDisk(empty_database(SMALL_PAGE_BYTES))

    def open(self, *, read_only: bool = False) -> Engine:
        return ReadingEngine(self.disk) if read_only else BoltEngine(self.disk)


class FaultyDisk(SimulatedDisk):
    """A disk with syncs that can wait for the test, and fail."""

    def __init__(self, durable: bytes) -> None:
        super().__init__(durable)
        self.gate = threading.Event()
        self.gate.set()
        self.is_held = threading.Event()
        self.fails = False

    def sync(self) -> None:
        self.is_held.set()
        assert self.gate.wait(20)
        if self.fails:
            raise OSError(5, "simulated failure of sync")
        super().sync()


class FaultyDiskStore(DiskStore):
    """A database on a disk that fails when the test says so."""

    def __init__(self) -> None:
        self.faulty = FaultyDisk(empty_database(SMALL_PAGE_BYTES))
        super().__init__(self.faulty)

    def lose_power(self) -> None:
        self.disk = self.faulty = FaultyDisk(self.faulty.durable)

    def fail(self) -> None:
        self.faulty.fails = True

    def hold(self) -> None:
        self.faulty.is_held.clear()
        self.faulty.gate.clear()

    def let_go(self) -> None:
        self.faulty.gate.set()

    def wait_until_held(self, seconds: float) -> None:
        self.faulty.is_held.wait(seconds)
