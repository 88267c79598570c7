"""The buckets of a database as a tree, with values as people read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orlop.model.encoding import decode_any, decode_time, decode_varint
from orlop.model.errors import DataLossError
from orlop.model.timestamps import format_rfc3339_nano
from orlop.schema import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orlop.kv import Bucket, Transaction


@dataclass(frozen=True, slots=True)
class Entry:
    """A bucket or a value in it.

    Attributes:
        path: the keys that lead to it, its own last.
        count: how many entries a bucket has; `None` for a value.
        sequence: a bucket's counter; `None` for a value.
        value: a value as people read it; `None` for a bucket.
    """

    path: tuple[bytes, ...]
    count: int | None = None
    sequence: int | None = None
    value: str | None = None

    @property
    def name(self) -> str:
        """The entry's own key as text."""
        return readable(self.path[-1])


def entries(transaction: Transaction) -> Iterator[Entry]:
    """Iterate over all buckets and values, each bucket before what is in it.

    Raises: what the engine raises where the file is damaged.
    """
    return _below(transaction.root, ())


def _below(bucket: Bucket, path: tuple[bytes, ...]) -> Iterator[Entry]:
    for key, value in bucket.items():
        here = (*path, key)
        if value is not None:
            yield Entry(here, value=_value(key, value))
            continue
        nested = bucket.bucket(key)
        if nested is not None:
            yield Entry(here, count=sum(1 for _ in nested.items()), sequence=nested.sequence)
            yield from _below(nested, here)


def _value(key: bytes, value: bytes) -> str:
    reader = _READERS.get(key)
    if reader is None or not value:
        return readable(value)
    try:
        return reader(value)
    except DataLossError:
        return readable(value)


def _time(value: bytes) -> str:
    return format_rfc3339_nano(decode_time(value))


def _any(value: bytes) -> str:
    decoded = decode_any(value)
    return f"{decoded.type_url} ({len(decoded.value)} bytes)"


_READERS: Final[dict[bytes, Callable[[bytes], str]]] = {
    names.CREATED_AT: _time,
    names.UPDATED_AT: _time,
    names.EXPIRE_AT: _time,
    names.SIZE: lambda value: str(decode_varint(value)),
    names.VERSION: lambda value: str(decode_varint(value)),
    names.SPEC: _any,
    names.OPTIONS: _any,
}


def readable(data: bytes) -> str:
    """Return bytes as text where they are printable UTF-8, else in hex."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return f"0x{data.hex()}"
    return text if text.isprintable() else f"0x{data.hex()}"
