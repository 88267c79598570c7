"""The contract of a key-value engine, which the database below Orlop must keep.

An engine holds nested buckets of sorted byte keys behind transactions: many readers, one
writer. Everything above this floor sees only these protocols, so that another engine can
stand where `orlop.bolt` stands today.
"""

from orlop.kv.contract import (
    Bucket,
    Cursor,
    Engine,
    FileState,
    Follower,
    Item,
    Path,
    ReadableBucket,
    RecordBucket,
    Transaction,
    Tree,
)
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
from orlop.kv.plain import DraftBucket, PlainBucket
from orlop.kv.retry import read_again

__all__ = [
    "Bucket",
    "BucketExistsError",
    "BucketNotFoundError",
    "CorruptError",
    "Cursor",
    "DraftBucket",
    "EmptyFileError",
    "Engine",
    "EngineClosedError",
    "EngineError",
    "EnginePoisonedError",
    "FileBusyError",
    "FileState",
    "Follower",
    "IncompatibleValueError",
    "Item",
    "KeyRequiredError",
    "KeyTooLargeError",
    "LockedError",
    "NestingTooDeepError",
    "Path",
    "PlainBucket",
    "ReadOnlyError",
    "ReadableBucket",
    "RecordBucket",
    "ReplacedError",
    "StaleReadError",
    "Transaction",
    "TransactionClosedError",
    "Tree",
    "ValueTooLargeError",
    "read_again",
]
