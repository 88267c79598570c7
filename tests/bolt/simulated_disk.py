"""A disk in memory that can lose what was not synced, and fail on request."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

SECTOR_BYTES = 512


@dataclass
class SimulatedDisk:
    """Implements `orlop.bolt.Disk`.

    Attributes:
        durable: what a power loss leaves whatever happens.
        pending: writes (offset, bytes) and growths (size, None) since the last sync.
        calls: how many calls may have failed so far.
        fail_at: the call that fails with `error`; None: none does.
    """

    durable: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    calls: int = 0
    fail_at: int | None = None
    error: int = errno.EIO
    log: list[str] = field(default_factory=list)
    crash_states: list[tuple[bytes, list[tuple[int, bytes | None]]]] = field(default_factory=list)
    _data: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self._data = bytearray(self.durable)

    def _call(self, name: str) -> None:
        self.log.append(name)
        self.calls += 1
        if self.calls == self.fail_at:
            raise OSError(self.error, f"simulated failure of {name}")

    def size(self) -> int:
        return len(self._data)

    def read(self, offset: int, length: int) -> bytes:
        self._call("read")
        return bytes(self._data[offset : offset + length])

    def write(self, offset: int, chunks: Sequence[bytes]) -> None:
        data = b"".join(chunks)
        try:
            self._call("write")
        except OSError:
            # Half of it may be there: a failed write promises nothing.
            data = data[: len(data) // 2]
            self._apply(offset, data)
            raise
        self._apply(offset, data)

    def _apply(self, offset: int, data: bytes) -> None:
        self.pending.append((offset, data))
        apply_write(self._data, offset, data)

    def grow(self, size: int) -> None:
        self._call("grow")
        self.pending.append((size, None))
        apply_write(self._data, size, None)

    def sync(self) -> None:
        self._call("sync")
        self.crash_states.append((self.durable, self.pending))
        self.durable, self.pending = bytes(self._data), []

    def identity(self) -> object:
        return id(self)

    def close(self) -> None:
        self.log.append("close")


def apply_write(data: bytearray, offset: int, written: bytes | None) -> None:
    end = offset if written is None else offset + len(written)
    if end > len(data):
        data.extend(bytes(end - len(data)))
    if written is not None:
        data[offset:end] = written


def power_losses(
    durable: bytes, pending: Sequence[tuple[int, bytes | None]], seed: random.Random, samples: int
) -> Iterator[bytes]:
    """What the disk may hold after a power loss: prefixes, subsets, reorderings, torn writes."""
    for count in range(len(pending) + 1):
        yield _with(durable, pending[:count])
    for _ in range(samples):
        chosen = [write for write in pending if seed.random() < 0.5]
        seed.shuffle(chosen)
        yield _with(durable, chosen)
        yield _with(durable, [torn for write in pending for torn in _tear(write, seed)])


def _with(durable: bytes, writes: Sequence[tuple[int, bytes | None]]) -> bytes:
    data = bytearray(durable)
    for offset, written in writes:
        apply_write(data, offset, written)
    return bytes(data)


def _tear(
    write: tuple[int, bytes | None], seed: random.Random
) -> Iterator[tuple[int, bytes | None]]:
    offset, written = write
    if written is None:
        yield write
        return
    for start in range(0, len(written), SECTOR_BYTES):
        if seed.random() < 0.5:
            yield offset + start, written[start : start + SECTOR_BYTES]
