"""Exceptions at chosen points of a call: at every line, and at every boundary of a call."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any

LINES: Final = "lines"
CALLS: Final = "calls"

KINDS: Final = (KeyboardInterrupt, TimeoutError, MemoryError)
"""What handlers of signals raise, and the interpreter itself."""


_UNHEARD: Final = frozenset({"__del__", "_remove"})


class Points:
    """Counts the points that the block passes, and raises at one of them.

    Attributes:
        passed: how many it has passed.
        where: where it raised; empty if it did not come that far.
    """

    def __init__(self, kind: str, target: int) -> None:
        """Raise at the point of number `target`; the first one is 1, none is 0.

        Args:
            kind: `LINES`: before each line of Python; `CALLS`: where functions, also those of
                the interpreter, begin and end.
            target: the number of the point.
        """
        self.passed = 0
        self.where = ""
        self._kind = kind
        self._target = target

    @property
    def exception(self) -> type[BaseException]:
        """The class that is raised at the point."""
        return KINDS[self._target % len(KINDS)]

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Raise at the point while the block runs."""
        if self._kind == LINES:
            sys.settrace(self._trace)
        else:
            sys.setprofile(self._profile)
        try:
            yield
        finally:
            sys.settrace(None)
            sys.setprofile(None)

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename == __file__ or "contextmanager" in frame.f_code.co_name:
            return None
        if event == "line":
            self._pass(frame, event)
        return self._trace

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        is_own = argument is sys.setprofile or frame.f_code.co_filename == __file__
        del argument  # what was returned is not to be kept by the traceback
        if not is_own:
            self._pass(frame, event)

    def _pass(self, frame: FrameType, event: str) -> None:
        self.passed += 1
        code = frame.f_code
        # What a destructor raises goes nowhere: then the next point is taken.
        if self.passed >= self._target > 0 and not self.where and code.co_name not in _UNHEARD:
            self.where = f"{event} {code.co_filename}:{frame.f_lineno} {code.co_name}"
            raise self.exception("at a point that a test has chosen")
