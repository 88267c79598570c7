"""containerd's metadata package, built once for the whole run."""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING

import pytest

from differential.driver import Driver
from real.conftest import session_folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["metadata_driver", "session_folder"]


@pytest.fixture(scope="session")
def metadata_driver(session_folder: Path) -> Driver:
    """Return the driver of containerd's metadata package."""
    with (session_folder / "metadata_driver.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = session_folder / "metadata_driver"
        return Driver(built) if built.exists() else Driver.build(session_folder)
