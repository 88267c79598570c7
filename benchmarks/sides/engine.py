"""The engine alone: puts, gets and cursors on one bucket of pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.sides.timing import PASSES, STRIDE, each, timed
from orlop.bolt import open_engine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PAIRS: Final = "pairs.db"
_BUCKET: Final = b"pairs"
_VALUE: Final = bytes(64)
_SCRAMBLER: Final = 0x9E3779B97F4A7C15
_MASK: Final = (1 << 64) - 1


def put_sequentially(folder: Path, count: int) -> dict[str, float]:
    """Put keys in their order, in one transaction."""
    return _put_at_once(folder, [b"%016x" % number for number in range(count)])


def put_randomly(folder: Path, count: int) -> dict[str, float]:
    """Put keys in no order, in one transaction."""
    return _put_at_once(folder, _random_keys(count))


def put_synced(folder: Path, count: int) -> dict[str, float]:
    """Put one key a transaction."""
    keys = _random_keys(count)
    engine = open_engine(folder / PAIRS)

    def put(number: int) -> None:
        with engine.begin(writable=True) as transaction:
            transaction.root.create_bucket_if_absent(_BUCKET).put(keys[number], _VALUE)

    try:
        return {"put": each(count, put)}
    finally:
        engine.close()


def read_pairs(folder: Path, count: int) -> dict[str, float]:
    """Get and step in one transaction, after a pass that warms all up."""
    keys = _random_keys(count)
    wanted = [keys[number * STRIDE % count] for number in range(count)]
    engine = open_engine(folder / PAIRS)
    try:
        with engine.begin() as transaction:
            bucket = transaction.root.bucket(_BUCKET)
            assert bucket is not None

            def get(number: int) -> None:
                assert bucket.get(wanted[number]) is not None

            def step() -> None:
                for _ in range(PASSES):
                    seen, cursor = 0, bucket.cursor()
                    item = cursor.first()
                    while item is not None:
                        seen += 1
                        item = cursor.next()
                    assert seen == count

            def items() -> None:
                for _ in range(PASSES):
                    assert sum(1 for _ in bucket.items()) == count

            each(count, get)
            step()
            return {
                "get": each(count, get),
                "step": timed(count * PASSES, step),
                "items": timed(count * PASSES, items),
            }
    finally:
        engine.close()


def _random_keys(count: int) -> list[bytes]:
    return [b"%016x" % ((number + 1) * _SCRAMBLER & _MASK) for number in range(count)]


def _put_at_once(folder: Path, keys: Sequence[bytes]) -> dict[str, float]:
    """Measure puts with the commit that makes them durable."""
    engine = open_engine(folder / PAIRS)

    def put() -> None:
        with engine.begin(writable=True) as transaction:
            bucket = transaction.root.create_bucket_if_absent(_BUCKET)
            for key in keys:
                bucket.put(key, _VALUE)

    try:
        return {"put": timed(len(keys), put)}
    finally:
        engine.close()
