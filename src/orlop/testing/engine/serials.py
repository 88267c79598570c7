"""How every engine numbers the changes that were made through a handle."""

from __future__ import annotations

from orlop.testing.engine.expectations import expect_equal
from orlop.testing.engine.store import NAME, Suite, committing, reading, writing


class SerialSuite(Suite):
    """Clauses on `serial` and `durable_serial`."""

    def test_each_change_has_the_next_number(self) -> None:
        """From its end on; readers, rollbacks and empty commits get none."""
        with self.engine() as engine:
            with committing(engine):
                first = engine.serial
            expect_equal(engine.serial, first + 1, "a commit counts")
            with writing(engine) as rolled_back:
                rolled_back.root.create_bucket(b"other")
            with writing(engine) as unchanged:
                unchanged.commit()
            with reading(engine) as reader:
                pass
            expect_equal(engine.serial, first + 1, "nothing else does")
            for transaction in (rolled_back, unchanged, reader):
                expect_equal(transaction.serial, 0, "what changed nothing has no number")
            with writing(engine) as transaction:
                transaction.root.create_bucket(b"other")
                expect_equal(transaction.serial, 0, "a number is given at the end")
                transaction.commit()
            expect_equal(transaction.serial, first + 2, "a change knows its number")
            expect_equal(engine.durable_serial, first + 2, "what was committed is durable")

    def test_what_is_left_to_the_next_counts_at_once(self) -> None:
        """Though readers need not see it before it is durable."""
        with self.engine() as engine:
            with committing(engine):
                pass
            before = engine.serial
            with writing(engine) as transaction:
                transaction.root.create_bucket(b"left")
                transaction.commit_with_next()
            expect_equal(engine.serial, before + 1, "it counts when the next writer sees it")
            expect_equal(transaction.serial, before + 1, "it knows its number")
            with reading(engine) as reader:
                seen = reader.root.bucket(b"left") is not None
            expect_equal(
                engine.durable_serial - before, int(seen), "what readers see is what is durable"
            )
            with committing(engine, NAME + NAME):
                pass
            expect_equal(engine.durable_serial, before + 2, "the next one made both durable")
