"""The contract of cursors: their moves, and changes under them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.kv.errors import IncompatibleValueError
from orlop.testing.engine.expectations import contents, expect_equal, expect_refusal
from orlop.testing.engine.store import Suite, committing, opened, reading, writing

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.kv.contract import Bucket, Cursor, Item

_MANY = 600


class CursorSuite(Suite):
    """Clauses on cursors."""

    def test_moves_return_the_item_they_land_on(self) -> None:
        """A bucket's without a value."""
        with self.bucket() as bucket:
            bucket.put(b"a", b"1")
            bucket.create_bucket(b"b")
            bucket.put(b"c", b"")
            cursor = bucket.cursor()
            a, b, c = (b"a", b"1"), (b"b", None), (b"c", b"")
            expect_equal(cursor.first(), a, "first goes to the first item")
            expect_equal(cursor.next(), b, "next goes to the next item")
            expect_equal(cursor.next(), c, "next goes to the next item")
            expect_equal(cursor.previous(), b, "previous goes to the item before")
            expect_equal(cursor.last(), c, "last goes to the last item")
            expect_equal(cursor.previous(), b, "previous goes to the item before")
            expect_equal(cursor.next(), c, "next comes back to where previous came from")
            expect_equal(cursor.first(), a, "first goes to the first item from anywhere")

    def test_past_either_end_there_is_nothing(self) -> None:
        """The cursor then stands nowhere."""
        with self.bucket() as bucket:
            for key in (b"a", b"b"):
                bucket.put(key, b"")
            cursor = bucket.cursor()
            cursor.last()
            expect_equal(cursor.next(), None, "behind the last item there is nothing")
            expect_equal(cursor.next(), None, "nor behind that")
            expect_equal(cursor.previous(), None, "past the end a cursor stands nowhere")
            cursor.first()
            expect_equal(cursor.previous(), None, "before the first item there is nothing")
            expect_equal(cursor.next(), None, "before the first item a cursor stands nowhere")
            expect_equal(cursor.seek(b"c"), None, "no key is as great")
            expect_equal(cursor.previous(), None, "having found nothing, a cursor stands nowhere")
            expect_equal(cursor.first(), (b"a", b""), "it can be placed again")

    def test_a_new_cursor_stands_nowhere(self) -> None:
        """It moves neither way, and deletes nothing."""
        with self.bucket() as bucket:
            bucket.put(b"a", b"")
            cursor = bucket.cursor()
            expect_equal(cursor.next(), None, "a new cursor has nothing before it")
            expect_equal(cursor.previous(), None, "a new cursor has nothing behind it")
            cursor.delete()
            expect_equal(contents(bucket), {b"a": b""}, "a new cursor deletes nothing")

    def test_in_an_empty_bucket_no_move_finds_anything(self) -> None:
        """Whether it never held anything or is empty again."""
        with self.bucket() as bucket:
            for _ in range(2):
                cursor = bucket.cursor()
                for move in _moves(cursor):
                    expect_equal(move(), None, "an empty bucket has no items")
                bucket.put(b"key", b"")
                bucket.delete(b"key")

    def test_seek_goes_to_the_key_or_to_the_next_greater_one(self) -> None:
        """Forward and backward, near and far."""
        with self.engine() as engine:
            with committing(engine) as bucket:
                _fill(bucket, range(0, _MANY, 2))
            with reading(engine) as transaction:
                cursor = opened(transaction).cursor()
                for number in (10, 9, 0, _MANY - 2, _MANY - 3, 300, 11, 599 - 2):
                    expected = number + number % 2
                    expect_equal(cursor.seek(_key(number)), _item(expected), "seek: this or next")
                expect_equal(cursor.seek(b""), _item(0), "seek: everything is greater than nothing")
                expect_equal(cursor.seek(_key(10) + b"\0"), _item(12), "seek: a prefix is less")
                expect_equal(cursor.seek(_key(_MANY)), None, "seek: no key is as great")
                cursor.seek(_key(9))
                expect_equal(cursor.previous(), _item(8), "previous from where seek has gone")
                expect_equal(cursor.next(), _item(10), "next from where seek has gone")

    def test_a_cursor_walks_over_many_items_both_ways(self) -> None:
        """As a reader and as a writer."""
        with self.engine() as engine:
            with committing(engine) as bucket:
                _fill(bucket, range(_MANY))
                _expect_walks(bucket, range(_MANY))
            with reading(engine) as transaction:
                _expect_walks(opened(transaction), range(_MANY))
            with writing(engine) as transaction:
                _expect_walks(opened(transaction), range(_MANY))

    def test_cursors_move_apart(self) -> None:
        """Two in one bucket know nothing of each other."""
        with self.bucket() as bucket:
            _fill(bucket, range(10))
            one, other = bucket.cursor(), bucket.cursor()
            one.first()
            other.last()
            expect_equal(one.next(), _item(1), "cursors move apart")
            expect_equal(other.previous(), _item(8), "cursors move apart")
            one.delete()
            other.delete()
            expect_equal(one.next(), _item(2), "cursors move apart after a delete")
            expect_equal(other.previous(), _item(7), "cursors move apart after a delete")

    def test_a_cursor_deletes_the_value_that_it_stands_on(self) -> None:
        """And nothing more when asked again; then it goes on in either direction."""
        with self.bucket() as bucket:
            _fill(bucket, range(9))
            cursor = bucket.cursor()
            cursor.seek(_key(4))
            cursor.delete()
            cursor.delete()
            expect_equal(_numbers(bucket), [0, 1, 2, 3, 5, 6, 7, 8], "one value is deleted")
            expect_equal(cursor.next(), _item(5), "next goes to the follower of what was deleted")
            cursor.delete()
            expect_equal(cursor.previous(), _item(3), "previous goes to the one before it")

    def test_a_cursor_does_not_delete_a_bucket(self) -> None:
        """It stays where it is."""
        with self.bucket() as bucket:
            bucket.create_bucket(b"a")
            bucket.put(b"b", b"1")
            cursor = bucket.cursor()
            cursor.first()
            expect_refusal(IncompatibleValueError, cursor.delete, "a cursor deletes no bucket")
            expect_equal(contents(bucket), {b"a": {}, b"b": b"1"}, "a refusal changes nothing")
            expect_equal(cursor.next(), (b"b", b"1"), "after a refusal a cursor moves on")

    def test_deleting_while_walking_passes_every_item_once(self) -> None:
        """Every one, every second and every third, in either direction."""
        for every in (1, 2, 3):
            for direction in (1, -1):
                with self.engine() as engine:
                    with committing(engine) as bucket:
                        _fill(bucket, range(_MANY))
                    with writing(engine) as transaction:
                        bucket = opened(transaction)
                        seen = _walk_and_delete(bucket.cursor(), direction, every)
                        left = [at for at in seen if (seen.index(at) + 1) % every]
                        expect_equal(
                            seen,
                            list(range(_MANY))[::direction],
                            "deleting while walking passes every item once",
                        )
                        expect_equal(_numbers(bucket), sorted(left), "what was deleted is gone")

    def test_what_is_deleted_under_a_cursor_is_passed_over(self) -> None:
        """The next move goes to the nearest key that is left in its direction."""
        with self.bucket() as bucket:
            _fill(bucket, range(_MANY))
            forward, backward = bucket.cursor(), bucket.cursor()
            forward.seek(_key(100))
            backward.seek(_key(400))
            for number in (*range(90, 300), *range(350, 405)):
                bucket.delete(_key(number))
            expect_equal(forward.next(), _item(300), "the nearest greater key that is left")
            expect_equal(backward.previous(), _item(349), "the nearest lesser key that is left")
            for number in range(300, _MANY):
                bucket.delete(_key(number))
            expect_equal(forward.next(), None, "nothing greater is left")

    def test_what_is_put_in_front_of_a_cursor_is_met(self) -> None:
        """Items put behind the cursor are not returned."""
        with self.bucket() as bucket:
            _fill(bucket, [10, 20, 30])
            cursor = bucket.cursor()
            cursor.seek(_key(20))
            _fill(bucket, [15, 25])
            expect_equal(cursor.next(), _item(25), "what is put ahead is met")
            expect_equal(cursor.next(), _item(30), "then what was there")
            _fill(bucket, [27, 35])
            expect_equal(cursor.previous(), _item(27), "what is put ahead is met backward, too")
            bucket.create_bucket(b"key-00026")
            expect_equal(cursor.previous(), (b"key-00026", None), "so is a bucket")

    def test_putting_much_while_walking_loses_no_item(self) -> None:
        """However the tree below is turned over by it."""
        with self.bucket() as bucket:
            _fill(bucket, range(0, _MANY, 10))
            cursor = bucket.cursor()
            seen = []
            item = cursor.first()
            while item is not None:
                number = int(item[0][4:])
                seen.append(number)
                if number % 10 == 0:
                    # Nine ahead of the cursor, and as many behind it, out of its way.
                    _fill(bucket, range(number + 1, number + 10))
                    for behind in range(9):
                        bucket.put(b"a-%05d-%d" % (number, behind), b"x" * 300)
                item = cursor.next()
            expect_equal(seen, list(range(_MANY)), "putting while walking loses nothing")

    def test_a_changed_value_is_met_as_it_is_now(self) -> None:
        """Also by a cursor that stands beside it."""
        with self.bucket() as bucket:
            _fill(bucket, range(3))
            cursor = bucket.cursor()
            cursor.first()
            bucket.put(_key(1), b"changed")
            expect_equal(cursor.next(), (_key(1), b"changed"), "a changed value is met as it is")
            bucket.put(_key(0), b"changed, too")
            expect_equal(
                cursor.previous(), (_key(0), b"changed, too"), "a changed value is met as it is"
            )

    def test_a_cursor_goes_on_from_a_key_that_was_deleted_and_put_again(self) -> None:
        """The position of a cursor is the key, not the item."""
        with self.bucket() as bucket:
            _fill(bucket, range(5))
            cursor = bucket.cursor()
            cursor.seek(_key(2))
            cursor.delete()
            bucket.put(_key(2), b"again")
            expect_equal(cursor.next(), _item(3), "next goes to the follower")
            expect_equal(cursor.previous(), (_key(2), b"again"), "what was put again is met")


class IterationSuite(Suite):
    """Clauses on `items`."""

    def test_items_begin_at_the_start_that_is_asked_for(self) -> None:
        """At the first key that is it or greater."""
        with self.engine() as engine:
            with committing(engine) as bucket:
                _fill(bucket, range(0, _MANY, 2))
                _expect_starts(bucket)
            with reading(engine) as transaction:
                _expect_starts(opened(transaction))

    def test_items_may_be_deleted_while_iterating(self) -> None:
        """Each is passed once."""
        with self.bucket() as bucket:
            _fill(bucket, range(_MANY))
            seen = []
            for item in bucket.items():
                seen.append(int(item[0][4:]))
                bucket.delete(item[0])
            expect_equal(seen, list(range(_MANY)), "items may be deleted while iterating")
            expect_equal(list(bucket.items()), [], "what was deleted is gone")

    def test_items_may_be_put_while_iterating(self) -> None:
        """Items put ahead are returned, items put behind are not."""
        with self.bucket() as bucket:
            _fill(bucket, range(0, _MANY, 2))
            seen = []
            for item in bucket.items():
                number = int(item[0][4:])
                seen.append(number)
                if number % 2 == 0:
                    _fill(bucket, [number + 1])
                    bucket.put(b"a-%05d" % number, b"behind")
            expect_equal(seen, list(range(_MANY)), "items may be put while iterating")

    def test_iterators_move_apart(self) -> None:
        """Two over one bucket know nothing of each other, nor does a new one of an old one."""
        with self.engine() as engine:
            with committing(engine) as bucket:
                _fill(bucket, range(6))
            for writable in (False, True):
                with engine.begin(writable=writable) as transaction:
                    bucket = opened(transaction)
                    one, other = bucket.items(), bucket.items(_key(3))
                    expect_equal(next(one), _item(0), "iterators move apart")
                    expect_equal(next(other), _item(3), "iterators move apart")
                    expect_equal(next(one), _item(1), "iterators move apart")
                    expect_equal([*other], [_item(4), _item(5)], "iterators move apart")
                    expect_equal([*one], [_item(at) for at in range(2, 6)], "iterators move apart")


def _key(number: int) -> bytes:
    return b"key-%05d" % number


def _item(number: int) -> Item:
    return _key(number), b"%d" % number * (number % 13)


def _fill(bucket: Bucket, numbers: range | list[int]) -> None:
    for number in numbers:
        bucket.put(_key(number), b"%d" % number * (number % 13))


def _numbers(bucket: Bucket) -> list[int]:
    return [int(key[4:]) for key, _ in bucket.items()]


def _moves(cursor: Cursor) -> list[Callable[[], Item | None]]:
    return [cursor.first, cursor.last, lambda: cursor.seek(b"k"), cursor.next, cursor.previous]


def _expect_walks(bucket: Bucket, numbers: range) -> None:
    expected = [_item(number) for number in numbers]
    for start, step, items in (
        ("first", "next", expected),
        ("last", "previous", expected[::-1]),
    ):
        cursor = bucket.cursor()
        seen = []
        item = getattr(cursor, start)()
        while item is not None:
            seen.append(item)
            item = getattr(cursor, step)()
        expect_equal(seen, items, f"a walk from the {start} item by {step} meets all")


def _walk_and_delete(cursor: Cursor, direction: int, every: int) -> list[int]:
    seen: list[int] = []
    item = cursor.first() if direction > 0 else cursor.last()
    while item is not None:
        seen.append(int(item[0][4:]))
        if len(seen) % every == 0:
            cursor.delete()
        item = cursor.next() if direction > 0 else cursor.previous()
    return seen


def _expect_starts(bucket: Bucket) -> None:
    for start in (0, 1, 2, 301, _MANY - 2, _MANY - 1, _MANY):
        expected = [_item(number) for number in range(start + start % 2, _MANY, 2)]
        expect_equal(list(bucket.items(_key(start))), expected, "items begin at their start")
    everything = [_item(number) for number in range(0, _MANY, 2)]
    expect_equal(list(bucket.items()), everything, "items begin at the first one by themselves")
    expect_equal(list(bucket.items(b"")), everything, "everything is greater than nothing")
