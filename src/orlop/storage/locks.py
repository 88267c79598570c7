"""Locks on references of ingests: one writer at a time.

Source: containerd, plugins/content/local/locks.go.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Final

from orlop.errors import UnavailableError
from orlop.ownership import Mutex
from orlop.schema.codec.timestamps import format_rfc3339_nano

if TYPE_CHECKING:
    from whenever import Instant

    from orlop.clock import Clock

_NANOSECONDS: Final = 10**9


class ReferenceLocks:
    """Locks by reference, in the memory of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._mutex = Mutex()
        self._owners: dict[str, weakref.ref[ReferenceLock]] = {}

    def acquire(self, lock: ReferenceLock) -> None:
        """Take a lock, without waiting for it; it is held until `release`, or as long as it lives.

        Raises:
            UnavailableError: somebody has it; the message says for how long.
        """
        ref = lock.ref
        with self._mutex:
            now = lock.since = self._clock.now()
            owner = self._owner(ref)
            if owner is None:
                self._owners[ref] = weakref.ref(lock)
                return
            since = owner.since or now
        held = now.timestamp(unit="nanosecond") - since.timestamp(unit="nanosecond")
        raise UnavailableError(
            f"ref {ref} locked for {held / _NANOSECONDS:.9g}s (since {format_rfc3339_nano(since)})"
        )

    def release(self, lock: ReferenceLock) -> None:
        """Give a lock back; it need not be held."""
        with self._mutex:
            if self._owner(lock.ref) is lock:
                del self._owners[lock.ref]

    def holds(self, ref: str) -> bool:
        """Tell whether `ref` is locked."""
        with self._mutex:
            return self._owner(ref) is not None

    def _owner(self, ref: str) -> ReferenceLock | None:
        entry = self._owners.get(ref)
        return None if entry is None else entry()


class ReferenceLock:
    """The lock of one reference, for one writer.

    Attributes:
        ref: the reference.
        since: when it was asked for; `None` before.
    """

    __slots__ = ("__weakref__", "ref", "since")

    def __init__(self, ref: str) -> None:
        """Prepare to take it."""
        self.ref = ref
        self.since: Instant | None = None
