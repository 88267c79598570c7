"""Single values of a database as people read them, by the place where they lie.

A name alone does not tell: a label may be called `size` too. In `meta.db` the fields of an
object lie below `v1/<namespace>/<kind>/<id>`, those of blobs, ingests and snapshots one bucket
deeper; in a snapshotter's own database they lie below `v1/snapshots/<key>`.

Source: containerd, core/metadata/buckets.go and core/snapshots/storage/bolt.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orlop.errors import DataLossError
from orlop.records import SnapshotKind
from orlop.schema import names
from orlop.schema.codec.encoding import decode_any, decode_time, decode_uvarint, decode_varint
from orlop.schema.codec.timestamps import format_rfc3339_nano

if TYPE_CHECKING:
    from collections.abc import Callable

_FIELDS_AT: Final = {
    names.IMAGES: 4,
    names.CONTAINERS: 4,
    names.SANDBOXES: 4,
    names.LEASES: 4,
    names.CONTENT: 5,
    names.SNAPSHOTS: 5,
}
"""How many buckets lie above the fields of an object, by its kind."""

_KIND_AT: Final = 2
_METASTORE_FIELDS_AT: Final = 3


def decoded(path: tuple[bytes, ...], value: bytes, *, is_metastore: bool = False) -> str:
    """Return a value as people read it: a time, a number, the type of an Any, or text.

    Args:
        path: the keys that lead to the value, its own last.
        value: the value as it is stored.
        is_metastore: whether this is a snapshotter's own database.

    Returns:
        Text; what is not known or not sound is shown as `readable` shows it.
    """
    reader = _metastore_reader(path) if is_metastore else _reader(path)
    if reader is None or not value:
        return readable(value)
    try:
        return reader(value)
    except DataLossError:
        return readable(value)


def readable(data: bytes) -> str:
    """Return bytes as text where they are printable UTF-8, else in hex."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return f"0x{data.hex()}"
    return text if text.isprintable() else f"0x{data.hex()}"


def _reader(path: tuple[bytes, ...]) -> Callable[[bytes], str] | None:
    if path == (names.SCHEMA, names.VERSION):
        return _varint
    kind = path[_KIND_AT] if path[0] == names.SCHEMA and len(path) > _KIND_AT else b""
    if kind not in _FIELDS_AT:
        return None
    field = path[_FIELDS_AT[kind] :]
    return _any if field[:1] == (names.EXTENSIONS,) else _READERS.get(field)


def _metastore_reader(path: tuple[bytes, ...]) -> Callable[[bytes], str] | None:
    if path[:2] != (names.SCHEMA, names.SNAPSHOTS):
        return None
    return _METASTORE_READERS.get(path[_METASTORE_FIELDS_AT:])


def _time(value: bytes) -> str:
    return format_rfc3339_nano(decode_time(value))


def _varint(value: bytes) -> str:
    return str(decode_varint(value))


def _uvarint(value: bytes) -> str:
    return str(decode_uvarint(value))


def _kind(value: bytes) -> str:
    try:
        return SnapshotKind(value[0]).name.lower()
    except ValueError:
        return readable(value)


def _any(value: bytes) -> str:
    envelope = decode_any(value)
    return f"{envelope.type_url} ({len(envelope.value)} bytes)"


_READERS: Final[dict[tuple[bytes, ...], Callable[[bytes], str]]] = {
    (names.CREATED_AT,): _time,
    (names.UPDATED_AT,): _time,
    (names.EXPIRE_AT,): _time,
    (names.SIZE,): _varint,
    (names.TARGET, names.SIZE): _varint,
    (names.SPEC,): _any,
    (names.RUNTIME, names.OPTIONS): _any,
}
"""How the fields of objects are read; what is not here is text."""

_METASTORE_READERS: Final[dict[tuple[bytes, ...], Callable[[bytes], str]]] = {
    (names.CREATED_AT,): _time,
    (names.UPDATED_AT,): _time,
    (b"id",): _uvarint,
    (b"kind",): _kind,
    (b"size",): _varint,
    (b"inodes",): _varint,
}
