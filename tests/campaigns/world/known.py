"""Known faults, and the operations that are left out until they are fixed."""

from __future__ import annotations

from typing import Final

OFF: Final[dict[str, str]] = {}
"""What is left out, with the reason: faults that are known and not mended yet."""
