"""The search for free pages in a file without a freelist, while transactions are written.

What is searched is one version: that of the opening. Its pages stay as they are until the
search has ended; see `orlop.bolt.commit`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from orlop.bolt.reachable import EXTENT_BYTES, REGION_PAGES, Reachable
from orlop.concurrency.interrupts import reraise_interrupt
from orlop.concurrency.ownership import Mutex
from orlop.kv.errors import CorruptError, EngineError

if TYPE_CHECKING:
    from orlop.bolt.disk import Readable
    from orlop.bolt.meta import Meta


class SearchOptions(NamedTuple):
    """How free pages are searched for; tests make it short.

    Attributes:
        small_pages: up to so many pages, all are searched before the first commit, in a few
            milliseconds; in a larger file without a freelist, beside the first ones.
        listed_pages: up to so many pages, a file with a freelist is looked through for damage
            before the first commit; a larger one is not.
        has_thread: whether a thread searches. Without, the pages are looked for when they are
            needed.
        extent_bytes: how much is read at once.
        region_pages: for how many pages at a time what is to be read is put in order.
    """

    small_pages: int = 2048
    listed_pages: int = 16384
    has_thread: bool = True
    extent_bytes: int = EXTENT_BYTES
    region_pages: int = REGION_PAGES


SEARCHING: Final = SearchOptions()


class FreeSearch:
    """A search that a thread continues, and that a caller in need of its result can finish.

    Attributes:
        walk: what is known of the version.
        high_water: the pages from here on are not part of the searched version.
        is_over: whether `finish` has its answer without reading.
    """

    def __init__(self, disk: Readable, meta: Meta, options: SearchOptions) -> None:
        """Prepare to search the version of `meta`; nothing is read yet."""
        self.high_water = meta.high_water
        self.is_over = False
        self.walk = Reachable(
            disk, meta, extent_bytes=options.extent_bytes, region_pages=options.region_pages
        )
        self._has_thread = options.has_thread
        self._damage: str | None = None
        self._stepping = Mutex()
        self._is_stopped = False
        self._runner: threading.Thread | None = None

    def start(self) -> None:
        """Start the search thread, unless it is running."""
        thread = self._runner
        if thread is not None and thread.is_alive():
            return
        if self.is_over or self._is_stopped or not self._has_thread:
            return
        # It dies with the process; who closes the file has stopped it before.
        thread = threading.Thread(target=self._run, name="free-pages", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # The system has no thread to give, or the program is ending: who needs the pages
            # will look for them.
            return
        self._runner = thread

    def stop(self) -> None:
        """Stop the thread and wait for its end: for one step at most."""
        self._is_stopped = True
        if self._runner is not None:
            self._runner.join()

    def require_sound(self) -> None:
        """Raise CorruptError where the search has met damage: to write would make it worse."""
        if self._damage is not None:
            raise CorruptError(self._damage)

    def finish(self) -> list[range]:
        """Search to the end, at full speed, and return the runs of free pages.

        Raises:
            CorruptError: the tree is damaged, wherever that was found.
            OSError: the file cannot be read.
        """
        # The caller takes over from the thread: each waits for the other's step, one at most.
        while self.step():
            pass
        return self.walk.unreachable()

    def step(self) -> bool:
        """Look at some pages more; return whether any are left.

        Raises: as `finish`.
        """
        with self._stepping:
            # The other one may have met damage or the end since the last step.
            self.require_sound()
            if not self.is_over:
                try:
                    self.is_over = not self.walk.step()
                except CorruptError as error:
                    self._damage = str(error)
                    self.is_over = True
                    raise
            return not self.is_over

    def _run(self) -> None:
        try:
            while not self._is_stopped and self.step():
                pass
        except (OSError, EngineError) as error:
            reraise_interrupt(error)
            # Damage is kept for whoever writes next. What could not be read is tried again: by
            # a thread after the next commit, or by who needs the pages and is told.
            return
