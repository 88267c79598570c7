"""Faults that are known, and what is left out until they are mended."""

from __future__ import annotations

from typing import Final

OFF: Final[dict[str, str]] = {
    "child": "a forked child keeps the lock of its parent",
    "elsewhere": "what a root of a relative path does follows the working directory",
    "lose": "a database that is missing or empty is made anew",
    "move": "a replaced root is not told from the one that was there",
    "power loss": "older databases are taken for the newest",
    "process: birth": "a root whose birth is killed is in doubt",
    "set back": "older databases are taken for the newest",
    "signal": "an exception at any moment may leave a lock or a doubt",
    "under handle": "a file that was replaced is not told from the one that is open",
}
"""What is left out, with the reason: faults that are known and not mended yet."""
