"""Long operations yield to threads and signals, compiled or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bolt.turns_of_others import Handler
from orlop.bolt import BoltEngine, open_engine
from orlop.maintenance import check_file, compact

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orlop.kv import Bucket

PAIRS = 60_000
RECORDS = 15_000


@pytest.fixture
def handler() -> Iterator[Handler]:
    handler = Handler()
    yield handler
    handler.check()


def fill(root: Bucket) -> None:
    pairs = root.create_bucket(b"pairs")
    for number in range(PAIRS):
        pairs.put(b"%016x" % (number * 7919 % PAIRS), bytes(64))
    records = root.create_bucket(b"records")
    for number in range(RECORDS):
        record = records.create_bucket(b"%08d" % number)
        record.put(b"target", bytes(100))
        record.create_bucket(b"labels").put(b"team", b"a")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "long.db"
    engine = open_engine(file, sync=False)
    with engine.begin(writable=True) as transaction:
        fill(transaction.root)
    engine.close()
    return file


def test_long_operations_of_the_engine(tmp_path: Path, handler: Handler) -> None:
    engine = open_engine(tmp_path / "long.db", sync=False)
    assert isinstance(engine, BoltEngine)
    with engine.begin(writable=True) as transaction:
        handler.watch(lambda: fill(transaction.root))
        handler.watch(transaction.commit)
    with engine.begin() as transaction:
        handler.watch(lambda: transaction.root.tree(b"pairs"))
        handler.watch(lambda: transaction.root.tree(b"records"))
    handler.watch(engine.bytes_in_use)
    engine.close()


def test_long_changes_of_a_file_without_a_freelist(file: Path, handler: Handler) -> None:
    engine = open_engine(file, sync=False)
    with engine.begin(writable=True) as transaction:
        handler.watch(lambda: transaction.root.tree(b"records"))
        handler.watch(lambda: transaction.root.delete_bucket(b"records"))
        handler.watch(lambda: transaction.root.delete_bucket(b"pairs"))
        handler.watch(transaction.commit)
    engine.close()


def test_checking_and_compacting(file: Path, handler: Handler) -> None:
    handler.watch(lambda: check_file(file))
    handler.watch(lambda: compact(file))
