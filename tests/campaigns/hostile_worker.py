"""A process with little memory that opens damaged files in every way there is.

    hostile_worker.py FOLDER FIRST COUNT   (damaged files)
    hostile_worker.py FOLDER bombs         (files without end)

The last line on stdout is a JSON object: what was counted, and what went wrong. A file that
made something go wrong stays in the folder.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import traceback
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bolt.simulated_disk import SimulatedDisk
from campaigns.bombs import bombs
from campaigns.changes import change
from campaigns.mutations import mutate
from orlop.bolt import BoltEngine, open_engine
from orlop.bolt.initialization import empty_database
from orlop.bolt.tools.dump import dump
from orlop.kv import EngineError
from orlop.maintenance import (
    backup,
    check_file,
    compact,
    diff,
    file_info,
    pages,
    salvage,
    statistics,
)
from orlop.maintenance.listing import entries
from real.scripts import Contents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from orlop.kv import Bucket

MEMORY_BYTES_MAX = 768 << 20
SECONDS_MAX = 5
"""Of the processor's time, for one thing done with one file."""

DATA = Path(__file__).resolve().parents[1] / "data"
FAILURES_MAX = 20


class TooSlowError(BaseException):
    """An operation took longer than a small file allows."""


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise TooSlowError


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TooSlowError when the process has worked so long."""
    signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def own_files() -> Iterator[bytes]:
    """Make files of forms that no golden one has."""
    for number, (page_size, freelist_sync) in enumerate(
        ((1024, False), (1024, True), (4096, True), (16_384, False))
    ):
        seed = random.Random(number)
        disk = SimulatedDisk(empty_database(page_size))
        engine = BoltEngine(disk, freelist_sync=freelist_sync)
        known = Contents()
        for _ in range(6):
            with engine.begin(writable=True) as transaction:
                change(transaction.root, known, seed, steps=60)
        yield disk.durable


def read_everything(bucket: Bucket) -> None:
    """Read a whole bucket, to any depth."""
    pending = [bucket]
    while pending:
        bucket = pending.pop()
        for key, value in bucket.items():
            if value is None and (inner := bucket.bucket(key)) is not None:
                pending.append(inner)


def read_backwards(path: Path) -> None:
    """Iterate over every bucket with a cursor, from the end."""
    engine = open_engine(path, read_only=True)
    try:
        with engine.begin() as transaction:
            pending = [transaction.root]
            while pending:
                bucket = pending.pop()
                cursor = bucket.cursor()
                item = cursor.last()
                while item is not None:
                    if item[1] is None and (inner := bucket.bucket(item[0])) is not None:
                        pending.append(inner)
                    item = cursor.previous()
    finally:
        engine.close()


def read(path: Path) -> None:
    engine = open_engine(path, read_only=True)
    try:
        with engine.begin() as transaction:
            read_everything(transaction.root)
    finally:
        engine.close()


def read_as_trees(path: Path) -> None:
    """Read every bucket with its contents, at once and one by one."""
    engine = open_engine(path, read_only=True)
    try:
        with engine.begin() as transaction:
            found = dict(transaction.root.trees())
            names = [name for name, value in transaction.root.items() if value is None]
            assert list(found) == names, "trees are of other buckets than items"
        with engine.begin() as transaction:
            for name, tree in found.items():
                assert transaction.root.tree(name) == tree, "a tree alone is another one"
    finally:
        engine.close()


def list_tree(path: Path) -> None:
    engine = open_engine(path, read_only=True)
    try:
        with engine.begin() as transaction:
            for _ in entries(transaction):
                pass
    finally:
        engine.close()


def write(path: Path) -> None:
    """Open for writing and change something in every bucket of the outermost."""
    engine = open_engine(path, create=False, timeout=0)
    try:
        for step in (_touch_buckets, _delete_buckets):
            with engine.begin(writable=True) as transaction:
                step(transaction.root)
            with engine.begin() as transaction:
                read_everything(transaction.root)
    finally:
        engine.close()


def _touch_buckets(root: Bucket) -> None:
    for name, value in list(root.items()):
        if value is None and (bucket := root.bucket(name)) is not None:
            bucket.put(b"new", bytes(2000))
            bucket.next_sequence()
            cursor = bucket.cursor()
            last = cursor.last()
            if last is not None and last[1] is not None:
                cursor.delete()
    root.create_bucket_if_absent(b"made").put(b"key", bytes(20_000))


def _delete_buckets(root: Bucket) -> None:
    for name, value in list(root.items()):
        if value is None:
            root.delete_bucket(name)


def check(path: Path) -> None:
    check_file(path)


def describe(path: Path) -> None:
    file_info(path)


def copy(path: Path) -> None:
    target = path.with_suffix(".copy")
    target.unlink(missing_ok=True)
    backup(path, target)


def take_stock(path: Path) -> None:
    for _ in pages(path):
        pass
    statistics(path)


def save(path: Path) -> None:
    """Salvage the file: the result is sound, and complete if the file was sound."""
    target = path.with_suffix(".salvaged")
    target.unlink(missing_ok=True)
    salvage(path, target)
    assert check_file(target).faults == [], "what was salvaged is damaged"
    if not check_file(path).faults:
        assert canonical(target) == canonical(path), "a sound file was not salvaged whole"


def compact_it(path: Path) -> None:
    """Compact the file: the result is sound, and complete if the file was sound."""
    before = None if check_file(path).faults else canonical(path)
    compact(path)
    assert check_file(path).faults == [], "what was compacted is damaged"
    if before is not None:
        assert canonical(path) == before, "compaction has changed what is stored"


def compare(path: Path) -> None:
    """Compare the file with itself."""
    engines = [open_engine(path, read_only=True) for _ in range(2)]
    try:
        with engines[0].begin() as one, engines[1].begin() as other:
            assert not list(diff(one, other)), "a file differs from itself"
    finally:
        for engine in engines:
            engine.close()


def canonical(path: Path) -> str:
    engine = open_engine(path, read_only=True)
    try:
        with engine.begin() as transaction:
            return "".join(dump(transaction))
    finally:
        engine.close()


ACTIONS: dict[str, Callable[[Path], object]] = {
    "check": check,
    "info": describe,
    "read": read,
    "read backwards": read_backwards,
    "trees": read_as_trees,
    "tree": list_tree,
    "dump": canonical,
    "diff": compare,
    "pages": take_stock,
    "backup": copy,
    "salvage": save,
    "compact": compact_it,
    "write": write,
}


def attack(path: Path, data: bytes, title: str, outcomes: Counter[str]) -> list[str]:
    """Run all actions on a file; return the failures."""
    failures = []
    for name, action in ACTIONS.items():
        path.write_bytes(data)
        try:
            with time_limit(SECONDS_MAX):
                action(path)
        except EngineError as error:
            outcomes[f"{name}: {type(error).__name__}"] += 1
            if name == "check":
                failures.append(f"{title}: check raised {error!r}")
        except BaseException as error:  # noqa: BLE001 (whatever it is, it is what is looked for)
            trace = "".join(traceback.format_exception(error)[-12:])
            failures.append(f"{title}: {name}: {type(error).__name__}\n{trace[-3000:]}")
        else:
            outcomes[f"{name}: done"] += 1
    if failures:
        path.with_name(f"{title.replace(' ', '-')[:80]}.db").write_bytes(data)
    return failures


def damaged(first: int, count: int) -> Iterator[tuple[str, bytes]]:
    samples = [path.read_bytes() for path in sorted(DATA.rglob("*.db"))] + list(own_files())
    for number in range(first, first + count):
        seed = random.Random(number)
        data, names = mutate(seed.choice(samples), seed)
        yield f"seed {number} {' '.join(names)}", data


def do_not_wait_for_the_disk() -> None:
    """Make every sync return at once: no power loss is simulated here."""
    os.fsync = os.fdatasync = lambda _: None  # type: ignore[assignment]


def main(folder: Path, *which: str) -> None:
    victims = bombs() if which == ("bombs",) else damaged(int(which[0]), int(which[1]))
    do_not_wait_for_the_disk()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    files, failures = 0, list[str]()
    outcomes: Counter[str] = Counter()
    for title, data in victims:
        files += 1
        failures += attack(folder / "victim.db", data, title, outcomes)
        if len(failures) > FAILURES_MAX:
            break
    sys.stdout.write(
        json.dumps({"files": files, "outcomes": outcomes, "failures": failures}) + "\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
