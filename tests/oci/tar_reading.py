"""The entries that Orlop reads of a tar archive, in the form that the Go oracle returns."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from orlop.errors import DataLossError
from orlop.oci.tar_stream import TarReader

if TYPE_CHECKING:
    from orlop.oci.tar_header import TarEntry

DATA_MAX = 1 << 16
"""How many bytes of an entry are compared."""

_NANOSECONDS = 1_000_000_000
_WITHOUT_DATA = {b.hex() for b in (b"1", b"2", b"3", b"4", b"5", b"6")}


def read_archive(data: bytes) -> tuple[list[dict[str, Any]], str]:
    """Return the entries of an archive, and the error that ended it, empty for none."""
    reader = TarReader(io.BytesIO(data))
    entries: list[dict[str, Any]] = []
    try:
        # Those before an error are kept.
        entries.extend(_described(entry, _data(reader, entry)) for entry in reader)
    except DataLossError as error:
        return entries, str(error)
    return entries, ""


def comparable(found: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
    """Return Go's entries in the same form, without the sizes of entries without data."""
    entries = [
        {**one, "size": 0} if one["type"] in _WITHOUT_DATA else one for one in found["entries"]
    ]
    return entries, bool(found["error"])


def _data(reader: TarReader, entry: TarEntry) -> bytes:
    """Return the start of the data of an entry, holes filled with zeros."""
    data = bytearray(min(entry.size, DATA_MAX))
    for offset, chunk in reader.data():
        piece = chunk[: max(0, len(data) - offset)]
        data[offset : offset + len(piece)] = piece
    return bytes(data)


def _described(entry: TarEntry, data: bytes) -> dict[str, Any]:
    flag = entry.kind.value if entry.flag == b"\x00" else entry.flag
    accessed = (0, 0) if entry.accessed is None else divmod(entry.accessed, _NANOSECONDS)
    return {
        "name": entry.name.hex(),
        "link": entry.link.hex(),
        "type": flag.hex(),
        "mode": entry.mode,
        "owner": entry.owner,
        "group": entry.group,
        "size": entry.size,
        "modified": list(divmod(entry.modified, _NANOSECONDS)),
        "accessed": list(accessed),
        "device": list(entry.device),
        "attributes": {
            name.encode("utf-8", "surrogateescape").hex(): value.hex()
            for name, value in entry.attributes.items()
        },
        "data": data.hex(),
    }
