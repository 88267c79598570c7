"""Which backends a run cleans, and what becomes of each cleanup.

One that fails does not stop the others, and is tried again by the next run.
"""

from __future__ import annotations

import logging
from time import perf_counter_ns
from typing import TYPE_CHECKING

from orlop.collect.cleanup import Cleaned, clean_content, clean_snapshots
from orlop.collect.dirt import CONTENT_BACKEND
from orlop.model.errors import OrlopError

if TYPE_CHECKING:
    from orlop.collect.dirt import Dirt
    from orlop.collect.domain import Domain
    from orlop.collect.named import Datum

_logger = logging.getLogger(__name__)


class Cleaning:
    """The cleanups of one run, with what became of each.

    Attributes:
        durations: how long each took, in nanoseconds, by the name of the backend.
        failures: which failed, and why.
        deleted: how many blobs, ingests and snapshots were deleted.
        freed_bytes: what those took on disk.
    """

    def __init__(self, domain: Domain, dirt: Dirt, only: set[Datum] | None) -> None:
        self._domain = domain
        self._dirt = dirt
        self._only = only
        self.durations: dict[str, int] = {}
        self.failures: dict[str, str] = {}
        self.deleted = 0
        self.freed_bytes = 0

    def run(self) -> None:
        """Clean all backends that need it. One that fails does not stop the others."""
        if self._only is None:
            names = self._dirt.names()
        else:
            # A plan does not clean all that is dirty: what it leaves stays so.
            names = sorted({datum.snapshotter for datum in self._only})
        for name in names:
            if name == CONTENT_BACKEND or name in self._domain.snapshotters:
                self._run(name)

    def _run(self, name: str) -> None:
        if self._only is None:
            self._dirt.take(name)
        shown = name or "content"
        begun = perf_counter_ns()
        try:
            cleaned = self._clean(name)
        except (OrlopError, OSError) as error:
            self._dirt.put_back(name)
            self.failures[shown] = str(error)
            _logger.warning("the cleanup of %s failed, and is tried again: %s", shown, error)
        except BaseException:
            self._dirt.put_back(name)
            raise
        else:
            self.deleted += cleaned.deleted
            self.freed_bytes += cleaned.freed_bytes
        self.durations[name] = perf_counter_ns() - begun

    def _clean(self, name: str) -> Cleaned:
        if name != CONTENT_BACKEND:
            backend = self._domain.snapshotters[name]
            return clean_snapshots(self._domain, name, backend, self._only)
        if self._domain.content is None:
            return Cleaned()
        return clean_content(self._domain, self._domain.content, self._only)
