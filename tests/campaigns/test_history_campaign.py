"""Readers and writers in many threads record their reads; the records are checked afterwards.

Every writer takes the next number of a counter in the database, so that the order of all
writes is known. A reader of version T must have seen, of each key, the last write that became
durable with T or before; a writer, the state that the one before it had left.

Source: the idea is that of bbolt's concurrent test (tests of v1.4).
"""

from __future__ import annotations

import random
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from campaigns.seeds import seeds
from orlop.bolt import BoltEngine, FileDisk
from orlop.bolt.reader import ReadingEngine
from orlop.kv import StaleReadError
from orlop.maintenance import check_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from campaigns.tally import Tally
    from orlop.kv import Bucket, Transaction

    Values = dict[bytes, bytes | None]

SECONDS = 2.5
WRITERS, READERS, LIVE_READERS = 6, 3, 2
KEYS = [b"key-%02d" % number for number in range(30)]
BUCKET, COUNTER = b"bucket", b"counter"
SYNC_SECONDS = 0.002
"""As slow as a disk, so that groups of writers gather."""


PAUSE_SECONDS = 0.001
SWITCH_SECONDS = 0.0002
"""How long a thread runs before the next one may: little, so that they meet anywhere."""


@pytest.fixture(autouse=True)
def busy_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    yield
    sys.setswitchinterval(before)


class SlowDisk(FileDisk):
    """A file with slow syncs."""

    def sync(self) -> None:
        time.sleep(SYNC_SECONDS)
        super().sync()


@dataclass(frozen=True, slots=True)
class Write:
    """A committed transaction: the values it read, and those it wrote."""

    number: int
    version: int
    found: Values
    made: Values


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading transaction; `acknowledged` is the newest version known when it began."""

    version: int
    acknowledged: int
    counter: int
    found: Values


@dataclass(slots=True)
class History:
    """The reads and writes of all threads."""

    writes: list[Write] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    by_reader: list[list[int]] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    acknowledged: int = 0
    disturbed: int = 0
    ends_at: float = 0.0


def bucket_of(transaction: Transaction) -> Bucket:
    bucket = transaction.root.bucket(BUCKET)
    assert bucket is not None
    return bucket


def some(seed: random.Random, bucket: Bucket) -> Values:
    return {key: bucket.get(key) for key in seed.sample(KEYS, 3)}


def write(engine: BoltEngine, history: History, seed: random.Random) -> None:
    while time.monotonic() < history.ends_at:
        transaction = engine.begin(writable=True)
        bucket = bucket_of(transaction)
        number = int(bucket.get(COUNTER) or b"0") + 1
        found, made = some(seed, bucket), dict[bytes, bytes | None]()
        for key in seed.sample(KEYS, seed.randrange(1, 5)):
            if seed.random() < 0.2:
                bucket.delete(key)
                made[key] = None
            else:
                made[key] = b"%d %s" % (number, bytes(seed.choice((0, 10, 500, 5000))))
                bucket.put(key, made[key] or b"")
        bucket.put(COUNTER, b"%d" % number)
        if seed.random() < 0.1:
            transaction.rollback()
            continue
        transaction.commit()
        history.writes.append(Write(number, transaction.id, found, made))
        history.acknowledged = max(history.acknowledged, transaction.id)


def read(
    engine: BoltEngine | ReadingEngine, history: History, seed: random.Random, *, is_slow: bool
) -> None:
    versions: list[int] = []
    history.by_reader.append(versions)
    while time.monotonic() < history.ends_at:
        acknowledged = history.acknowledged
        try:
            with engine.begin() as transaction:
                bucket = bucket_of(transaction)
                found: Values = {}
                for key in seed.sample(KEYS, len(KEYS)):
                    found[key] = bucket.get(key)
                    if is_slow:
                        time.sleep(0.001)
                counter = int(bucket.get(COUNTER) or b"0")
        except StaleReadError:
            history.disturbed += 1
            continue
        history.readings.append(Reading(transaction.id, acknowledged, counter, found))
        versions.append(transaction.id)
        time.sleep(PAUSE_SECONDS)


def run(history: History, jobs: list[Callable[[], None]]) -> None:
    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001 (looked at by the test)
            history.errors.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    history.ends_at = time.monotonic() + SECONDS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if history.errors:
        raise history.errors[0]


def states(history: History) -> dict[int, Values]:
    """Return the contents of each version, after checking that the writes form one order."""
    writes = sorted(history.writes, key=lambda write: write.number)
    assert [write.number for write in writes] == list(range(1, len(writes) + 1))
    versions = [write.version for write in writes]
    assert versions == sorted(versions)
    state: Values = dict.fromkeys(KEYS)
    by_version = {0: dict(state)}
    for write in writes:
        assert write.found == {key: state[key] for key in write.found}
        state |= write.made
        by_version[write.version] = dict(state)
    return by_version


def verify(history: History) -> None:
    by_version = states(history)
    counters = {write.version: write.number for write in sorted(history.writes, key=_number)}
    for reading in history.readings:
        assert reading.version >= reading.acknowledged, "an acknowledged write was not seen"
        known = max((version for version in by_version if version <= reading.version), default=0)
        assert reading.found == by_version[known]
        assert reading.counter == counters.get(known, 0)
    for versions in history.by_reader:
        assert versions == sorted(versions)


def _number(write: Write) -> int:
    return write.number


@pytest.mark.parametrize("seed_number", seeds(short=2, long=40))
def test_what_was_seen_fits_one_order(tmp_path: Path, seed_number: int, tally: Tally) -> None:
    path = tmp_path / "history.db"
    path.write_bytes(b"")
    engine = BoltEngine(SlowDisk.for_writing(path, timeout=0), freelist_sync=seed_number % 2 == 0)
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket(BUCKET)
    lives = [ReadingEngine(FileDisk.for_reading(path)) for _ in range(LIVE_READERS)]
    history = History()

    def job(number: int) -> Callable[[], None]:
        seed = random.Random(seed_number * 100 + number)
        if number < WRITERS:
            return lambda: write(engine, history, seed)
        if number < WRITERS + READERS:
            return lambda: read(engine, history, seed, is_slow=number == WRITERS)
        live = lives[number - WRITERS - READERS]
        return lambda: read(live, history, seed, is_slow=False)

    run(history, [job(number) for number in range(WRITERS + READERS + LIVE_READERS)])
    engine.close()
    for live in lives:
        live.close()

    verify(history)
    assert check_file(path).faults == []
    groups = len({write.version for write in history.writes})
    assert groups < len(history.writes), "no group ever gathered"
    tally.add("writes", len(history.writes))
    tally.add("versions", groups)
    tally.add("readings", len(history.readings))
    tally.add("disturbed live readings", history.disturbed)
