"""Log messages of the library on stderr: errors, in one line each."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orlop.cli.output import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIBRARY = logging.getLogger("orlop")


@contextmanager
def shown() -> Iterator[None]:
    """Show log messages of the block on stderr; with ORLOP_DEBUG all, with tracebacks."""
    handler = logging.StreamHandler()
    level = _LIBRARY.level
    if os.environ.get("ORLOP_DEBUG"):
        _LIBRARY.setLevel(logging.DEBUG)
    else:
        handler.setLevel(logging.ERROR)
        handler.setFormatter(_OneLine())
    _LIBRARY.addHandler(handler)
    try:
        yield
    finally:
        _LIBRARY.removeHandler(handler)
        _LIBRARY.setLevel(level)


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        reason = record.exc_info[1] if record.exc_info else None
        text = record.getMessage()
        return printable(f"orlop: {text}" if reason is None else f"orlop: {text}: {reason}")
