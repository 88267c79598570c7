"""Collections back to back, while four threads make, lease, link and delete.

Each thread knows what it has and looks whether all of it is there, down to the bytes on disk.
When all are quiet, two collections leave nothing that nobody needs.
"""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import orlop
from campaigns.seeds import seeds
from collector.making import blobs_on_disk, make_blob, make_image, make_snapshot, snapshots_on_disk
from orlop import LeaseResource
from orlop.errors import AlreadyExistsError, NotFoundError

if TYPE_CHECKING:
    from campaigns.tally import Tally
    from orlop import Database, Namespace

THREADS = 4
SECONDS = 6.0
GC = "containerd.io/gc."


@dataclass
class Thing:
    """An image of a thread's own, with its parts."""

    name: str
    blobs: dict[str, bytes]
    layers: list[str]
    lease: str = ""


@dataclass
class Writer:
    """One thread: the images it made, and the number of its checks."""

    namespace: Namespace
    number: int
    random: random.Random
    stop: threading.Event
    things: list[Thing] = field(default_factory=list)
    made: int = 0
    looks: int = 0

    def run(self) -> None:
        while not self.stop.is_set():
            self.random.choice((self.make, self.make, self.look, self.drop, self.lend))()
        for thing in self.things:
            self.check(thing)

    def make(self) -> None:
        """Make an image; only a lease keeps its parts until they are complete."""
        name = f"image-{self.number}-{self.made}"
        self.made += 1
        with self.namespace.lease():
            blobs = self._blobs(name)
            layers = self._layers(name)
            thing = Thing(name, blobs, layers)
            self.check(thing)
            self._link(thing)
        self.things.append(thing)
        self.check(thing)

    def look(self) -> None:
        if self.things:
            self.check(self.random.choice(self.things))

    def drop(self) -> None:
        """Remove an image; the next collections delete its parts."""
        if len(self.things) > 3:
            thing = self.things.pop(self.random.randrange(len(self.things)))
            if thing.lease:
                self.namespace.leases.delete(thing.lease)
            else:
                self.namespace.images.delete(thing.name)

    def lend(self) -> None:
        """Let a lease hold in the place of an image, and later the image again."""
        if not self.things:
            return
        thing = self.random.choice(self.things)
        if thing.lease:
            self._link(thing)
            self.namespace.leases.delete(thing.lease)
            thing.lease = ""
        else:
            thing.lease = self.namespace.leases.create(f"lease-{thing.name}").id
            target = next(reversed(thing.blobs))
            self.namespace.leases.add_resource(
                thing.lease, LeaseResource(id=target, type="content")
            )
            self.namespace.images.delete(thing.name)
        self.check(thing)

    def check(self, thing: Thing) -> None:
        """All that it has is there, and so are the bytes on disk."""
        self.looks += 1
        for digest, data in thing.blobs.items():
            with self.namespace.content.open(digest) as blob:
                assert blob.read() == data
        store = self.namespace.snapshots("native")
        for layer in thing.layers:
            store.stat(layer)
        view = f"look-{self.number}-{self.looks}"
        with self.namespace.lease():
            (mount,) = store.view(view, thing.layers[-1])
            assert Path(mount.source, "file").read_bytes() == thing.name.encode()
            store.remove(view)

    def _link(self, thing: Thing) -> None:
        make_image(self.namespace, thing.name, next(reversed(thing.blobs)))

    def _blobs(self, name: str) -> dict[str, bytes]:
        blobs: dict[str, bytes] = {}
        labels: dict[str, str] = {}
        for depth in range(3):
            data = f"{name} {depth}".encode() if depth else b"in every image of every namespace"
            if depth == 2:
                labels[f"{GC}ref.snapshot.native"] = f"{name}-top"
            try:
                digest = make_blob(self.namespace, data, labels, ref=f"{name}-{depth}")
            except AlreadyExistsError:  # the lease of this thread holds it from here on
                digest = next(
                    one.digest
                    for one in self.namespace.content.walk()
                    if self._reads(one.digest, data)
                )
            blobs[digest] = data
            labels = {f"{GC}ref.content.0": digest}
        return blobs

    def _reads(self, digest: str, data: bytes) -> bool:
        try:
            with self.namespace.content.open(digest) as blob:
                return blob.read() == data
        except NotFoundError:
            return False

    def _layers(self, name: str) -> list[str]:
        base = make_snapshot(self.namespace, f"{name}-base")
        top = make_snapshot(self.namespace, f"{name}-top", base, files={"file": name.encode()})
        return [base, top]


def collecting(database: Database, stop: threading.Event) -> int:
    runs = 0
    while not stop.is_set():
        statistics = database.gc.run()
        assert statistics.failures == {}
        runs += 1
        time.sleep(random.uniform(0, 0.02))  # so that there is something new to look at
    return runs


@pytest.mark.parametrize("seed", seeds(short=1, long=30))
def test_nothing_held_goes_and_nothing_else_stays(tmp_path: Path, seed: int, tally: Tally) -> None:
    stop = threading.Event()
    with orlop.open(tmp_path / "root", sync=False) as database:
        writers = [
            Writer(
                database.namespace(f"ns{number % 2}"), number, random.Random(seed + number), stop
            )
            for number in range(THREADS)
        ]
        with ThreadPoolExecutor(THREADS + 1) as pool:
            collector = pool.submit(collecting, database, stop)
            running = [pool.submit(writer.run) for writer in writers]
            deadline = time.monotonic() + SECONDS
            while time.monotonic() < deadline and not any(one.done() for one in running):
                time.sleep(0.05)
            stop.set()
            for one in running:
                one.result()
            runs = collector.result()

        for _ in range(2):
            database.gc.run()
        expected_blobs = {
            digest for one in writers for thing in one.things for digest in thing.blobs
        }
        assert set(blobs_on_disk(database)) == expected_blobs
        layers = sum(len(thing.layers) for one in writers for thing in one.things)
        assert len(snapshots_on_disk(database)) == layers
        assert database.gc.plan().nodes == ()
    tally.add("collections", runs)
    tally.add("images made", sum(one.made for one in writers))
    tally.add("looks", sum(one.looks for one in writers))
