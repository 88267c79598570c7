"""A disk that can lose unsynced writes after a failed sync, and that runs other work during
its writes.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bolt.simulated_disk import SimulatedDisk, apply_write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Writes = Sequence[tuple[int, bytes | None]]


@dataclass
class LosingDisk(SimulatedDisk):
    """A simulated disk with a page cache that a failed sync may drop.

    Attributes:
        before_call: told the name of every call that writes, before it does anything.
        at_sync: told, at each sync, what is durable and what was written since.
        forgets: what a failed sync does to a write: True, the system counts it as written
            while the disk may never have got it, as Linux does; False, it is written later.
    """

    before_call: Callable[[str], None] | None = None
    at_sync: Callable[[bytes, Writes], None] | None = None
    forgets: bool = False
    seed: random.Random = field(default_factory=lambda: random.Random(0))

    def _call(self, name: str) -> None:
        if name != "read" and self.before_call is not None:
            self.before_call(name)
        super()._call(name)

    def sync(self) -> None:
        try:
            self._call("sync")
        except OSError:
            if self.forgets:
                self._make_durable([write for write in self.pending if self.seed.random() < 0.5])
            raise
        if self.at_sync is not None:
            self.at_sync(self.durable, list(self.pending))
        self._make_durable(self.pending)

    def _make_durable(self, writes: Writes) -> None:
        """Keep the writes that reached the disk; the rest stays in the page cache only."""
        data = bytearray(self.durable)
        for offset, written in writes:
            apply_write(data, offset, written)
        self.durable, self.pending = bytes(data), []
