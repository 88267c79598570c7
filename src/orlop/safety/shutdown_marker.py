"""The marker beside `meta.db` (`orlop/period.json`): which session wrote last, and its end."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orlop.concurrency.interrupts import reraise_interrupt
from orlop.storage.small_files import DamagedFileError, padded, read_document, write_small

MARKER: Final = "period.json"

UNKNOWN_BOOT: Final = "?"
"""The boot id where the system does not tell it."""

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShutdownMarker:
    """The last session of writing to a root, as the metadata directory remembers it.

    Attributes:
        session: its random id.
        boot: the boot id of the machine while the session is open; empty after it has closed.
    """

    session: str
    boot: str = ""

    @classmethod
    def read(cls, directory: Path) -> ShutdownMarker | None:
        """Return the marker in a directory; `None` if there is none, or it is damaged."""
        try:
            return read_document(directory / MARKER, cls._parse)
        except FileNotFoundError:
            return None
        except DamagedFileError as error:
            _logger.warning("%s: it counts as missing", error)
            return None

    @classmethod
    def _parse(cls, document: Any) -> ShutdownMarker:
        found = document["period"]
        return cls(str(found["session"]), str(found["boot"]))

    def write(self, directory: Path) -> None:
        """Replace the marker in a directory, durably.

        Raises:
            OSError: it cannot be written.
        """
        found = {"session": self.session, "boot": self.boot}
        data = padded(json.dumps({"period": found}).encode())
        write_small(directory, MARKER, data, in_place=True)


def boot_id() -> str:
    """Return the id of this boot of the machine; never empty."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip() or UNKNOWN_BOOT
    except (OSError, ValueError) as error:
        reraise_interrupt(error)
        return UNKNOWN_BOOT
