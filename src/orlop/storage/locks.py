"""Locks on references of ingests: one writer at a time.

Source: containerd, plugins/content/local/locks.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orlop.concurrency.claims import ExclusiveClaims
from orlop.concurrency.ownership import Hold
from orlop.errors import UnavailableError
from orlop.schema.codec.timestamps import format_rfc3339_nano

if TYPE_CHECKING:
    from whenever import Instant

    from orlop.clock import Clock

_NANOSECONDS: Final = 10**9


class ReferenceLock(Hold):
    """The lock of one reference, for one writer, which need not use it as a block.

    Attributes:
        ref: the reference.
        since: when the lock was requested; `None` before.
    """

    __slots__ = ("ref", "since")

    def __init__(self, ref: str) -> None:
        super().__init__()
        self.ref = ref
        self.since: Instant | None = None


class ReferenceLocks:
    """Locks by reference, in the memory of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._claims = ExclusiveClaims[ReferenceLock]()

    def acquire(self, lock: ReferenceLock) -> None:
        """Acquire a lock without waiting; it is held until `release`, or as long as it lives.

        Raises:
            UnavailableError: another writer has it; the message says for how long.
        """
        now = lock.since = self._clock.now()
        owner = self._claims.acquire(lock.ref, lock)
        if owner is not None:
            since = owner.since or now
            held = now.timestamp(unit="nanosecond") - since.timestamp(unit="nanosecond")
            raise UnavailableError(
                f"ref {lock.ref} locked for {max(held, 0) / _NANOSECONDS:.9g}s "
                f"(since {format_rfc3339_nano(since)})"
            )

    def release(self, lock: ReferenceLock) -> None:
        """Release a lock, if it is locked."""
        self._claims.release(lock.ref, lock)

    def holds(self, ref: str) -> bool:
        """Return whether `ref` is locked."""
        return self._claims.is_claimed(ref)
