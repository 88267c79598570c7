"""Faults that are known, and what is left out until they are mended."""

from __future__ import annotations

from typing import Final

OFF: Final[dict[str, str]] = {}
"""What is left out, with the reason: faults that are known and not mended yet."""
