"""A process that writes with eight threads until it is killed.

    kill_writer.py FILE [kill CALL | half CALL | fail SYNC]

Each thread has a bucket; its n-th transaction is a function of thread and n alone, so that
whoever knows how many there were knows the contents. A line on stdout, `THREAD N VERSION`,
acknowledges a transaction after its commit has returned.

`kill` ends the process before that call that writes, `half` in the middle of it; `fail` lets
that sync fail, after which the process opens the file again and goes on.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from orlop.bolt import BoltEngine, FileDisk
from orlop.kv import EnginePoisonedError
from real.scripts import Contents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orlop.kv import Bucket

THREADS = 8
RING = 40
"""How many keys a thread writes, again and again."""

LAST = b"last"
INNER = b"inner"


def bucket_name(thread: int) -> bytes:
    return b"thread-%d" % thread


def write(bucket: Bucket, thread: int, number: int) -> None:
    """Make the changes of a thread's transaction of this number."""
    key = b"key-%02d" % (number % RING)
    if number % 7 == 3:
        bucket.delete(key)
    else:
        bucket.put(key, payload(thread, number))
    if number % 11 == 5:
        if bucket.bucket(INNER) is not None:
            bucket.delete_bucket(INNER)
        bucket.create_bucket(INNER).put(b"made by", b"%d" % number)
    bucket.next_sequence()
    bucket.put(LAST, b"%d" % number)


def expected(thread: int, count: int) -> Contents:
    """Return the contents of a thread's bucket after its first `count` transactions."""
    found = Contents(sequence=count)
    for number in range(max(count - RING, 0) + 1, count + 1):
        if number % 7 != 3:
            found.values[b"key-%02d" % (number % RING)] = payload(thread, number)
    made = [number for number in range(1, count + 1) if number % 11 == 5]
    if made:
        found.buckets[INNER] = Contents(values={b"made by": b"%d" % made[-1]})
    if count:
        found.values[LAST] = b"%d" % count
    return found


def payload(thread: int, number: int) -> bytes:
    seed = random.Random(thread * 1_000_003 + number)
    return seed.randbytes(seed.choice((10, 100, 100, 300, 300, 2000, 9000)))


class DeadlyDisk(FileDisk):
    """A file at which a call that writes kills the process, or fails."""

    deed = ""
    calls_left = 0

    def _count(self, kind: str) -> bool:
        if self.deed == "fail" and kind != "sync":
            return False
        DeadlyDisk.calls_left -= 1
        return not self.calls_left

    def write(self, offset: int, chunks: Sequence[bytes]) -> None:
        if self._count("write"):
            if self.deed == "half":
                whole = b"".join(chunks)
                super().write(offset, [whole[: len(whole) // 2]])
            _die()
        super().write(offset, chunks)

    def grow(self, size: int) -> None:
        if self._count("grow"):
            _die()
        super().grow(size)

    def sync(self) -> None:
        if self._count("sync"):
            if self.deed == "fail":
                raise OSError(5, "simulated failure of sync")
            _die()
        super().sync()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _work(engine: BoltEngine, thread: int) -> None:
    while True:
        try:
            with engine.begin(writable=True) as transaction:
                bucket = transaction.root.create_bucket_if_absent(bucket_name(thread))
                number = bucket.sequence + 1
                write(bucket, thread, number)
        except EnginePoisonedError:
            return
        os.write(1, b"%d %d %d\n" % (thread, number, transaction.id))


def main(path: Path, deed: str = "", call: str = "0") -> None:
    DeadlyDisk.deed, DeadlyDisk.calls_left = deed, int(call)
    while True:
        disk = DeadlyDisk.for_writing(path, timeout=5)
        engine = BoltEngine(disk)
        threads = [
            threading.Thread(target=_work, args=(engine, number)) for number in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        engine.close()
        os.write(1, b"poisoned\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
