"""Forked children of a test: their results, and comparison of a directory before and after."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECONDS_MAX: Final = 30.0


def in_child(work: Callable[[], Any]) -> Any:
    """Return the result of `work` in a forked child, which has to exit by itself."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        result: Any = "the child failed"
        try:
            os.close(reading)
            result = work()
        except BaseException as error:  # noqa: BLE001 -- it is reported
            result = f"{type(error).__name__}: {error}"
        finally:
            os.write(writing, pickle.dumps(result))
            os._exit(0)
    os.close(writing)
    timer = threading.Timer(SECONDS_MAX, lambda: os.kill(child, signal.SIGKILL))
    timer.start()
    try:
        with open(reading, "rb") as pipe:  # noqa: PTH123 -- a descriptor
            data = pipe.read()
        os.waitpid(child, 0)
    finally:
        timer.cancel()
    assert data, "the child did not end"
    return pickle.loads(data)  # noqa: S301 -- our own


@contextmanager
def living_child() -> Iterator[int]:
    """Yield the id of a forked child that only lives on, until the block ends."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    try:
        yield child
    finally:
        os.close(writing)
        os.waitpid(child, 0)


def tree_state(root: Path) -> dict[str, tuple[Any, ...]]:
    """Return the state of all files and directories below `root`, to detect changes."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in (root, *sorted(root.rglob("*"))):
        status = path.lstat()
        found[str(path)] = (
            status.st_ino,
            status.st_mode,
            status.st_nlink,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )
    return found
