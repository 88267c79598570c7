"""bbolt's file format in Python: pages, nodes, buckets and transactions.

This package knows pages and nothing of containers. It implements the contract of
`orlop.kv` and would stand alone as a library.

The idea: a file is a tree of pages that no transaction ever changes in place. Nodes in
memory follow the same rule: a node belongs to the transaction that made it and is frozen
when that transaction ends, so a later one may build on it before it has reached the disk,
and rolling back is forgetting. What makes a transaction real is one meta page, written
after everything that it points to is durable.

Source: go.etcd.io/bbolt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.lazy_names import lazy_names

if TYPE_CHECKING:
    from orlop.bolt.disk import Disk, FileDisk
    from orlop.bolt.engine import BoltEngine
    from orlop.bolt.opening import open_engine, read_file_state
    from orlop.bolt.tools.compaction import compact_if_worth
    from orlop.kv.contract import Bucket, Cursor, Engine, Transaction
    from orlop.kv.errors import (
        BucketExistsError,
        BucketNotFoundError,
        CorruptError,
        EmptyFileError,
        EngineClosedError,
        EngineError,
        EnginePoisonedError,
        FileBusyError,
        IncompatibleValueError,
        KeyRequiredError,
        KeyTooLargeError,
        LockedError,
        NestingTooDeepError,
        ReadOnlyError,
        ReplacedError,
        StaleReadError,
        TransactionClosedError,
        ValueTooLargeError,
    )
    from orlop.kv.retry import read_again
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "BoltEngine": "orlop.bolt.engine:BoltEngine",
            "Bucket": "orlop.kv.contract:Bucket",
            "BucketExistsError": "orlop.kv.errors:BucketExistsError",
            "BucketNotFoundError": "orlop.kv.errors:BucketNotFoundError",
            "CorruptError": "orlop.kv.errors:CorruptError",
            "Cursor": "orlop.kv.contract:Cursor",
            "Disk": "orlop.bolt.disk:Disk",
            "EmptyFileError": "orlop.kv.errors:EmptyFileError",
            "Engine": "orlop.kv.contract:Engine",
            "EngineClosedError": "orlop.kv.errors:EngineClosedError",
            "EngineError": "orlop.kv.errors:EngineError",
            "EnginePoisonedError": "orlop.kv.errors:EnginePoisonedError",
            "FileBusyError": "orlop.kv.errors:FileBusyError",
            "FileDisk": "orlop.bolt.disk:FileDisk",
            "IncompatibleValueError": "orlop.kv.errors:IncompatibleValueError",
            "KeyRequiredError": "orlop.kv.errors:KeyRequiredError",
            "KeyTooLargeError": "orlop.kv.errors:KeyTooLargeError",
            "LockedError": "orlop.kv.errors:LockedError",
            "NestingTooDeepError": "orlop.kv.errors:NestingTooDeepError",
            "ReadOnlyError": "orlop.kv.errors:ReadOnlyError",
            "ReplacedError": "orlop.kv.errors:ReplacedError",
            "StaleReadError": "orlop.kv.errors:StaleReadError",
            "Transaction": "orlop.kv.contract:Transaction",
            "TransactionClosedError": "orlop.kv.errors:TransactionClosedError",
            "ValueTooLargeError": "orlop.kv.errors:ValueTooLargeError",
            "compact_if_worth": "orlop.bolt.tools.compaction:compact_if_worth",
            "open_engine": "orlop.bolt.opening:open_engine",
            "read_again": "orlop.kv.retry:read_again",
            "read_file_state": "orlop.bolt.opening:read_file_state",
        },
    )

__all__ = [
    "BoltEngine",
    "Bucket",
    "BucketExistsError",
    "BucketNotFoundError",
    "CorruptError",
    "Cursor",
    "Disk",
    "EmptyFileError",
    "Engine",
    "EngineClosedError",
    "EngineError",
    "EnginePoisonedError",
    "FileBusyError",
    "FileDisk",
    "IncompatibleValueError",
    "KeyRequiredError",
    "KeyTooLargeError",
    "LockedError",
    "NestingTooDeepError",
    "ReadOnlyError",
    "ReplacedError",
    "StaleReadError",
    "Transaction",
    "TransactionClosedError",
    "ValueTooLargeError",
    "compact_if_worth",
    "open_engine",
    "read_again",
    "read_file_state",
]
