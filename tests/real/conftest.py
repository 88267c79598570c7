"""The real parts that the tests of this folder run against."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

import pytest

from oracle.client import Oracle
from real.daemon import Daemon
from real.images import RealImage, make_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all workers of this test run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def bbolt(session_folder: Path) -> Oracle:
    """Return bbolt itself, built once for the whole run; it does not wait for the disk."""
    with (session_folder / "oracle.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = session_folder / "oracle"
        oracle = Oracle(built) if built.exists() else Oracle.build(session_folder)
    return oracle.with_options(sync=False)


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> RealImage:
    """Return a small image that umoci made of files of ours."""
    return make_image(tmp_path_factory.mktemp("image"))


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Return a containerd that has not been started, on a root that does not exist yet."""
    daemon = Daemon(tmp_path / "root")
    yield daemon
    daemon.stop()
