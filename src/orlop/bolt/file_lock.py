"""The lock between processes: flock on the file itself, as in bbolt; and its handling in forks.

A forked child shares each open file with its parent, and with it the lock, which is held until
both have closed the file. So a child closes them at once, before any of its own code runs. It never
unlocks: that would release the lock of its parent. A child that runs another program needs none of
this: its descriptors are closed by the system (O_CLOEXEC).

Source: go.etcd.io/bbolt, bolt_unix.go; flock(2), fork(2).
"""

from __future__ import annotations

import fcntl
import gc
import os
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from orlop.concurrency.interrupts import reraise_interrupt, suppress_os_errors
from orlop.kv.errors import LockedError

if TYPE_CHECKING:
    from collections.abc import Iterator

_POLL_SECONDS = 0.05
_CHILD_SECONDS = 1.0
"""How long a child that was just forked, or is about to run another program, is waited for."""
_FORK_POLL_SECONDS = 0.001
_MAX_FORK_SECONDS = 1.0
_PROC_LOCKS = Path("/proc/locks")
_WAIT = "stop it, or wait longer with a timeout (--timeout SECONDS)"


def lock_exclusively(descriptor: int, path: Path, timeout: float | None) -> None:
    """Take the exclusive lock, asking again and again for `timeout` seconds (None: for ever).

    Polled rather than waited for, so that a timeout and an interrupt always work.

    Raises:
        LockedError: somebody else had it all the time, and the message names them; or this
            process has it already, which no waiting would change.
    """
    status = os.fstat(descriptor)
    begun = time.monotonic()
    deadline = None if timeout is None else begun + timeout
    is_first = True
    is_seen_free = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if is_first:
                # A handle of this very process that nobody has any more, since an interrupt came
                # while it was opened, has the lock until Python finds it.
                is_first = False
                gc.collect()
                continue
            if is_locked_here((status.st_dev, status.st_ino)):
                raise LockedError(
                    f"{path} is open for writing in this process already (process {os.getpid()})",
                    hint="use that handle, or close it first",
                ) from None
            left = _POLL_SECONDS if deadline is None else deadline - time.monotonic()
            if left <= 0 and time.monotonic() < begun + _CHILD_SECONDS:
                takers = _lock_takers(status)
                if os.getpid() in takers:
                    left = _POLL_SECONDS  # a child of this process has it
                elif not takers and not is_seen_free:
                    is_seen_free = True  # it was let go of meanwhile, or nothing is known of it
                    continue
            if left <= 0:
                raise LockedError(_refusal(status, path), hint=_WAIT) from None
            time.sleep(min(_POLL_SECONDS, left))
        else:
            return


def _refusal(status: os.stat_result, path: Path) -> str:
    holders = lock_holders(status)
    who = ", ".join(map(str, holders)) or "another process"
    return f"{path} is locked by {who}"


@dataclass(frozen=True, slots=True)
class LockHolder:
    """A process that has the lock, or the one that acquired it if no other is visible.

    Attributes:
        number: its id.
        command: its name, or that it has ended.
        taken_by: the process that took the lock, of which this one is a fork; `None`: this one did.
        is_gone: whether it has let go of the file, and a fork of it holds the lock.
    """

    number: int
    command: str
    taken_by: int | None = None
    is_gone: bool = False

    def __str__(self) -> str:
        """Return how messages name it."""
        name = f"process {self.number} ({self.command})"
        if self.taken_by is not None:
            return f"{name}, which has it from process {self.taken_by}, of which it is a fork"
        if self.is_gone:
            return f"a fork of {name}, which cannot be seen from here"
        return name


def lock_holders(status: os.stat_result) -> list[LockHolder]:
    """Return the processes that have a flock on a file.

    The system tells which process took a lock. That one may have closed the file or have ended
    since, while a fork of it has the file open and so holds the lock: that is looked for.

    Empty where the system does not tell (another pid namespace, no /proc).
    """
    takers = _lock_takers(status)
    if all(_holds_lock(number, status) is not False for number in takers):
        return [LockHolder(number, _command(number)) for number in takers]
    found = [number for number in _processes() if _holds_lock(number, status) is True]
    taker = takers[0]
    return [
        LockHolder(number, _command(number), None if number in takers else taker)
        for number in found
    ] or [LockHolder(number, _command(number), is_gone=True) for number in takers]


def _lock_takers(status: os.stat_result) -> list[int]:
    """Return the processes that took a flock on a file."""
    try:
        lines = _PROC_LOCKS.read_text(encoding="ascii").splitlines()
    except OSError as error:
        reraise_interrupt(error)
        return []
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    takers = []
    for line in lines:
        fields = line.split()
        # A waiter's line has "->" behind its number, which moves its kind to another place.
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == device:  # noqa: PLR2004 (columns of /proc/locks)
            takers.append(int(fields[4]))
    return takers


def _holds_lock(number: int, status: os.stat_result) -> bool | None:
    """Return whether a process has the flock of a file; `None` if /proc does not show it."""
    descriptors = Path("/proc", str(number), "fd")
    try:
        return any(_is_locked(descriptor, status) for descriptor in descriptors.iterdir())
    except PermissionError:
        return None
    except OSError as error:
        reraise_interrupt(error)
        return False  # it has ended


def _is_locked(descriptor: Path, status: os.stat_result) -> bool:
    try:
        opened = descriptor.stat()
        if (opened.st_dev, opened.st_ino) != (status.st_dev, status.st_ino):
            return False
        details = descriptor.parent.parent / "fdinfo" / descriptor.name
        lines = details.read_text(encoding="ascii").splitlines()
    except OSError as error:
        reraise_interrupt(error)
        return False  # closed meanwhile
    return any(line.startswith("lock:") and " FLOCK " in line for line in lines)


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208 -- names


def writers_of(status: os.stat_result) -> list[tuple[int, str]]:
    """Return id and command of the processes that have a file open for writing.

    Only processes that the system lets us see: all of them for root.
    """
    found = []
    for number in _processes():
        try:
            descriptors = list(Path("/proc", str(number), "fd").iterdir())
        except OSError as error:
            reraise_interrupt(error)
            continue
        if any(_is_open_for_writing(descriptor, status) for descriptor in descriptors):
            found.append((number, _command(number)))
    return found


def other_writers(status: os.stat_result) -> str:
    """Return the processes but this one that have a file open for writing; empty if none has."""
    others = [each for each in writers_of(status) if each[0] != os.getpid()]
    return ", ".join(f"process {number} ({name})" for number, name in others)


def _is_open_for_writing(descriptor: Path, status: os.stat_result) -> bool:
    try:
        opened = descriptor.stat()
        if (opened.st_dev, opened.st_ino) != (status.st_dev, status.st_ino):
            return False
        details = descriptor.parent.parent / "fdinfo" / descriptor.name
        flags = int(details.read_text(encoding="ascii").split("flags:")[1].split()[0], 8)
    except (OSError, IndexError, ValueError) as error:
        reraise_interrupt(error)
        return False  # closed meanwhile
    return flags & os.O_ACCMODE != os.O_RDONLY


def _command(number: int) -> str:
    try:
        name = Path("/proc", str(number), "comm").read_text(encoding="utf-8", errors="replace")
        return name.strip()
    except OSError as error:
        reraise_interrupt(error)
        return "no longer running"


class OpenFile(Protocol):
    """A file that this process has open.

    Attributes:
        locked: device and inode, if its lock is held; `None`: it is not, or no longer.
    """

    locked: tuple[int, int] | None

    def leave_to_parent(self) -> None:
        """Close the file in a forked child, without changing it."""


_files: list[weakref.ref[OpenFile]] = []


def register(file: OpenFile) -> None:
    """Make forked children close a file, for as long as the object lives."""
    # The callback is no Python code: an interrupt that came in there would be lost.
    _files.append(weakref.ref(file, _files.remove))


def is_locked_here(identity: tuple[int, int]) -> bool:
    """Return whether this process has locked the file with that device and inode."""
    return any(file.locked == identity for file in _living())


def forks_begun() -> int:
    """Return how many times this process has forked; wait for the end of a fork under way.

    A file that was opened before the next fork began, and registered after it, is open in a child
    that does not know of it.
    """
    deadline = time.monotonic() + _MAX_FORK_SECONDS
    while _forks.begun != _forks.ended and time.monotonic() < deadline:
        time.sleep(_FORK_POLL_SECONDS)
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
        with suppress_os_errors():  # the others are to be closed all the same
            file.leave_to_parent()


_forks: Final = _Forks()
os.register_at_fork(
    before=_forks.begin, after_in_parent=_forks.end, after_in_child=_leave_all_to_parent
)
