"""The contract of transactions: how they begin and end, and that no handle outlives them."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from orlop.kv.errors import ReadOnlyError, TransactionClosedError
from orlop.testing.engine.expectations import contents, expect_equal, expect_refusal
from orlop.testing.engine.store import (
    NAME,
    PATIENCE_SECONDS,
    Suite,
    committing,
    opened,
    reading,
    writing,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orlop.kv.contract import Engine, Transaction


class TransactionSuite(Suite):
    """Clauses on commit, rollback and blocks, and on handles."""

    def test_a_commit_is_seen_by_those_that_begin_after_it(self) -> None:
        """By readers and by the next writer."""
        with self.engine() as engine:
            with writing(engine) as transaction:
                transaction.root.create_bucket(NAME).put(b"key", b"value")
                transaction.commit()
            for writable in (False, True):
                with engine.begin(writable=writable) as later:
                    expect_equal(
                        contents(later.root), {NAME: {b"key": b"value"}}, "a commit is seen"
                    )

    def test_a_commit_that_is_left_to_the_next_one(self) -> None:
        """The next writer sees it, and it is there for all once that one has committed."""
        with self.engine() as engine:
            with writing(engine) as transaction:
                transaction.root.create_bucket(NAME).put(b"key", b"value")
                transaction.commit_with_next()
                expect_refusal(TransactionClosedError, transaction.commit, "it has ended")
            with committing(engine) as bucket:
                expect_equal(bucket.get(b"key"), b"value", "the next writer builds on it")
                bucket.put(b"other", b"value")
            with reading(engine) as reader:
                expect_equal(
                    contents(reader.root),
                    {NAME: {b"key": b"value", b"other": b"value"}},
                    "the next commit makes it durable",
                )
                expect_refusal(ReadOnlyError, reader.commit_with_next, "a reader commits nothing")

    def test_a_commit_that_is_left_to_the_close(self) -> None:
        """It is there after the next opening."""
        with self.store() as store:
            with closing(store.open()) as engine, writing(engine) as transaction:
                transaction.root.create_bucket(NAME).put(b"key", b"value")
                transaction.commit_with_next()
            with closing(store.open()) as engine, reading(engine) as reader:
                expect_equal(contents(reader.root), {NAME: {b"key": b"value"}}, "a close keeps it")

    def test_a_rollback_leaves_nothing(self) -> None:
        """Of values, of buckets, of deletions."""
        with _prepared(self) as engine:
            with writing(engine) as transaction:
                _change(transaction)
                transaction.rollback()
            with reading(engine) as reader:
                expect_equal(contents(reader.root), _PREPARED, "a rollback leaves nothing")

    def test_a_block_commits_at_its_end(self) -> None:
        """It gives the transaction itself, and ends it."""
        with _prepared(self) as engine:
            transaction = engine.begin(writable=True, timeout=PATIENCE_SECONDS)
            with transaction as inside:
                expect_equal(inside is transaction, True, "a block gives the transaction")
                _change(inside)
            expect_refusal(TransactionClosedError, transaction.commit, "a block ends it")
            with reading(engine) as reader:
                expect_equal(contents(reader.root), _CHANGED, "a block commits at its end")

    def test_an_exception_that_leaves_the_block_rolls_back(self) -> None:
        """An exception of any kind, which propagates."""
        with _prepared(self) as engine:
            for error in (ValueError("a fault"), KeyboardInterrupt()):
                transaction = engine.begin(writable=True, timeout=PATIENCE_SECONDS)
                _change(transaction)
                _leave_block(transaction, error)
                expect_refusal(TransactionClosedError, transaction.commit, "a block ends it")
                with reading(engine) as reader:
                    expect_equal(contents(reader.root), _PREPARED, "an exception rolls back")

    def test_a_transaction_may_end_inside_its_block(self) -> None:
        """By commit or by rollback; the end of the block then does nothing."""
        with _prepared(self) as engine:
            with engine.begin(writable=True, timeout=PATIENCE_SECONDS) as transaction:
                _change(transaction)
                transaction.rollback()
            with reading(engine) as reader:
                expect_equal(contents(reader.root), _PREPARED, "it was rolled back inside")
            with engine.begin(writable=True, timeout=PATIENCE_SECONDS) as transaction:
                _change(transaction)
                transaction.commit()
            with reading(engine) as reader:
                expect_equal(contents(reader.root), _CHANGED, "it was committed inside")

    def test_the_block_of_a_reader_ends_it(self) -> None:
        """On a clean exit and on another."""
        with _prepared(self) as engine:
            with engine.begin() as reader:
                expect_equal(contents(reader.root), _PREPARED, "a reader reads in its block")
            expect_refusal(TransactionClosedError, lambda: reader.root, "a block ends it")
            other = engine.begin()
            _leave_block(other, ValueError("a fault"))
            expect_refusal(TransactionClosedError, lambda: other.root, "a block ends it")

    def test_what_has_ended_does_not_commit(self) -> None:
        """Not twice, nor after a rollback; but to roll back is allowed again and again."""
        with _prepared(self) as engine:
            for end in ("commit", "rollback"):
                with writing(engine) as transaction:
                    getattr(transaction, end)()
                    expect_refusal(
                        TransactionClosedError, transaction.commit, f"no commit after {end}"
                    )
                    transaction.rollback()
                    transaction.rollback()
                    expect_refusal(
                        TransactionClosedError, transaction.commit, f"no commit after {end}"
                    )
            with reading(engine) as reader:
                reader.rollback()
                reader.rollback()

    def test_a_rollback_after_a_commit_takes_nothing_back(self) -> None:
        """Nor does it disturb the writer that came after."""
        with _prepared(self) as engine:
            with writing(engine) as transaction:
                _change(transaction)
                transaction.commit()
                with writing(engine) as later:
                    transaction.rollback()
                    later.root.create_bucket(b"later")
                    later.commit()
            with reading(engine) as reader:
                expect_equal(
                    contents(reader.root), {**_CHANGED, b"later": {}}, "what is done is done"
                )

    def test_a_reader_does_not_commit(self) -> None:
        """It is refused, and reads on."""
        with _prepared(self) as engine, reading(engine) as reader:
            expect_refusal(ReadOnlyError, reader.commit, "a reader does not commit")
            expect_equal(contents(reader.root), _PREPARED, "after a refusal it reads on")

    def test_a_transaction_knows_whether_it_may_write(self) -> None:
        """And says so."""
        with _prepared(self) as engine:
            with reading(engine) as reader:
                expect_equal(reader.writable, False, "a reader may not write")
            with writing(engine) as writer:
                expect_equal(writer.writable, True, "a writer may write")

    def test_handles_end_with_their_transaction(self) -> None:
        """Buckets, cursors and iterators; after commit, after rollback, a reader's, too."""
        with _prepared(self) as engine:
            for kind in ("commit", "rollback", "reader"):
                with engine.begin(writable=kind != "reader") as transaction:
                    uses = _all_uses(transaction)
                    if kind == "commit":
                        transaction.commit()
                    else:
                        transaction.rollback()
                for use in uses:
                    expect_refusal(
                        TransactionClosedError, use, f"handles end with their transaction ({kind})"
                    )
            with reading(engine) as reader:
                expect_equal(contents(reader.root), _PREPARED, "none of it changed anything")

    def test_an_ended_writer_does_not_reach_the_next_one(self) -> None:
        """Calls on its handles are refused, not run in another transaction."""
        with _prepared(self) as engine:
            with writing(engine) as transaction:
                stale = opened(transaction)
                transaction.rollback()
            with committing(engine) as bucket:
                expect_refusal(
                    TransactionClosedError, lambda: stale.put(b"stale", b""), "it has ended"
                )
                expect_equal(bucket.get(b"stale"), None, "what is refused is not done")

    def test_numbers_grow_with_every_version(self) -> None:
        """A reader's is that of the version it sees, a writer's that of the version it made."""
        with _prepared(self) as engine:
            numbers = []
            for at in range(5):
                with writing(engine) as transaction:
                    opened(transaction).put(b"number", b"%d" % at)
                    transaction.commit()
                with reading(engine) as reader:
                    expect_equal(
                        reader.id, transaction.id, "a reader sees the version that a writer made"
                    )
                    numbers.append(reader.id)
            expect_equal(numbers, sorted(set(numbers)), "every version has a greater number")

    def test_a_rollback_makes_no_version(self) -> None:
        """Readers before and after it see the same one."""
        with _prepared(self) as engine:
            with reading(engine) as before:
                pass
            with writing(engine) as transaction:
                expect_equal(transaction.id > before.id, True, "a writer makes a later version")
                _change(transaction)
            with reading(engine) as after:
                expect_equal(after.id, before.id, "a rollback makes no version")


_PREPARED = {NAME: {b"inner": {b"deep": b"value"}, b"number": b"0", b"old": b"value"}}
_CHANGED = {NAME: {b"inner": {b"deep": b"changed"}, b"new": b"1", b"number": b"0"}, b"other": {}}


def _change(transaction: Transaction) -> None:
    bucket = opened(transaction)
    bucket.put(b"new", b"1")
    bucket.delete(b"old")
    opened(transaction, NAME, b"inner").put(b"deep", b"changed")
    transaction.root.create_bucket(b"other")


def _leave_block(transaction: Transaction, error: BaseException) -> None:
    passed = None
    try:
        with transaction:
            raise error
    except type(error) as caught:
        passed = caught
    expect_equal(passed is error, True, "an exception goes on its way")


def _all_uses(transaction: Transaction) -> list[Callable[[], object]]:
    bucket, root = opened(transaction), transaction.root
    cursor = bucket.cursor()
    cursor.first()
    begun = bucket.items()
    next(begun)
    uses: list[Callable[[], object]] = [
        lambda: transaction.root,
        lambda: bucket.sequence,
        lambda: bucket.get(b"old"),
        lambda: bucket.bucket(b"inner"),
        lambda: root.bucket(NAME),
        lambda: bucket.cursor().first(),
        lambda: list(bucket.items()),
        lambda: list(begun),
        cursor.first,
        cursor.last,
        lambda: cursor.seek(b"a"),
        cursor.next,
        cursor.previous,
        cursor.delete,
        lambda: bucket.put(b"new", b""),
        lambda: bucket.delete(b"old"),
        lambda: bucket.create_bucket(b"new"),
        lambda: bucket.create_bucket_if_absent(b"inner"),
        lambda: bucket.delete_bucket(b"inner"),
        lambda: bucket.move_bucket(b"inner", root),
        lambda: bucket.set_sequence(1),
        bucket.next_sequence,
    ]
    return uses


@contextmanager
def _prepared(suite: Suite) -> Iterator[Engine]:
    with suite.engine() as engine:
        with committing(engine) as bucket:
            bucket.put(b"old", b"value")
            bucket.put(b"number", b"0")
            bucket.create_bucket(b"inner").put(b"deep", b"value")
        yield engine
