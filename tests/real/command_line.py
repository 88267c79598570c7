"""Orlop's own command line, run as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_SECONDS = 120


def orlop(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `orlop` with the arguments, and return its result for any exit code."""
    return subprocess.run(
        [sys.executable, "-m", "orlop", *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
