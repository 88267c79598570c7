"""The fields of records: text, times, sizes, maps and the Any envelope.

A field is read from a record that was loaded whole (`text`, `size`, `times`, `texts`, `envelope`),
or alone from its bucket (`read_*`), and written with `write_*`. A field that is missing, or is a
bucket where a value belongs or the other way round, reads as empty. A value that is stored already
is not written again, so that a time keeps the zone it was stored with.

Source: containerd, core/metadata/boltutil; spec/metadata.md 0 (maps) and 1.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from whenever import Instant

from orlop.errors import DataLossError
from orlop.schema import names
from orlop.schema.codec import encoding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orlop.kv import Bucket, ReadableBucket, RecordBucket, Tree
    from orlop.records import ProtoAny

Wanted: TypeAlias = "Callable[[str, Tree], bool]"
"""A predicate on the name of a record and its stored fields."""

_NOTHING: Final[Tree] = {}

_ZERO_TIME: Final = Instant.from_utc(1, 1, 1)
"""Go's zero time, which stands for a time that is not set."""


def record(bucket: Bucket | None, name: str) -> Tree | None:
    """Return the whole record `name`; `None` if it does not exist."""
    return None if bucket is None else bucket.tree(names.to_bytes(name))


def nested(tree: Tree, key: bytes) -> Tree:
    """Return the contents of a nested bucket, empty without one. Do not change them."""
    value = tree.get(key)
    return value if isinstance(value, dict) else _NOTHING


def text(tree: Tree, key: bytes) -> str:
    """Return a text; empty if it is missing."""
    value = tree.get(key)
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else ""


def size(tree: Tree, key: bytes) -> int:
    """Return a size in bytes; 0 if it is missing or unreadable."""
    value = tree.get(key)
    return encoding.decode_varint(value) if isinstance(value, bytes) else 0


def times(tree: Tree) -> tuple[Instant | None, Instant | None]:
    """Return when a record was created and updated; `None` where a time is not set.

    Raises:
        DataLossError: the stored bytes are no time.
    """
    created, updated = tree.get(names.CREATED_AT), tree.get(names.UPDATED_AT)
    first = decode_time(names.CREATED_AT, created) if isinstance(created, bytes) else None
    if updated == created:  # as of most records
        return first, first
    return first, (decode_time(names.UPDATED_AT, updated) if isinstance(updated, bytes) else None)


def check_times(_: str, tree: Tree) -> None:
    """Raise the errors of `times` for damaged times."""
    times(tree)


def texts(tree: Tree, key: bytes) -> dict[str, str]:
    """Return a map of texts; empty if it is missing."""
    entries = tree.get(key)
    found: dict[str, str] = {}
    if isinstance(entries, dict):
        # For a map of few texts, as most are, a loop costs less than a comprehension.
        for name, value in entries.items():
            if isinstance(value, bytes):
                word = value.decode("utf-8", "surrogateescape")
                found[name.decode("utf-8", "surrogateescape")] = word
    return found


def envelope(tree: Tree, key: bytes) -> ProtoAny | None:
    """Return an Any; `None` if it is missing.

    Raises:
        DataLossError: the stored bytes are no Any.
    """
    value = tree.get(key)
    return decode_any(key, value) if isinstance(value, bytes) else None


def envelopes(tree: Tree, key: bytes) -> dict[str, ProtoAny]:
    """Return a map of Any; empty if it is missing.

    Raises:
        DataLossError: the stored bytes of one are no Any.
    """
    return {
        names.to_text(name): decode_any(name, value)
        for name, value in nested(tree, key).items()
        if isinstance(value, bytes)
    }


def read_text(bucket: ReadableBucket, key: bytes) -> str:
    """Return a text; empty if it is missing."""
    value = bucket.get(key)
    return "" if value is None else names.to_text(value)


def write_text(bucket: RecordBucket, key: bytes, text: str) -> None:
    """Store a text, an empty one too."""
    bucket.put(key, names.to_bytes(text))


def read_size(bucket: ReadableBucket, key: bytes) -> int:
    """Return a size in bytes; 0 if it is missing or unreadable."""
    value = bucket.get(key)
    return 0 if value is None else encoding.decode_varint(value)


def write_size(bucket: RecordBucket, key: bytes, size: int) -> None:
    """Store a size in bytes."""
    bucket.put(key, encoding.encode_varint(size))


def read_time(bucket: ReadableBucket, key: bytes) -> Instant | None:
    """Return a time; `None` if it is missing.

    Raises:
        DataLossError: the stored bytes are no time.
    """
    value = bucket.get(key)
    return None if value is None else decode_time(key, value)


def known_time(bucket: ReadableBucket | None, key: bytes) -> Instant | None:
    """Return a time; `None` if it is missing or unreadable."""
    try:
        return None if bucket is None else read_time(bucket, key)
    except DataLossError:
        return None


def decode_time(key: bytes, value: bytes) -> Instant | None:
    """Return the time in `value`, which is stored under `key`; `None` for one that is not set.

    Raises:
        DataLossError: the bytes are no time.
    """
    try:
        instant = encoding.decode_time(value)
    except (ValueError, DataLossError) as error:
        message = f"{names.to_text(key)} cannot be read as a time: {value.hex()}"
        lost = DataLossError(message).because(error)
    else:
        return None if instant == _ZERO_TIME else instant
    raise lost


def write_time(bucket: RecordBucket, key: bytes, instant: Instant | None) -> None:
    """Store a time, unless it is stored already; `None` changes nothing."""
    if instant is not None and not _holds_time(bucket, key, instant):
        bucket.put(key, encoding.encode_time(instant))


def read_map(bucket: ReadableBucket | None, key: bytes) -> dict[str, str]:
    """Return a map of texts; empty if it is missing."""
    entries = None if bucket is None else bucket.bucket(key)
    if entries is None:
        return {}
    return {
        names.to_text(name): names.to_text(value)
        for name, value in entries.items()
        if value is not None
    }


def write_map(bucket: RecordBucket, key: bytes, entries: Mapping[str, str]) -> dict[str, str]:
    """Store a map in place of the one before; return it as it will be read.

    Entries without a value are dropped. A map of nothing else leaves an empty bucket, an
    empty map leaves none.
    """
    if bucket.bucket(key) is not None:
        bucket.delete_bucket(key)
    if not entries:
        return {}
    stored = {name: value for name, value in entries.items() if value}
    bucket.create_tree(
        key, {names.to_bytes(name): names.to_bytes(value) for name, value in stored.items()}
    )
    return stored


def write_any(bucket: RecordBucket, key: bytes, value: ProtoAny | None) -> None:
    """Store an Any; `None` changes nothing."""
    if value is not None:
        bucket.put(key, encoding.encode_any(value))


def merge_any_map(bucket: RecordBucket, key: bytes, entries: Mapping[str, ProtoAny]) -> None:
    """Store a map of Any over the one before: entries are put, none is deleted."""
    if not entries:
        return
    nested = bucket.create_bucket_if_absent(key)
    for name, value in entries.items():
        nested.put(names.to_bytes(name), encoding.encode_any(value))


def decode_any(key: bytes, value: bytes) -> ProtoAny:
    """Return the Any in `value`, which is stored under `key`.

    Raises:
        DataLossError: the bytes are no Any.
    """
    try:
        return encoding.decode_any(value)
    except (ValueError, DataLossError) as error:
        message = (
            f"{names.to_text(key)} cannot be read as a google.protobuf.Any of {len(value)} bytes"
        )
        lost = DataLossError(message).because(error)
    raise lost


def _holds_time(bucket: RecordBucket, key: bytes, instant: Instant) -> bool:
    try:
        return read_time(bucket, key) == instant
    except DataLossError:
        return False
