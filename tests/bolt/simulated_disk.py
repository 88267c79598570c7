"""A disk in memory that can lose unsynced writes, and fail on request."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

SECTOR_BYTES = 512
BUS_BYTES = 8
"""No disk tears a sector; a checksum that sees it would see anything."""

SUBSETS_OF_MAX = 5


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

    @property
    def is_synced(self) -> bool:
        return True

    def identity(self) -> object:
        return id(self)

    def status(self) -> None:
        return None

    def close(self) -> None:
        self.log.append("close")


def apply_write(data: bytearray, offset: int, written: bytes | None) -> None:
    end = offset if written is None else offset + len(written)
    if end > len(data):
        data.extend(bytes(end - len(data)))
    if written is not None:
        data[offset:end] = written


def power_losses(
    durable: bytes,
    pending: Sequence[tuple[int, bytes | None]],
    seed: random.Random,
    samples: int,
    *,
    units: Sequence[int] = (SECTOR_BYTES, 4096),
) -> Iterator[bytes]:
    """Yield disks after a power loss: prefixes, subsets, reorderings, torn writes.

    Every prefix, and every subset where they are few; `samples` of everything else. Writes
    are torn at multiples of each of `units`, in bytes.
    """
    for count in range(len(pending) + 1):
        yield _with(durable, pending[:count])
    if len(pending) <= SUBSETS_OF_MAX:
        for size in range(len(pending)):
            for chosen in combinations(pending, size):
                yield _with(durable, chosen)
    for _ in range(samples):
        some = [write for write in pending if seed.random() < 0.5]
        seed.shuffle(some)
        yield _with(durable, some)
        for unit in units:
            torn = [piece for write in pending for piece in _tear(write, unit, seed)]
            seed.shuffle(torn)
            yield _with(durable, torn)


def _with(durable: bytes, writes: Sequence[tuple[int, bytes | None]]) -> bytes:
    data = bytearray(durable)
    for offset, written in writes:
        apply_write(data, offset, written)
    return bytes(data)


def _tear(
    write: tuple[int, bytes | None], unit: int, seed: random.Random
) -> Iterator[tuple[int, bytes | None]]:
    """Cut a write at multiples of `unit` bytes; a growth is lost or not."""
    offset, written = write
    if written is None:
        if seed.random() < 0.5:
            yield write
        return
    start = 0
    while start < len(written):
        end = start + unit - (offset + start) % unit
        if seed.random() < 0.5:
            yield offset + start, written[start:end]
        start = end
