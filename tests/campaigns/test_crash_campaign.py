"""Power is lost at every moment: of commits, of groups, of growth, of opening, after a failure.

What is left opens, is sound, and holds exactly the last acknowledged version or the one in
flight: a group whole or not at all. What opening has answered is not taken back.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from bolt.gappy_files import PAGE_BY_PAGE
from bolt.simulated_disk import BUS_BYTES, SECTOR_BYTES, power_losses
from campaigns.changes import change, kept, read
from campaigns.disks import LosingDisk
from campaigns.grouping import flush, gather
from campaigns.seeds import seeds
from orlop.bolt import BoltEngine
from orlop.bolt.initialization import empty_database
from orlop.bolt.tools.check import check_disk
from orlop.kv import EnginePoisonedError
from real.scripts import Contents

if TYPE_CHECKING:
    from pathlib import Path

    from campaigns.disks import Writes
    from campaigns.tally import Tally
    from oracle.client import Oracle
    from orlop.bolt.group_commit import Group

FORMS = ((1024, False), (1024, True), (4096, False), (4096, True))
"""Page size in bytes, and whether the file keeps a freelist: a seed chooses one."""

STATES = 1000
"""How many states a seed tries, at least."""

FAILURES = 15
SURVIVORS_FOR_BBOLT = 60
SHARE_KEPT = 0.1


class Workload:
    """An engine on a losing disk, and the versions that may be found on that disk.

    Attributes:
        head: what the last transaction that ended has made of the database.
        acknowledged: the last version that was acknowledged.
        in_flight: the version that is being written; None while none is.
    """

    def __init__(self, seed: random.Random, form: tuple[int, bool], tally: Tally) -> None:
        self.seed, self.tally = seed, tally
        self.page_size, self.freelist_sync = form
        self.units = (SECTOR_BYTES, self.page_size, BUS_BYTES)
        self.head = Contents()
        self.acknowledged = kept(self.head)
        self.in_flight: Contents | None = None
        self.gathered: Group | None = None
        self.states = 0
        self.survivors: list[tuple[bytes, Contents]] = []
        self.disk = LosingDisk(empty_database(self.page_size), seed=seed)
        self.engine = BoltEngine(self.disk, freelist_sync=self.freelist_sync)
        self.disk.before_call = self._write_meanwhile
        self.disk.at_sync = self._lose_power

    def write(self) -> None:
        """Begin a transaction on the last one's state, durable or not, and add it to the group."""
        if self.seed.random() < 0.1 and self.engine._groups.undurable is None:
            transaction = self.engine.begin(writable=True)
            change(transaction.root, kept(self.head), self.seed, steps=3)
            transaction.rollback()
        transaction = self.engine.begin(writable=True)
        change(transaction.root, self.head, self.seed, steps=self.seed.choice((1, 4, 30)))
        self.gathered = gather(self.engine, transaction)

    def flush(self) -> None:
        """Make the open group durable; power is lost at every moment of it."""
        group, self.gathered = self.gathered, None
        assert group is not None
        self.in_flight = kept(self.head)
        flush(self.engine, group)
        self.acknowledged, self.in_flight = self.in_flight, None

    def read_beside(self) -> None:
        """Read a version while later ones are written; it must not change."""
        expected = kept(self.acknowledged)
        with self.engine.begin() as reader:
            self.write()
            self.flush()
            self.write()
            self.flush()
            assert read(reader.root) == expected

    def _write_meanwhile(self, _: str) -> None:
        if self.seed.random() < 0.15:
            self.write()

    def _lose_power(self, durable: bytes, pending: Writes) -> None:
        allowed = [self.acknowledged]
        if self.in_flight is not None and any(
            written is not None and offset < 2 * self.page_size for offset, written in pending
        ):
            # Without a meta, nothing that was written may count.
            allowed.append(self.in_flight)
        self.try_all(durable, pending, allowed)

    def try_all(self, durable: bytes, pending: Writes, allowed: list[Contents]) -> None:
        """Lose power in every way and look at each file that may be left."""
        tried: set[bytes] = set()
        for data in power_losses(durable, pending, self.seed, samples=4, units=self.units):
            if data not in tried:
                tried.add(data)
                self._look_at(data, allowed)
        self.states += len(tried)
        self.tally.add("states after a power loss", len(tried))

    def _look_at(self, data: bytes, allowed: list[Contents]) -> None:
        assert_clean(data)
        disk = LosingDisk(data, seed=self.seed)
        engine = BoltEngine(disk)
        found = contents(engine)
        assert found in allowed
        dice = self.seed.random()
        if dice < 0.1:
            self._lose_power_while_opening(data, found)
        elif dice < 0.2:
            self._go_on(engine, disk, found)
        elif dice < 0.2 + SHARE_KEPT:
            self.survivors.append((data, found))

    def _lose_power_while_opening(self, data: bytes, expected: Contents) -> None:
        """A second power loss, while opening, does not change the version that is found."""

        def lose(durable: bytes, pending: Writes) -> None:
            losses = power_losses(durable, pending, self.seed, samples=2, units=self.units)
            for again in dict.fromkeys(losses):
                assert_clean(again)
                assert contents(BoltEngine(LosingDisk(again))) == expected
                self.states += 1
                self.tally.add("states after a power loss while opening")

        BoltEngine(LosingDisk(data, at_sync=lose))

    def _go_on(self, engine: BoltEngine, disk: LosingDisk, found: Contents) -> None:
        """A file after a power loss can be opened and written."""
        known = kept(found)
        with engine.begin(writable=True) as transaction:
            change(transaction.root, known, self.seed, steps=20)
        assert contents(BoltEngine(LosingDisk(disk.durable))) == known
        assert_clean(disk.durable)
        self.tally.add("of them written on")


def contents(engine: BoltEngine) -> Contents:
    with engine.begin() as transaction:
        return read(transaction.root)


def assert_clean(data: bytes) -> None:
    """The file is sound; the meta that was being written may be torn."""
    faults = [fault.message for fault in check_disk(LosingDisk(data)).faults]
    assert len(faults) <= 1, faults
    assert all(fault.startswith("meta page") for fault in faults), faults


def form_of(seed_number: int) -> tuple[int, bool]:
    return FORMS[seed_number % len(FORMS)]


@pytest.mark.parametrize("seed_number", seeds(short=3, long=100))
def test_a_power_loss_leaves_a_version_whole(seed_number: int, tally: Tally) -> None:
    seed = random.Random(seed_number)
    workload = Workload(seed, form_of(seed_number), tally)
    while workload.states < STATES:
        for _ in range(seed.choice((1, 1, 2, 5))):
            workload.write()
        workload.flush()
        if seed.random() < 0.2:
            workload.read_beside()


@pytest.mark.parametrize("seed_number", seeds(short=1, long=20))
def test_a_power_loss_beside_the_search_for_free_pages(seed_number: int, tally: Tally) -> None:
    """No thread searches, so that a seed stays one: steps are taken at any call that writes."""
    seed = random.Random(3_000_000 + seed_number)
    workload = Workload(seed, (1024, False), tally)

    def search_and_write_meanwhile(name: str) -> None:
        search = workload.engine._allocator.search
        for _ in range(seed.choice((0, 1, 20))):
            if search is not None and search.step():
                tally.add("steps of a search")
        workload._write_meanwhile(name)

    while workload.states < STATES:
        while workload.gathered is not None:
            workload.flush()
        workload.engine.close()
        workload.disk.before_call = None
        workload.engine = BoltEngine(workload.disk, searching=PAGE_BY_PAGE)
        workload.disk.before_call = search_and_write_meanwhile
        for _ in range(seed.choice((2, 4, 8))):
            workload.write()
            workload.flush()


@pytest.mark.parametrize("seed_number", seeds(short=1, long=20))
def test_a_failed_sync_and_a_power_loss_after_the_next_opening(
    seed_number: int, tally: Tally
) -> None:
    seed = random.Random(1_000_000 + seed_number)
    for failure in range(FAILURES):
        workload = Workload(seed, form_of(seed_number + failure), tally)
        for _ in range(seed.randrange(1, 4)):
            workload.write()
            workload.flush()
        fail_and_reopen(workload, forgets=failure % 2 == 0)
        for _ in range(2):
            workload.write()
            workload.flush()


def fail_and_reopen(workload: Workload, *, forgets: bool) -> None:
    """Let a sync fail, open again, and lose power while that is under way and after it."""
    disk = workload.disk
    syncs_left = workload.seed.randrange(3)

    def fail(name: str) -> None:
        nonlocal syncs_left
        if name == "sync":
            if not syncs_left:
                raise OSError(5, "simulated failure of sync")
            syncs_left -= 1

    workload.write()
    disk.at_sync, disk.before_call, disk.forgets = None, fail, forgets
    try:
        workload.flush()
    except EnginePoisonedError:
        workload.tally.add("failed syncs")
        reopen(workload)
    disk.before_call, disk.at_sync = workload._write_meanwhile, workload._lose_power


def reopen(workload: Workload) -> None:
    """Open the file that a failed sync has left, as the system shows it."""
    before, after = workload.acknowledged, workload.in_flight
    assert after is not None
    disk = workload.disk
    workload.engine.close()
    disk.before_call = None
    disk.at_sync = lambda durable, pending: workload.try_all(durable, pending, [before, after])
    workload.engine = BoltEngine(disk, freelist_sync=workload.freelist_sync)
    found = contents(workload.engine)
    assert found in (before, after)
    workload.tally.add("of them seen as written", int(found == after))
    workload.head, workload.acknowledged, workload.in_flight = found, kept(found), None


def test_a_power_loss_while_a_file_is_born(tally: Tally) -> None:
    seed = random.Random(1)

    def lose(durable: bytes, pending: Writes) -> None:
        for data in dict.fromkeys(power_losses(durable, pending, seed, samples=300)):
            assert contents(BoltEngine(LosingDisk(data))) == Contents()
            tally.add("states while a file is born")

    BoltEngine(LosingDisk(at_sync=lose))


@pytest.mark.real("bbolt", "go")
@pytest.mark.parametrize("seed_number", seeds(short=1, long=10))
def test_bbolt_accepts_what_a_power_loss_leaves(
    bbolt: Oracle, tmp_path: Path, seed_number: int, tally: Tally
) -> None:
    # With other pages than the machine's own, bbolt does not find the second meta behind a
    # damaged first one.
    form = (os.sysconf("SC_PAGE_SIZE"), seed_number % 2 == 0)
    workload = Workload(random.Random(2_000_000 + seed_number), form, tally)
    while len(workload.survivors) < SURVIVORS_FOR_BBOLT:
        workload.write()
        workload.flush()
    path = tmp_path / "survivor.db"
    for data, found in workload.survivors:
        path.write_bytes(data)
        assert bbolt.check(path) == []
        assert bbolt.dump(path) == found.dump()
        tally.add("of them looked at by bbolt", 1)
