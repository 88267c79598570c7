"""The interface of a suite's runner: a database that can be opened again and again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from orlop.testing.engine.expectations import expect_bucket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from orlop.kv.contract import Bucket, Engine, Transaction

PATIENCE_SECONDS = 20.0
"""How long something may take that ought to be immediate, on a busy machine."""

NAME = b"v1"
"""The bucket in which most tests work."""


class Store(Protocol):
    """One database, which is empty when the test begins."""

    def open(self, *, read_only: bool = False) -> Engine:
        """Open it. The suite closes each handle, and opens one for writing at a time."""


class Limits(NamedTuple):
    """How far an engine goes; `None` where it knows no limit, or none that a test can reach.

    Attributes:
        key_bytes: the longest key or name of a bucket. At least 32,768: bbolt's limit.
        value_bytes: the longest value.
        nesting: how many buckets a bucket may lie in. At least 100.
    """

    key_bytes: int | None = 32_768
    value_bytes: int | None = None
    nesting: int | None = None


class Suite(ABC):
    """The base class of all parts of the suite. Each test method gets a new object."""

    limits = Limits()
    """The engine's; a subclass has its own where it differs."""

    @abstractmethod
    def store(self) -> AbstractContextManager[Store]:
        """Return a new database; the end of the block removes it."""

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """Open a new database; the end of the block closes it."""
        with self.store() as store, closing(store.open()) as engine:
            yield engine

    @contextmanager
    def bucket(self) -> Iterator[Bucket]:
        """Begin a writing transaction with one bucket; the end of the block rolls it back."""
        with self.engine() as engine, writing(engine) as transaction:
            yield transaction.root.create_bucket(NAME)


@contextmanager
def writing(engine: Engine) -> Iterator[Transaction]:
    """Begin a writing transaction that is rolled back at the end, unless it ended before."""
    transaction = engine.begin(writable=True, timeout=PATIENCE_SECONDS)
    try:
        yield transaction
    finally:
        transaction.rollback()


@contextmanager
def reading(engine: Engine) -> Iterator[Transaction]:
    """Begin a reading transaction that ends with the block, unless it ended before."""
    transaction = engine.begin()
    try:
        yield transaction
    finally:
        transaction.rollback()


@contextmanager
def committing(engine: Engine, name: bytes = NAME) -> Iterator[Bucket]:
    """Work in the bucket `name`, which is made where it is missing, and commit."""
    with writing(engine) as transaction:
        yield transaction.root.create_bucket_if_absent(name)
        transaction.commit()


def opened(transaction: Transaction, *path: bytes) -> Bucket:
    """Return the bucket at `path`, which is there."""
    bucket = transaction.root
    for name in path or (NAME,):
        bucket = expect_bucket(bucket.bucket(name))
    return bucket
