"""Every single call to the system fails once: an error, never a wrong answer or a broken file.

What failed while reading may be tried again. What failed while a group was written poisons the
handle; who opens the file again finds the last acknowledged version or the one in flight.
"""

from __future__ import annotations

import random
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import pytest

from campaigns.changes import at, change, kept, read
from campaigns.faulty_calls import FAULTS, Fault, FaultyCalls
from campaigns.grouping import flush, gather
from campaigns.seeds import seeds
from orlop.bolt import BoltEngine, FileDisk, disk
from orlop.bolt.initialization import empty_database
from orlop.bolt.reader import ReadingEngine
from orlop.kv import EnginePoisonedError
from orlop.maintenance import check_file
from real.scripts import Contents

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import TypeVar

    from campaigns.tally import Tally
    from orlop.bolt.group_commit import Group
    from orlop.kv import Bucket

    Answer = TypeVar("Answer")

ROUNDS = 3
LARGE_BYTES = 40_000
FORMS = ((1024, False), (4096, True), (1024, True), (4096, False))


class Workload:
    """Groups of writers and readers of two kinds, on a file with one failing system call."""

    def __init__(self, path: Path, calls: FaultyCalls, seed_number: int) -> None:
        self.path, self.calls = path, calls
        self.seed_number = seed_number
        self.page_size, self.freelist_sync = FORMS[seed_number % len(FORMS)]
        self.head, self.acknowledged = Contents(), Contents()
        self.poisonings = 0
        self.path.write_bytes(empty_database(self.page_size))
        self.engine = self.again(self.open)

    def run(self) -> None:
        for number in range(ROUNDS):
            self.write_beside_a_reader(number)
            self.read()
            if number == ROUNDS // 2:
                self.engine.close()
                self.engine = self.again(self.open)
        self.engine.close()

    def write_beside_a_reader(self, number: int) -> None:
        """Write a group while a reader has an older version; it must not change."""
        pinned = self.engine.begin()
        expected = kept(self.acknowledged)
        poisonings = self.poisonings
        self.write_group(number)
        if self.poisonings == poisonings:
            assert self.again(lambda: read(pinned.root)) == expected
        pinned.rollback()

    def write_group(self, number: int) -> None:
        """Put three transactions in a group, which becomes durable as one."""
        group: Group | None = None
        for place in range(3):
            group = self.again(partial(self.write_one, number * 10 + place))
        assert group is not None
        try:
            flush(self.engine, group)
        except EnginePoisonedError:
            self.poisonings += 1
            self.open_after_poisoning()
        else:
            self.acknowledged = kept(self.head)

    def write_one(self, number: int) -> Group:
        seed = random.Random(self.seed_number * 1000 + number)
        known = kept(self.head)
        transaction = self.engine.begin(writable=True)
        try:
            change(transaction.root, known, seed, steps=8)
            if number % 10 == 0:
                put_larger_than_before(transaction.root, known, number // 10)
            group = gather(self.engine, transaction)
        except OSError:
            # It may have seen what was not durable yet, and so makes it durable.
            transaction.rollback()
            self.acknowledged = kept(self.head)
            raise
        self.head = known
        return group

    def open_after_poisoning(self) -> None:
        for writable in (False, True):
            with pytest.raises(EnginePoisonedError):
                self.engine.begin(writable=writable)
        self.engine.close()
        self.engine = self.again(self.open)
        with self.engine.begin() as transaction:
            found = read(transaction.root)
        assert found in (self.acknowledged, self.head)
        assert clean_but_for_a_torn_meta(self.path)
        self.head, self.acknowledged = found, kept(found)

    def read(self) -> None:
        """Read the durable version by this handle and by one that takes no lock."""
        assert self.again(self.read_here) == self.acknowledged
        assert self.again(self.read_live) == self.acknowledged

    def read_here(self) -> Contents:
        with self.engine.begin() as transaction:
            return read(transaction.root)

    def read_live(self) -> Contents:
        engine = ReadingEngine(FileDisk.for_reading(self.path))
        try:
            with engine.begin() as transaction:
                return read(transaction.root)
        finally:
            engine.close()

    def open(self) -> BoltEngine:
        opened = FileDisk.for_writing(self.path, timeout=0)
        try:
            return BoltEngine(opened, freelist_sync=self.freelist_sync)
        except BaseException:
            opened.close()
            raise

    def again(self, action: Callable[[], Answer]) -> Answer:
        """Do it, and once more where the system refused: a failed reading spoils nothing."""
        struck = self.calls.has_struck
        try:
            return action()
        except OSError:
            assert self.calls.has_struck
            assert not struck
            assert self.calls.fault.error
            return action()


def put_larger_than_before(root: Bucket, known: Contents, number: int) -> None:
    """Put a value that is too large for the free pages, so that every workload grows the file."""
    path, value = known.paths()[0], bytes([number]) * LARGE_BYTES * (number + 1)
    at(root, path).put(b"larger", value)
    known.at(path).values[b"larger"] = value


def clean_but_for_a_torn_meta(path: Path) -> bool:
    faults = [fault.message for fault in check_file(path).faults]
    return all(fault.startswith("meta page") for fault in faults)


@pytest.mark.parametrize("seed_number", seeds(short=1, long=20))
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_every_call_that_fails_is_an_error_and_nothing_worse(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    seed_number: int,
    tally: Tally,
) -> None:
    poisonings = 0
    for call in count(1):
        calls = FaultyCalls(fault, call)
        monkeypatch.setattr(disk, "os", calls)
        workload = Workload(tmp_path / "faulty.db", calls, seed_number)
        workload.run()
        if not calls.has_struck:
            break
        assert clean_but_for_a_torn_meta(workload.path)
        poisonings += workload.poisonings
        tally.add("calls that failed or fell short")
    assert call > 1, "the workload never made that call"
    if fault.error:
        assert poisonings or fault.call == "pread"
    else:
        assert not poisonings
    tally.add("of them poisoned the handle", poisonings)
