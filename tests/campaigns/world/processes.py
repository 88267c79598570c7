"""Forked processes of a history: they report their actions, and may die before any call."""

from __future__ import annotations

import os
import pickle
import signal
import struct
import threading
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from campaigns.world.state import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from campaigns.world.state import World

SECONDS_MAX: Final = 20.0
"""How long a process may take that does some operations."""

FAILED: Final = 70
_LENGTH: Final = struct.Struct("<Q")


class HangError(AssertionError):
    """A process did not end."""


@dataclass(slots=True)
class Child:
    """A forked process that reports its changes of the model."""

    pid: int
    pipe: int


def fork(world: World, work: Callable[[], None]) -> Child:
    """Do something in a forked process, which reports each change of the model."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return Child(pid, reading)
    code = FAILED
    try:
        os.close(reading)
        write = os.write  # the process may be killed at any other call
        world.report = lambda: _send(world, writing, write)
        work()
        world.report()
        code = 0
    except RefusedError:
        world.report()
        code = 0
    except BaseException as error:  # noqa: BLE001 -- it is reported, and the process ends here
        world.say(f"  in the process: {type(error).__name__}: {error}")
        world.say(traceback.format_exc())
        world.report()
    finally:
        os._exit(code)


def join(world: World, child: Child) -> int:
    """Wait for a process, take over the model as it was at its last report.

    Returns:
        Its exit code, or the negative number of the signal that ended it.

    Raises:
        HangError: it did not end in time.
    """
    timer = threading.Timer(SECONDS_MAX, lambda: os.kill(child.pid, signal.SIGABRT))
    timer.start()
    try:
        with open(child.pipe, "rb") as pipe:  # noqa: PTH123 -- a descriptor
            data = pipe.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
    finally:
        timer.cancel()
    _take_over(world, data)
    if code == -signal.SIGABRT:
        raise HangError("a process did not end, or was aborted")
    assert code != FAILED, "an operation failed"
    return code


def _send(world: World, pipe: int, write: Callable[[int, bytes], int]) -> None:
    with world.mutex:
        data = pickle.dumps((world.model, world.log, world.counts, world.handle))
    message = _LENGTH.pack(len(data)) + data
    while message:
        message = message[write(pipe, message) :]


def _take_over(world: World, data: bytes) -> None:
    last = b""
    while len(data) >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(data)
        message = data[_LENGTH.size : _LENGTH.size + length]
        if len(message) < length:
            break
        last, data = message, data[_LENGTH.size + length :]
    if last:
        world.model, world.log, world.counts, world.handle = pickle.loads(last)  # noqa: S301 -- our own
