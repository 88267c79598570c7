"""Content: written and committed over a store on the disk."""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import orlop
from benchmarks.sides.objects import NAMESPACE
from benchmarks.sides.timing import timed

if TYPE_CHECKING:
    from pathlib import Path

    from orlop.stores.content import ContentStore

_SMALL_BYTES: Final = 256
_LARGE_BYTES: Final = 64 << 20
_CHUNK_BYTES: Final = 1 << 20
"""What the peer's buffers hold, too."""


def write_small(folder: Path, count: int) -> dict[str, float]:
    """Write blobs of 256 bytes."""
    return _write(folder, count, _SMALL_BYTES)


def write_large(folder: Path, count: int) -> dict[str, float]:
    """Write blobs of 64 MiB."""
    return _write(folder, count, _LARGE_BYTES)


def _write(folder: Path, count: int, size: int) -> dict[str, float]:
    data, seconds = bytearray(size), 0.0
    with orlop.open(folder) as database:
        content = database.namespace(NAMESPACE).content
        for number in range(count):
            data[:8] = number.to_bytes(8, "big")
            expected = f"sha256:{sha256(data).hexdigest()}"
            seconds += timed(1, partial(_write_blob, content, number, data, expected))
    return {"commit": seconds / count}


def _write_blob(content: ContentStore, number: int, data: bytearray, expected: str) -> None:
    whole = memoryview(data)
    with content.writer(f"ingest-{number}", size=len(data), expected=expected) as writer:
        for offset in range(0, len(data), _CHUNK_BYTES):
            writer.write(whole[offset : offset + _CHUNK_BYTES])
        writer.commit(size=len(data), expected=expected)
