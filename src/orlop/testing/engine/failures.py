"""The contract for failures of the storage and losses of power."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from contextlib import closing
from typing import TYPE_CHECKING, Protocol

from orlop.kv.errors import EnginePoisonedError, LockedError
from orlop.testing.engine.expectations import Model, contents, expect_equal, expect_refusal
from orlop.testing.engine.store import PATIENCE_SECONDS, Store, committing, opened, reading, writing
from orlop.testing.engine.threads import Worker

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from orlop.kv.contract import Engine

_MOMENT_SECONDS = 0.2


class FaultyStore(Store, Protocol):
    """A database on a storage that does as the test says."""

    def lose_power(self) -> None:
        """Forget all that was not durable; the storage is sound again. The engine is closed."""

    def fail(self) -> None:
        """Let nothing become durable any more: an engine that tries gets an error."""

    def hold(self) -> None:
        """Make each sync wait until `let_go`."""

    def let_go(self) -> None:
        """End `hold`."""

    def wait_until_held(self, seconds: float) -> None:
        """Wait until a thread waits in a sync, at most so many seconds."""


class FailureSuite(ABC):
    """Clauses on durability and on failures, for engines on a storage that tests provide."""

    @abstractmethod
    def faulty_store(self) -> AbstractContextManager[FaultyStore]:
        """Return a new database; the end of the block removes it."""

    def test_a_power_loss_takes_nothing_that_was_committed(self) -> None:
        """And leaves nothing that was not."""
        model: Model = {}
        with self.faulty_store() as store:
            for number in range(4):
                with closing(store.open()) as engine:
                    with committing(engine) as bucket:
                        expect_equal(contents(bucket), model, "a commit outlives a power loss")
                        bucket.put(b"key-%d" % number, b"x" * 2000)
                        model[b"key-%d" % number] = b"x" * 2000
                    with writing(engine) as writer:
                        opened(writer).put(b"not committed", b"")
                store.lose_power()

    def test_a_failed_commit_is_not_acknowledged(self) -> None:
        """It ends in an error, and the engine is of no use until it is opened again."""
        with self.faulty_store() as store:
            with closing(store.open()) as engine:
                with committing(engine) as bucket:
                    bucket.put(b"key", b"before")
                with reading(engine) as reader:
                    with writing(engine) as writer:
                        opened(writer).put(b"key", b"after")
                        store.fail()
                        expect_refusal(EnginePoisonedError, writer.commit, "a commit failed")
                    expect_equal(opened(reader).get(b"key"), b"before", "a reader stays")
                _expect_poisoned(engine)
            store.lose_power()
            with closing(store.open()) as engine:
                with reading(engine) as reader:
                    expect_equal(
                        opened(reader).get(b"key") in (b"before", b"after"),
                        True,
                        "after a failure, there is the version before or the one that failed",
                    )
                with committing(engine) as bucket:
                    bucket.put(b"key", b"again")

    def test_a_commit_does_not_return_before_it_is_durable(self) -> None:
        """Nor does a reader see it."""
        with self.faulty_store() as store, closing(store.open()) as engine:
            with committing(engine) as bucket:
                bucket.put(b"key", b"before")
            store.hold()
            try:
                worker = Worker(lambda: _put(engine, b"after"))
                store.wait_until_held(PATIENCE_SECONDS)
                expect_equal(worker.has_ended(_MOMENT_SECONDS), False, "a commit waits")
                with reading(engine) as reader:
                    expect_equal(
                        opened(reader).get(b"key"), b"before", "readers see what is durable"
                    )
            finally:
                store.let_go()
            worker.result()
            with reading(engine) as reader:
                expect_equal(opened(reader).get(b"key"), b"after", "now it is durable")

    def test_who_has_seen_what_is_not_durable_answers_when_it_is(self) -> None:
        """Its effects must not be undone. Where writers wait, no transaction has seen it."""
        with self.faulty_store() as store, closing(store.open()) as engine:
            with committing(engine) as bucket:
                bucket.put(b"key", b"before")
            store.hold()
            looked = threading.Event()
            seen: list[bytes | None] = []
            try:
                first = Worker(lambda: _put(engine, b"after"))
                store.wait_until_held(PATIENCE_SECONDS)
                second = Worker(lambda: _look(engine, seen, looked))
                looked.wait(PATIENCE_SECONDS)
                if seen == [b"after"]:
                    expect_equal(second.has_ended(_MOMENT_SECONDS), False, "its rollback waits")
            finally:
                store.let_go()
            first.result()
            second.result()

    def test_what_was_built_on_a_failure_fails_with_it(self) -> None:
        """Commits and rollbacks fail if they are based on a version that did not become durable."""
        for end in ("commit", "rollback"):
            with self.faulty_store() as store, closing(store.open()) as engine:
                with committing(engine) as bucket:
                    bucket.put(b"key", b"before")
                store.hold()
                try:
                    first = Worker(lambda engine=engine: _put(engine, b"after"))  # type: ignore[misc]
                    store.wait_until_held(PATIENCE_SECONDS)
                    try:
                        second = engine.begin(writable=True, timeout=_MOMENT_SECONDS)
                    except LockedError:
                        second = None
                    store.fail()
                finally:
                    store.let_go()
                expect_refusal(EnginePoisonedError, first.result, "a commit failed")
                if second is not None:
                    opened(second).put(b"other", b"1")
                    expect_refusal(
                        EnginePoisonedError, getattr(second, end), "what was built on it fails"
                    )
                _expect_poisoned(engine)


def _put(engine: Engine, value: bytes) -> None:
    with committing(engine) as bucket:
        bucket.put(b"key", value)


def _look(engine: Engine, seen: list[bytes | None], looked: threading.Event) -> None:
    try:
        writer = engine.begin(writable=True, timeout=_MOMENT_SECONDS)
    except LockedError:
        looked.set()
        return
    seen.append(opened(writer).get(b"key"))
    looked.set()
    writer.rollback()


def _expect_poisoned(engine: Engine) -> None:
    for writable in (False, True):
        expect_refusal(
            EnginePoisonedError,
            lambda writable=writable: engine.begin(writable=writable, timeout=PATIENCE_SECONDS),  # type: ignore[misc]
            "after a failure nothing is accepted",
        )
