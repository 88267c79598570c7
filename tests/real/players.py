"""Orlop's side of a script: its engine plays the operations that bbolt plays too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from orlop import kv
from orlop.bolt import open_engine
from orlop.bolt.tools.dump import dump as canonical_dump
from orlop.maintenance import check_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from oracle.client import Oracle
    from real.scripts import Operation

KINDS: dict[type[kv.EngineError], str] = {
    kv.KeyRequiredError: "key_required",
    kv.KeyTooLargeError: "key_too_large",
    kv.ValueTooLargeError: "value_too_large",
    kv.IncompatibleValueError: "incompatible_value",
    kv.BucketExistsError: "bucket_exists",
    kv.BucketNotFoundError: "bucket_not_found",
}
"""What the oracle calls the errors that a caller is given."""


class Player:
    """An open file, and the writing transaction that a script has begun on it."""

    def __init__(self, path: Path, *, freelist_sync: bool | None = None) -> None:
        self._path = path
        self._freelist_sync = freelist_sync
        self._engine = self._open()
        self._transaction: kv.Transaction | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._transaction is not None:
            self._transaction.rollback()
        self._engine.close()

    def play(self, operation: Operation) -> dict[str, Any]:
        """Play one operation and return its result as the oracle words it."""
        match operation.kind:
            case "begin":
                self._transaction = self._engine.begin(writable=True)
            case "commit":
                self._writer().commit()
                self._transaction = None
            case "rollback":
                self._writer().rollback()
                self._transaction = None
            case "reopen":
                self._engine.close()
                self._engine = self._open()
            case _:
                return self._change(operation)
        return {}

    def _change(self, operation: Operation) -> dict[str, Any]:
        bucket: kv.Bucket | None = self._writer().root
        for name in operation.path:
            bucket = bucket.bucket(name) if bucket is not None else None
        if bucket is None:
            return {"error": "no_bucket"}
        try:
            return apply(bucket, operation)
        except kv.EngineError as error:
            return {"error": KINDS[type(error)]}

    def _open(self) -> kv.Engine:
        return open_engine(self._path, freelist_sync=self._freelist_sync)

    def _writer(self) -> kv.Transaction:
        assert self._transaction is not None, "no transaction has begun"
        return self._transaction


def apply(bucket: kv.Bucket, operation: Operation) -> dict[str, Any]:
    """Do one operation on the bucket that it names."""
    match operation.kind:
        case "get":
            value = bucket.get(operation.key)
            return {} if value is None else {"value": value.hex()}
        case "put":
            bucket.put(operation.key, operation.value)
        case "delete":
            bucket.delete(operation.key)
        case "create_bucket":
            bucket.create_bucket(operation.key)
        case "delete_bucket":
            bucket.delete_bucket(operation.key)
        case "next_sequence":
            return {"sequence": bucket.next_sequence()}
        case "set_sequence":
            bucket.set_sequence(operation.sequence)
        case unknown:
            raise AssertionError(f"unknown operation {unknown}")
    return {}


def play(
    path: Path, operations: Iterable[Operation], *, freelist_sync: bool | None = None
) -> list[dict[str, Any]]:
    """Play a script on the file, which is made if it is missing, and return the results."""
    with Player(path, freelist_sync=freelist_sync) as player:
        return [player.play(operation) for operation in operations]


def check(path: Path) -> list[str]:
    """Return the faults that Orlop's own check finds in the file."""
    return [str(fault) for fault in check_file(path).faults]


def dump(path: Path) -> dict[str, Any]:
    """Return the canonical dump of a file that Orlop's engine reads."""
    engine = open_engine(path, read_only=True)
    try:
        with engine.begin() as transaction:
            return canonical(transaction)
    finally:
        engine.close()


def canonical(transaction: kv.Transaction) -> dict[str, Any]:
    """Return the canonical dump of a transaction's version."""
    found: dict[str, Any] = json.loads("".join(canonical_dump(transaction)))
    return found


def make_empty(oracle: Oracle, path: Path) -> None:
    """Make a file with bbolt: it chooses the page size, which Orlop takes as it finds it.

    The commit brings the freelist into the form that was asked for; bbolt's new files have one.
    """
    oracle.run(path, [{"op": "begin"}, {"op": "commit"}])
