"""The contract of isolation: the changes of other transactions that one sees."""

from __future__ import annotations

from contextlib import ExitStack

from orlop.kv.errors import TransactionClosedError
from orlop.testing.engine.expectations import (
    Model,
    contents,
    expect_bucket,
    expect_equal,
    expect_refusal,
)
from orlop.testing.engine.store import NAME, Suite, committing, opened, reading, writing


class IsolationSuite(Suite):
    """Clauses on versions."""

    def test_a_reader_does_not_see_what_is_not_committed(self) -> None:
        """Begun before the writer or while it works."""
        with self.engine() as engine:
            with committing(engine) as bucket:
                bucket.put(b"key", b"before")
            with reading(engine) as early, writing(engine) as writer:
                opened(writer).put(b"key", b"after")
                opened(writer).put(b"new", b"1")
                opened(writer).set_sequence(9)
                writer.root.create_bucket(b"other")
                with reading(engine) as late:
                    for reader in (early, late):
                        expect_equal(
                            contents(reader.root),
                            {NAME: {b"key": b"before"}},
                            "a reader does not see what is not committed",
                        )
                        expect_equal(opened(reader).sequence, 0, "nor what is counted")

    def test_a_reader_stays_at_its_version(self) -> None:
        """After later commits: changes, deletions, much of both."""
        with self.engine() as engine:
            model: Model = {b"key-%d" % number: b"x" * 200 for number in range(100)}
            with committing(engine) as bucket:
                for key in model:
                    bucket.put(key, b"x" * 200)
                bucket.create_bucket(b"inner").put(b"deep", b"value")
                bucket.set_sequence(3)
            expected = {NAME: {**model, b"inner": {b"deep": b"value"}}}
            with reading(engine) as reader:
                number = reader.id
                for at in range(8):
                    with committing(engine) as bucket:
                        for key in list(model)[at * 10 : at * 10 + 30]:
                            bucket.put(key, b"%d" % at * 150)
                        bucket.next_sequence()
                        if bucket.bucket(b"inner") is not None:
                            bucket.delete_bucket(b"inner")
                    expect_equal(contents(reader.root), expected, "a reader stays at its version")
                with writing(engine) as writer:
                    writer.root.delete_bucket(NAME)
                    writer.commit()
                expect_equal(contents(reader.root), expected, "a reader stays at its version")
                expect_equal(opened(reader).sequence, 3, "so do its counters")
                expect_equal(reader.id, number, "and its number")

    def test_a_bucket_is_found_by_its_path(self) -> None:
        """As it is where one looks for it: in each version, and with a writer's own changes."""
        inner = (NAME, b"inner", b"deep")
        with self.engine() as engine, ExitStack() as open_readers:
            with committing(engine) as bucket:
                bucket.put(b"value", b"1")
                bucket.create_bucket(b"inner").create_bucket(b"deep").put(b"key", b"0")
            readers = []
            for count in range(1, 4):
                readers += [open_readers.enter_context(reading(engine)) for _ in range(2)]
                with writing(engine) as writer:
                    deep = expect_bucket(writer.bucket(inner))
                    # Large enough for pages of its own, so that it moves.
                    deep.put(b"large", b"x" * 5000)
                    deep.put(b"key", b"%d" % count)
                    deep.set_sequence(count)
                    again = expect_bucket(writer.bucket(inner))
                    expect_equal(again.get(b"key"), b"%d" % count, "a writer finds its changes")
                    writer.commit()
            for at, reader in enumerate(readers):
                for _ in range(2):
                    found = expect_bucket(reader.bucket(inner))
                    expect_equal(found.get(b"key"), b"%d" % (at // 2), "a path is of a version")
                    expect_equal(found.sequence, at // 2, "so are counters")
                expect_equal(
                    contents(expect_bucket(reader.bucket(()))),
                    contents(reader.root),
                    "no path: root",
                )
                for missing in ((b"none",), (NAME, b"value"), (*inner, b"key"), (*inner, b"none")):
                    expect_equal(reader.bucket(missing), None, "what is missing is not found")
            with writing(engine) as writer:
                opened(writer).delete_bucket(b"inner")
                expect_equal(writer.bucket(inner), None, "a writer misses what it deleted")
                writer.commit()
            with reading(engine) as reader:
                expect_equal(reader.bucket(inner), None, "what was deleted is not found")
            expect_refusal(
                TransactionClosedError, lambda: reader.bucket((NAME,)), "it ends with its reader"
            )

    def test_iterators_and_cursors_of_a_reader_stay_at_its_version(self) -> None:
        """Also when they have begun before the change."""
        with self.engine() as engine:
            keys = [b"key-%04d" % number for number in range(300)]
            with committing(engine) as bucket:
                for key in keys:
                    bucket.put(key, b"x" * 60)
            with reading(engine) as reader:
                items, cursor = opened(reader).items(), opened(reader).cursor()
                next(items)
                cursor.first()
                for at in range(4):
                    with committing(engine) as bucket:
                        for key in keys[at::2]:
                            bucket.delete(key)
                        bucket.put(b"key-0000-%d" % at, b"y" * 900)
                expect_equal([key for key, _ in items], keys[1:], "an iterator stays")
                walked = []
                while (item := cursor.next()) is not None:
                    walked.append(item[0])
                expect_equal(walked, keys[1:], "a cursor stays")

    def test_readers_of_several_versions_see_each_its_own(self) -> None:
        """Whichever of them ends first."""
        with self.engine() as engine, ExitStack() as stack:
            readers = []
            for number in range(6):
                with committing(engine) as bucket:
                    bucket.put(b"key", b"%d" % number * 2000)
                readers.append(stack.enter_context(reading(engine)))
            for end in (4, 0, 2):
                readers[end].rollback()
                with committing(engine) as bucket:
                    bucket.put(b"key", b"later" * 900)
            for number in (1, 3, 5):
                expect_equal(
                    opened(readers[number]).get(b"key"),
                    b"%d" % number * 2000,
                    "each reader sees its own version",
                )

    def test_a_writer_sees_its_own_changes(self) -> None:
        """Of every kind, and in the order in which it made them."""
        with self.engine() as engine:
            with committing(engine) as bucket:
                bucket.put(b"changed", b"before")
                bucket.put(b"deleted", b"before")
                bucket.create_bucket(b"emptied").put(b"key", b"value")
            with writing(engine) as writer:
                bucket = opened(writer)
                bucket.put(b"changed", b"after")
                bucket.delete(b"deleted")
                opened(writer, NAME, b"emptied").delete(b"key")
                bucket.create_bucket(b"new").put(b"key", b"value")
                bucket.set_sequence(4)
                expect_equal(
                    contents(writer.root),
                    {NAME: {b"changed": b"after", b"emptied": {}, b"new": {b"key": b"value"}}},
                    "a writer sees its own changes",
                )
                expect_equal(opened(writer).sequence, 4, "a writer sees its own counting")

    def test_a_writer_sees_what_the_one_before_it_committed(self) -> None:
        """And nothing of one that rolled back."""
        with self.engine() as engine:
            for number in range(5):
                with writing(engine) as writer:
                    bucket = writer.root.create_bucket_if_absent(NAME)
                    bucket.put(b"rolled back", b"1")
                with committing(engine) as bucket:
                    expect_equal(
                        contents(bucket),
                        {b"%d" % earlier: b"1" for earlier in range(number)},
                        "a writer builds on what was committed",
                    )
                    bucket.put(b"%d" % number, b"1")

    def test_readers_and_a_writer_do_not_wait_for_each_other(self) -> None:
        """In one thread, so that a wait would never end."""
        with self.engine() as engine, reading(engine) as early:
            with writing(engine) as writer:
                with reading(engine) as late:
                    expect_equal(contents(late.root), {}, "a reader waits for no writer")
                writer.root.create_bucket(NAME)
                writer.commit()
            expect_equal(contents(early.root), {}, "a writer waits for no reader")
