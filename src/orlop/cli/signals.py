"""Signals that end a command: Ctrl-C, SIGTERM and SIGHUP all raise, so that it cleans up.

A signal that was ignored when the process started, as with nohup, stays ignored.
"""

from __future__ import annotations

import _thread
import signal
import time

TYPE_CHECKING = False  # not from typing, which takes long to import before Ctrl-C has a handler
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, Final

_WAIT_SECONDS: Final = 0.01
"""How long to wait before a signal is delivered again that came at a bad moment, in seconds."""

_WAITS_MAX: Final = 200
_CLEANING: Final = frozenset({"__enter__", "__exit__", "__del__"})
_IMPORTING: Final = "<frozen importlib"
_SHELL_BASE: Final = 128

_DEFAULTS: Final = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}


class EndedBySignalError(KeyboardInterrupt):
    """The process was told to end.

    Attributes:
        exit_code: what a shell says of a process that the signal has ended.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.exit_code = _SHELL_BASE + number


class _Handler:
    """Raises signals as exceptions in the main thread, except in protected blocks.

    An import that an exception leaves half-way breaks later ones, and its callbacks would write a
    traceback in place of raising. What begins or ends a block is given the time to do it: what
    was made would have nothing that removes it, and what is being removed would stay. All that
    for two seconds at most.
    """

    def __init__(self) -> None:
        self._waits = 0
        self._is_ending = False
        self._is_active = True
        self._sending = _thread.allocate_lock()
        self._thread = _thread.get_ident()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._waits < _WAITS_MAX and _is_bad_moment(frame):
            self._waits += 1
            _thread.start_new_thread(self._send_again, (number,))
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        elif not self._is_ending:
            # Once: a terminal that is closed sends SIGHUP twice, and the second one would end
            # the cleaning-up that the first one began.
            self._is_ending = True
            raise EndedBySignalError(number)

    def _send_again(self, number: int) -> None:
        time.sleep(_WAIT_SECONDS)
        with self._sending:
            if self._is_active:
                signal.pthread_kill(self._thread, number)

    def close(self) -> None:
        """Drop a pending signal: the command that it would have ended has ended."""
        with self._sending:
            self._is_active = False


def _is_bad_moment(frame: FrameType | None) -> bool:
    while frame is not None:
        code = frame.f_code
        if code.co_name in _CLEANING or code.co_filename.startswith(_IMPORTING):
            return True
        frame = frame.f_back
    return False


class raising:  # noqa: N801 (it is used as a function; contextlib is not imported yet when it is)
    """Lets the signals that end a process raise in a block.

    They are left as they are where they are ignored or have handlers, and in other threads than
    the main one.
    """

    def __init__(self) -> None:
        self._handler = _Handler()
        self._replaced: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number, default in _DEFAULTS.items():
            before = signal.getsignal(number)
            if before is default or isinstance(before, _Handler):
                try:
                    signal.signal(number, self._handler)
                except ValueError:
                    return  # only the main thread may set handlers
                self._replaced[number] = before

    def __exit__(self, *_: object) -> None:
        self._handler.close()
        for number, before in self._replaced.items():
            signal.signal(number, before)
