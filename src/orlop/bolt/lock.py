"""The lock between processes: flock on the file itself, as bbolt takes it.

Source: go.etcd.io/bbolt, bolt_unix.go.
"""

from __future__ import annotations

import fcntl
import gc
import os
import time
from pathlib import Path

from orlop.kv.errors import LockedError

_POLL_SECONDS = 0.05
_PROC_LOCKS = Path("/proc/locks")
_WAIT = "stop it, or wait longer with a timeout (--timeout SECONDS)"


def lock_exclusively(descriptor: int, path: Path, timeout: float | None) -> None:
    """Take the exclusive lock, asking again and again for `timeout` seconds (None: for ever).

    Polled rather than waited for, so that a timeout and an interrupt always work.

    Raises:
        LockedError: somebody else had it all the time; the message names them.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    is_first = True
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
            left = _POLL_SECONDS if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise LockedError(_refusal(descriptor, path), hint=_WAIT) from None
            time.sleep(min(_POLL_SECONDS, left))
        else:
            return


def _refusal(descriptor: int, path: Path) -> str:
    holders = lock_holders(os.fstat(descriptor))
    who = ", ".join(f"process {number} ({name})" for number, name in holders)
    return f"{path} is locked by {who or 'another process'}"


def lock_holders(status: os.stat_result) -> list[tuple[int, str]]:
    """Return id and command of the processes that hold a flock on a file.

    Empty where the system does not tell (another pid namespace, no /proc).
    """
    try:
        lines = _PROC_LOCKS.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    holders = []
    for line in lines:
        fields = line.split()
        # A waiter's line has "->" behind its number, which moves its kind to another place.
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == device:  # noqa: PLR2004 (columns of /proc/locks)
            holders.append((int(fields[4]), _command(fields[4])))
    return holders


def writers_of(status: os.stat_result) -> list[tuple[int, str]]:
    """Return id and command of the processes that have a file open for writing.

    Only processes that the system lets us see: all of them for root.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            descriptors = list((process / "fd").iterdir())
        except OSError:
            continue
        if any(_is_open_for_writing(descriptor, status) for descriptor in descriptors):
            found.append((int(process.name), _command(process.name)))
    return found


def _is_open_for_writing(descriptor: Path, status: os.stat_result) -> bool:
    try:
        opened = descriptor.stat()
        if (opened.st_dev, opened.st_ino) != (status.st_dev, status.st_ino):
            return False
        details = descriptor.parent.parent / "fdinfo" / descriptor.name
        flags = int(details.read_text(encoding="ascii").split("flags:")[1].split()[0], 8)
    except (OSError, IndexError, ValueError):
        return False  # closed meanwhile
    return flags & os.O_ACCMODE != os.O_RDONLY


def _command(number: str) -> str:
    try:
        return Path("/proc", number, "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "no longer running"
