"""How every engine is opened, used by one writer at a time, closed and opened again."""

from __future__ import annotations

import threading
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from orlop.kv.errors import (
    EngineClosedError,
    LockedError,
    ReadOnlyError,
    StaleReadError,
    TransactionClosedError,
)
from orlop.testing.engine.expectations import Model, contents, expect_equal, expect_refusal
from orlop.testing.engine.store import (
    NAME,
    PATIENCE_SECONDS,
    Suite,
    committing,
    opened,
    reading,
    writing,
)
from orlop.testing.engine.threads import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orlop.kv.contract import Engine, Transaction
    from orlop.testing.engine.store import Store

Answer = TypeVar("Answer")

_WAIT_SECONDS = 0.1
_MANY = 200


class LifecycleSuite(Suite):
    """Clauses on the engine itself."""

    def test_what_was_committed_is_there_after_reopening(self) -> None:
        """And nothing else; it goes on from there."""
        model: Model = {}
        with self.store() as store:
            for number in range(3):
                with closing(store.open()) as engine:
                    with committing(engine) as bucket:
                        expect_equal(contents(bucket), model, "what was committed is kept")
                        bucket.put(b"key-%d" % number, b"x" * 1500)
                        model[b"key-%d" % number] = b"x" * 1500
                    with writing(engine) as writer:
                        opened(writer).put(b"rolled back", b"")
                        writer.rollback()

    def test_numbers_go_on_after_reopening(self) -> None:
        """They never fall back."""
        with self.store() as store:
            last = 0
            for _ in range(3):
                with closing(store.open()) as engine:
                    with writing(engine) as writer:
                        writer.root.create_bucket_if_absent(NAME).next_sequence()
                        writer.commit()
                    expect_equal(writer.id > last, True, "numbers grow over reopening")
                    last = writer.id
                    with reading(engine) as reader:
                        expect_equal(reader.id, last, "a reader sees the last version")

    def test_closing_twice_is_allowed(self) -> None:
        """The second time does nothing: not even where it has been opened anew."""
        with self.store() as store:
            engine = store.open()
            with committing(engine) as bucket:
                bucket.put(b"key", b"value")
            engine.close()
            engine.close()
            with closing(store.open()) as again:
                engine.close()
                with committing(again) as bucket:
                    expect_equal(bucket.get(b"key"), b"value", "the new handle is untouched")
            reader = store.open(read_only=True)
            reader.close()
            reader.close()

    def test_a_closed_engine_begins_nothing(self) -> None:
        """Neither a reader nor a writer."""
        with self.store() as store:
            for read_only in (False, True):
                engine = store.open(read_only=read_only)
                engine.close()
                expect_refusal(EngineClosedError, engine.begin, "it has been closed")
            engine = store.open()
            engine.close()
            expect_refusal(
                EngineClosedError, lambda: engine.begin(writable=True), "it has been closed"
            )

    def test_open_readers_are_of_no_use_after_closing(self) -> None:
        """All reads are refused, also of keys that were read before."""
        with self.store() as store:
            with closing(store.open()) as engine, committing(engine) as bucket:
                for number in range(_MANY):
                    bucket.put(b"key-%03d" % number, b"x" * 100)
            for read_only in (False, True):
                engine = store.open(read_only=read_only)
                reader = engine.begin()
                bucket = opened(reader)
                cursor, walk = bucket.cursor(), bucket.items()
                expect_equal(cursor.first(), next(walk), "a reader reads")
                engine.close()
                for read in (
                    lambda reader=reader: reader.root,
                    lambda bucket=bucket: bucket.get(b"key-000"),
                    lambda bucket=bucket: bucket.get(b"key-%03d" % (_MANY - 1)),
                    lambda bucket=bucket: bucket.bucket(NAME),
                    lambda bucket=bucket: bucket.sequence,
                    lambda bucket=bucket: list(bucket.items()),
                    lambda cursor=cursor: cursor.next(),
                    lambda cursor=cursor: cursor.previous(),
                    lambda cursor=cursor: cursor.last(),
                    lambda walk=walk: next(walk),
                ):
                    expect_refusal(EngineClosedError, read, "its engine has been closed")
                # Where others may write, it is not known any more whether that counted.
                with suppress(EngineClosedError):
                    reader.rollback()

    def test_closing_rolls_back_a_writer_of_the_same_thread(self) -> None:
        """It would wait for itself for ever."""
        with _prepared(self) as store:
            engine = store.open()
            writer = engine.begin(writable=True)
            opened(writer).put(b"key", b"changed")
            engine.close()
            expect_refusal(TransactionClosedError, writer.commit, "it was rolled back")
            with closing(store.open()) as again, reading(again) as reader:
                expect_equal(contents(reader.root), _PREPARED, "a rollback leaves nothing")

    def test_closing_waits_for_a_writer_of_another_thread(self) -> None:
        """Its commit is there; transactions that begin later are refused."""
        with _prepared(self) as store:
            engine = store.open()
            has_begun, may_end = threading.Event(), threading.Event()

            def write() -> None:
                with committing(engine) as bucket:
                    has_begun.set()
                    may_end.wait(PATIENCE_SECONDS)
                    bucket.put(b"key", b"changed")

            worker = Worker(write)
            has_begun.wait(PATIENCE_SECONDS)
            closer = Worker(engine.close)
            expect_equal(closer.has_ended(_WAIT_SECONDS), False, "it waits")
            may_end.set()
            worker.result()
            closer.result()
            expect_refusal(EngineClosedError, engine.begin, "it has been closed")
            with closing(store.open()) as again, reading(again) as reader:
                expect_equal(opened(reader).get(b"key"), b"changed", "a commit is kept")

    def test_an_engine_knows_whether_it_only_reads(self) -> None:
        """A read-only engine refuses writers, and reads the version at its opening."""
        with _prepared(self) as store:
            with closing(store.open()) as engine:
                expect_equal(engine.read_only, False, "this one writes")
            with closing(store.open(read_only=True)) as engine:
                expect_equal(engine.read_only, True, "this one only reads")
                expect_refusal(ReadOnlyError, lambda: engine.begin(writable=True), "it only reads")
                with reading(engine) as reader:
                    expect_equal(reader.writable, False, "its transactions only read")
                    expect_equal(contents(reader.root), _PREPARED, "it reads what is there")
                    expect_refusal(
                        ReadOnlyError, lambda: opened(reader).put(b"key", b""), "it only reads"
                    )

    def test_a_handle_that_only_reads_takes_no_lock(self) -> None:
        """A writing one can be opened beside it, before or after, and is not held up."""
        with (
            _prepared(self) as store,
            closing(store.open(read_only=True)),
            closing(store.open()) as engine,
            closing(store.open(read_only=True)) as later,
        ):
            with writing(engine) as writer:
                opened(writer).put(b"key", b"changed")
                expect_equal(_read(later, _whole), _PREPARED, "it is not committed yet")
                writer.commit()
            expect_equal(_read(later, _whole), {NAME: {b"key": b"changed"}}, "a commit is seen")

    def test_what_a_handle_that_only_reads_takes_for_good_was_one_version(self) -> None:
        """While other processes write, a read may fail, and is then retried."""
        with (
            _prepared(self) as store,
            closing(store.open()) as engine,
            closing(store.open(read_only=True)) as watcher,
        ):
            for number in range(6):
                with committing(engine) as bucket:
                    for key in range(40):
                        bucket.put(b"key-%d" % key, b"%d" % number * 200)
                values = _read(watcher, lambda reader: _read_while_written(reader, engine))
                expect_equal(len(values), 1, "what counts was one version")

    def test_one_writer_at_a_time(self) -> None:
        """The next one waits as long as it was told, and no longer."""
        with self.engine() as engine:
            with writing(engine):
                for timeout in (_WAIT_SECONDS, 0.0):
                    began = time.monotonic()
                    expect_refusal(
                        LockedError,
                        lambda timeout=timeout: engine.begin(writable=True, timeout=timeout),  # type: ignore[misc]
                        "there is one writer at a time",
                    )
                    took = time.monotonic() - began
                    expect_equal(
                        timeout <= took < PATIENCE_SECONDS / 2,
                        True,
                        f"a wait of {timeout} seconds took {took:.3f}",
                    )
            with writing(engine) as writer:
                expect_equal(writer.writable, True, "when one has ended, another can begin")

    def test_a_writer_that_waits_gets_its_turn(self) -> None:
        """Without a timeout and with a long one; after a commit and after a rollback."""
        with self.engine() as engine:
            for timeout in (None, PATIENCE_SECONDS):
                for end in ("commit", "rollback"):
                    with writing(engine) as first:
                        worker = Worker(lambda timeout=timeout: _count(engine, timeout))  # type: ignore[misc]
                        expect_equal(worker.has_ended(_WAIT_SECONDS), False, "it waits")
                        getattr(first, end)()
                        worker.result()
            with reading(engine) as reader:
                expect_equal(opened(reader).sequence, 4, "each writer had its turn")


_PREPARED = {NAME: {b"key": b"value"}}


def _count(engine: Engine, timeout: float | None) -> None:
    with engine.begin(writable=True, timeout=timeout) as writer:
        writer.root.create_bucket_if_absent(NAME).next_sequence()


def _whole(reader: Transaction) -> Model:
    return contents(reader.root)


def _read(engine: Engine, answer: Callable[[Transaction], Answer]) -> Answer:
    """Read until no writer has disturbed the read, as callers have to."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with reading(engine) as reader:
                result = answer(reader)
        except StaleReadError:
            if time.monotonic() > deadline:
                raise
        else:
            return result


def _read_while_written(reader: Transaction, engine: Engine) -> set[bytes]:
    """Return the values, having had one of them written to in the middle of reading."""
    bucket = opened(reader)
    values = set()
    for key in range(20):
        values.add(bucket.get(b"key-%d" % key) or b"")
    with committing(engine) as written:
        is_quiet = written.next_sequence() % 3 == 0
    # Several times, for the first write may well leave alone what is being read.
    for number in range(0 if is_quiet else 4):
        with committing(engine) as written:
            for key in range(40):
                written.put(b"key-%d" % key, b"between %d" % number * 30)
    for key in range(20, 40):
        values.add(bucket.get(b"key-%d" % key) or b"")
    return values


@contextmanager
def _prepared(suite: Suite) -> Iterator[Store]:
    with suite.store() as store:
        with closing(store.open()) as engine, committing(engine) as bucket:
            bucket.put(b"key", b"value")
        yield store
