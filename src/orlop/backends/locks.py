"""Who is writing to which reference: one writer at a time.

Source: containerd, plugins/content/local/locks.go.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from orlop.model.errors import UnavailableError
from orlop.model.timestamps import format_rfc3339_nano

if TYPE_CHECKING:
    from whenever import Instant

    from orlop.model.clock import Clock

_NANOSECONDS: Final = 10**9


class ReferenceLocks:
    """Locks by reference, in the memory of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._mutex = threading.Lock()
        self._since: dict[str, Instant] = {}

    def acquire(self, ref: str) -> None:
        """Take the lock of `ref`, without waiting for it.

        Raises:
            UnavailableError: somebody has it; the message says for how long.
        """
        with self._mutex:
            now = self._clock.now()
            since = self._since.get(ref)
            if since is None:
                self._since[ref] = now
                return
        held = now.timestamp(unit="nanosecond") - since.timestamp(unit="nanosecond")
        raise UnavailableError(
            f"ref {ref} locked for {held / _NANOSECONDS:.9g}s (since {format_rfc3339_nano(since)})"
        )

    def release(self, ref: str) -> None:
        """Give the lock of `ref` back; it need not be held."""
        with self._mutex:
            self._since.pop(ref, None)

    def holds(self, ref: str) -> bool:
        """Tell whether somebody has the lock of `ref`."""
        with self._mutex:
            return ref in self._since
