"""A real containerd imports and removes images; its file is read all the while, lock or no lock.

Every reading that counts is a version that the daemon made: sound, complete, the same as
every other reading of that version, and never older than the one before.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from campaigns.changes import read
from campaigns.seeds import seeds
from orlop.bolt import FileDisk, open_engine
from orlop.bolt.file_lock import lock_holders
from orlop.bolt.meta import read_metas
from orlop.bolt.tools.check import check_disk
from orlop.kv import StaleReadError
from orlop.maintenance import backup
from real.conftest import daemon, image
from real.scripts import Contents

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from campaigns.tally import Tally
    from oracle.client import Oracle
    from orlop.kv import Engine
    from orlop.maintenance import Fault
    from real.daemon import Daemon
    from real.images import RealImage

__all__ = ["daemon", "image"]

READINGS = 60
"""How many readings a seed takes, at least."""

VERSIONS_MIN = 40
SECONDS_MAX = 120
BACKUP_EVERY = 6
TRIES_MAX = 50
PAUSE_SECONDS_MAX = 0.05
SCHEMA, CONTENT, BLOB, IMAGES, TARGET = b"v1", b"content", b"blob", b"images", b"target"
REFERENCE = b"containerd.io/gc.ref.content"

pytestmark = [
    pytest.mark.real("bbolt", "busybox", "containerd", "ctr", "go", "skopeo", "umoci"),
    pytest.mark.root,
]


@dataclass(slots=True)
class Witness:
    """The versions that readers have seen so far."""

    versions: dict[int, Contents] = field(default_factory=dict)
    newest: int = 0
    readings: int = 0
    with_images: int = 0
    disturbed: int = 0

    def note(self, version: int, found: Contents) -> None:
        """Hold a reading against those before it."""
        assert version >= self.newest, "an older version came after a newer one"
        self.newest = version
        assert self.versions.setdefault(version, found) == found
        self.with_images += assert_complete(found)
        self.readings += 1


def assert_complete(found: Contents) -> bool:
    """Everything that an image refers to, directly or not, is there; return if there is one."""
    nothing = Contents()
    schema = found.buckets.get(SCHEMA, nothing)
    has_images = False
    for namespace in schema.buckets.values():
        blobs = namespace.buckets.get(CONTENT, nothing).buckets.get(BLOB, nothing)
        images = namespace.buckets.get(IMAGES, nothing).buckets.values()
        pending = [one.buckets[TARGET].values[b"digest"] for one in images]
        for digest in pending:
            assert digest in blobs.buckets, f"{digest!r} is not there"
            labels = blobs.buckets[digest].buckets.get(b"labels", nothing).values
            pending += [value for name, value in labels.items() if name.startswith(REFERENCE)]
        has_images |= bool(pending)
    return has_images


def work(daemon: Daemon, archive: Path, name: str, stop: threading.Event) -> None:
    """Let the daemon import an image and remove it, with leases in between, again and again."""
    while not stop.is_set():
        daemon.ctr("images", "import", archive)
        lease = daemon.ctr("leases", "create").strip()
        daemon.ctr("images", "label", name, f"round={time.monotonic()}")
        daemon.ctr("leases", "delete", lease)
        daemon.ctr("images", "rm", "--sync", name)


def read_once(engine: Engine, seed: random.Random) -> tuple[int, Contents]:
    with engine.begin() as transaction:
        # A reader that takes its time meets commits in its middle.
        for _ in transaction.root.items():
            time.sleep(seed.choice((0, 0, seed.uniform(0, PAUSE_SECONDS_MAX))))
        return transaction.id, read(transaction.root)


def check_live(path: Path) -> list[Fault] | None:
    """Check the file; None where it changed meanwhile, so that the answer does not count."""
    disk = FileDisk.for_reading(path)
    try:
        before = read_metas(disk.read)
        faults = check_disk(disk).faults
        return faults if before == read_metas(disk.read) else None
    finally:
        disk.close()


def until_it_counts(witness: Witness, engine: Engine, seed: random.Random) -> None:
    for _ in range(TRIES_MAX):
        try:
            version, found = read_once(engine, seed)
        except StaleReadError:
            witness.disturbed += 1
        else:
            witness.note(version, found)
            return
    pytest.fail(f"no reading counted in {TRIES_MAX} tries")


def look_at_a_copy(witness: Witness, path: Path, copy: Path, bbolt: Oracle) -> None:
    """Copy the file while it is written; both engines find the copy sound and the same."""
    backup(path, copy)
    assert bbolt.check(copy) == []
    engine = open_engine(copy, read_only=True)
    try:
        with engine.begin() as transaction:
            found = read(transaction.root)
            witness.note(transaction.id, found)
    finally:
        engine.close()
    assert bbolt.dump(copy) == found.dump()
    copy.unlink()


@pytest.fixture
def busy(daemon: Daemon, image: RealImage) -> Iterator[Daemon]:
    """Return a daemon that works."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            work(daemon, image.oci_archive, image.name, stop)
        except BaseException as error:  # noqa: BLE001 (raised again below)
            failures.append(error)

    with daemon:
        worker = threading.Thread(target=guarded)
        worker.start()
        yield daemon
        stop.set()
        worker.join()
        assert daemon.complaints() == []
    assert failures == []


@pytest.mark.parametrize("seed_number", seeds(short=1, long=10))
def test_a_busy_daemon_is_read_and_not_disturbed(
    busy: Daemon, bbolt: Oracle, tmp_path: Path, seed_number: int, tally: Tally
) -> None:
    seed = random.Random(seed_number)
    path, witness, checks = busy.meta_db, Witness(), 0
    before = path.stat()
    engine = open_engine(path, read_only=True)
    deadline = time.monotonic() + SECONDS_MAX
    while (
        witness.readings < READINGS
        or witness.with_images < READINGS // 4
        or len(witness.versions) < VERSIONS_MIN
    ):
        assert time.monotonic() < deadline, "the daemon hardly writes"
        until_it_counts(witness, engine, seed)
        faults = check_live(path)
        assert not faults
        checks += faults is not None
        if witness.readings % BACKUP_EVERY == 0:
            look_at_a_copy(witness, path, tmp_path / "copy.db", bbolt)
            tally.add("copies that bbolt has checked")
        [holder] = lock_holders(path.stat())
        assert holder.command == "containerd"
    engine.close()

    after = path.stat()
    assert (before.st_dev, before.st_ino) == (after.st_dev, after.st_ino)
    assert list(path.parent.iterdir()) == [path]
    tally.add("live readings", witness.readings)
    tally.add("of them with an image", witness.with_images)
    tally.add("readings again", witness.disturbed)
    tally.add("live checks", checks)
    tally.add("versions of the daemon", len(witness.versions))
