"""The files that this process has open: a fork lets go of them, and none is locked twice.

A forked child shares each open file with its parent, and with it the lock (flock), which is held
until both have closed the file. So a child closes them at once, before any of its own code runs.
It never unlocks: that would release the lock of its parent. A child that runs another program needs
none of this: its descriptors are closed by the system (O_CLOEXEC).

Source: flock(2), fork(2).
"""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

_POLL_SECONDS: Final = 0.001
_FORK_SECONDS_MAX: Final = 1.0


class OpenFile(Protocol):
    """A file that this process has open.

    Attributes:
        locked: device and inode, if its lock is held; `None`: it is not, or no longer.
    """

    locked: tuple[int, int] | None

    def leave_to_parent(self) -> None:
        """Let go of the file, in a forked child: close it, and change nothing."""


_files: list[weakref.ref[OpenFile]] = []


def register(file: OpenFile) -> None:
    """Have a forked child let go of a file, for as long as the object lives."""
    # The callback is no Python code: an interrupt that came in there would be lost.
    _files.append(weakref.ref(file, _files.remove))


def is_locked_here(identity: tuple[int, int]) -> bool:
    """Return whether this process holds the lock of the file with that device and inode."""
    return any(file.locked == identity for file in _living())


def forks_begun() -> int:
    """Return how many times this process has forked; wait for the end of a fork under way.

    A file that was opened before the next fork began, and registered after it, is open in a child
    that does not know of it.
    """
    deadline = time.monotonic() + _FORK_SECONDS_MAX
    while _forks.begun != _forks.ended and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return _forks.begun


class _Forks:
    """Counts the forks of this process."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0

    def begin(self) -> None:
        self.begun += 1

    def end(self) -> None:
        self.ended += 1


def _living() -> Iterator[OpenFile]:
    for entry in tuple(_files):
        file = entry()
        if file is not None:
            yield file


def _leave_all_to_parent() -> None:
    _forks.ended = _forks.begun = 0
    for file in _living():
        with contextlib.suppress(OSError):  # the others are to be closed all the same
            file.leave_to_parent()


_forks: Final = _Forks()
os.register_at_fork(
    before=_forks.begin, after_in_parent=_forks.end, after_in_child=_leave_all_to_parent
)
