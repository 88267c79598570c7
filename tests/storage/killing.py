"""Kills a process before each of the calls by which it changes the disk, one after the other."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CALLS = (
    "fchmod",
    "fdatasync",
    "fsync",
    "ftruncate",
    "link",
    "mkdir",
    "pwrite",
    "pwritev",
    "rename",
    "replace",
    "rmdir",
    "truncate",
    "unlink",
    "utime",
    "write",
)
"""What changes the disk, and the syncs: the process dies before the call, never within it."""

KILLED = 77
STEPS_MAX = 500


def steps(scenario: Callable[[], None]) -> Iterator[int]:
    """Yield after each death of a process that ran `scenario`: first before the first call.

    The scenario runs in a fork, so that nothing of it lives on; it ends when it is finished
    once without being killed, after which the last step is yielded too.
    """
    for step in range(STEPS_MAX):
        code = _run(scenario, step)
        yield step
        if code == 0:
            return
        assert code == KILLED, f"the scenario failed by itself in step {step}"
    pytest.fail(f"the scenario did not end in {STEPS_MAX} steps")


def _run(scenario: Callable[[], None], step: int) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            arm(step)
            scenario()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def arm(step: int) -> Callable[[], int]:
    """Let this process die before the call of number `step`; the first one is 0.

    Returns:
        A function that returns the number of calls so far.
    """
    calls = 0

    def wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > step:
                os._exit(KILLED)
            return original(*arguments, **options)

        return call

    for name in CALLS:
        setattr(os, name, wrapped(getattr(os, name)))
    return lambda: calls
