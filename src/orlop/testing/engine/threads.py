"""The contract for many threads: no update is lost, and readers see whole versions."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from orlop.testing.engine.expectations import expect_equal
from orlop.testing.engine.store import PATIENCE_SECONDS, Suite, committing, opened, reading, writing

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.kv.contract import Bucket, Engine

_THREADS = 8
_ROUNDS = 8


class Worker(threading.Thread):
    """Runs one thing in a thread of its own, which never outlives the program."""

    def __init__(self, work: Callable[[], object]) -> None:
        """Begin with `work` at once."""
        super().__init__(daemon=True)
        self._work = work
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Work, and keep the error."""
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 (raised again by `result`)
            self._error = error

    def has_ended(self, seconds: float) -> bool:
        """Whether it ends within so many seconds."""
        self.join(seconds)
        return not self.is_alive()

    def result(self) -> None:
        """Wait for the end, and raise the error."""
        expect_equal(self.has_ended(PATIENCE_SECONDS), True, "a thread ends in time")
        if self._error is not None:
            raise self._error


class ThreadSuite(Suite):
    """Clauses on transactions in many threads."""

    def test_eight_threads_lose_no_update(self) -> None:
        """Each increments a stored number."""
        with self.engine() as engine:
            with committing(engine) as bucket:
                bucket.put(b"all", b"0")

            def work(name: bytes) -> None:
                for _ in range(_ROUNDS):
                    with committing(engine) as bucket:
                        for key in (b"all", name):
                            bucket.put(key, b"%d" % (int(bucket.get(key) or b"0") + 1))
                        bucket.next_sequence()

            _work_together(work)
            with reading(engine) as reader:
                bucket = opened(reader)
                expected = {b"thread-%d" % at: b"%d" % _ROUNDS for at in range(_THREADS)}
                expected[b"all"] = b"%d" % (_THREADS * _ROUNDS)
                expect_equal(dict(bucket.items()), expected, "no update is lost")
                expect_equal(bucket.sequence, _THREADS * _ROUNDS, "nor is a count")

    def test_a_reader_sees_all_of_a_transaction_or_nothing(self) -> None:
        """While other threads move units between buckets, their sum never changes."""
        with self.engine() as engine:
            for place in (b"one", b"other"):
                with committing(engine, place) as bucket:
                    _add_units(bucket, 1000)
            done = threading.Event()

            def move(name: bytes) -> None:
                amount = len(name) + int(name[-1:])
                for _ in range(_ROUNDS):
                    with writing(engine) as transaction:
                        _add_units(opened(transaction, b"one"), amount)
                        _add_units(opened(transaction, b"other"), -amount)
                        transaction.commit()

            def watch() -> None:
                while not done.is_set():
                    with reading(engine) as reader:
                        one, other = opened(reader, b"one"), opened(reader, b"other")
                        expect_equal(
                            _units(one) + _units(other), 2000, "a reader sees whole transactions"
                        )

            watchers = [Worker(watch) for _ in range(2)]
            try:
                _work_together(move)
            finally:
                done.set()
            for watcher in watchers:
                watcher.result()

    def test_numbers_tell_which_version_came_first(self) -> None:
        """A number names one version; a greater one has seen more."""
        with self.engine() as engine:
            with committing(engine) as bucket:
                bucket.next_sequence()
            seen: list[tuple[int, int]] = []

            def count(name: bytes) -> None:
                del name
                for _ in range(_ROUNDS):
                    with writing(engine) as writer:
                        counted = opened(writer).next_sequence()
                        writer.commit()
                    with reading(engine) as reader:
                        found = opened(reader).sequence
                        seen.append((reader.id, found))
                    expect_equal(
                        reader.id >= writer.id and found >= counted,
                        True,
                        "who begins after a commit sees it",
                    )

            _work_together(count)
            versions = sorted(set(seen))
            expect_equal(
                [number for number, _ in versions],
                sorted({number for number, _ in versions}),
                "a number names one version",
            )
            counts = [found for _, found in versions]
            expect_equal(counts, sorted(set(counts)), "a greater number has seen more")

    def test_readers_in_many_threads_keep_their_versions(self) -> None:
        """While a writer goes on."""
        with self.engine() as engine:
            _put_all(engine, 0)
            done = threading.Event()

            def watch() -> None:
                while not done.is_set():
                    with reading(engine) as reader:
                        bucket = opened(reader)
                        first = {value for _, value in bucket.items()}
                        again = {value for _, value in bucket.items()}
                        expect_equal(len(first), 1, "a reader sees one version")
                        expect_equal(again, first, "a reader's version does not change")

            watchers = [Worker(watch) for _ in range(4)]
            try:
                for number in range(1, 10):
                    _put_all(engine, number)
            finally:
                done.set()
            for watcher in watchers:
                watcher.result()


def _work_together(work: Callable[[bytes], None]) -> None:
    workers = [Worker(lambda at=at: work(b"thread-%d" % at)) for at in range(_THREADS)]  # type: ignore[misc]
    for worker in workers:
        worker.result()


def _units(bucket: Bucket) -> int:
    return int(bucket.get(b"units") or b"0")


def _add_units(bucket: Bucket, amount: int) -> None:
    bucket.put(b"units", b"%d" % (_units(bucket) + amount))


def _put_all(engine: Engine, number: int) -> None:
    with committing(engine) as bucket:
        for key in range(60):
            bucket.put(b"key-%d" % key, b"%d" % number * 100)
