"""The retry loop of reads that a writer in another process has disturbed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

from orlop.kv.errors import FileBusyError, StaleReadError

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

ATTEMPTS: Final = 8
FIRST_PAUSE_SECONDS: Final = 0.005


def read_again(attempt: Callable[[], _T], *, attempts: int = ATTEMPTS) -> _T:
    """Return the result of `attempt`, which is called again while it raises `StaleReadError`.

    Each pause is twice as long as the one before. An engine that has been disturbed several
    times reads in a way that cannot be disturbed, or raises `FileBusyError`, which is final.

    Args:
        attempt: reads; it must change nothing.
        attempts: how often it is called, at most.

    Raises:
        StaleReadError: it was disturbed each time.
        FileBusyError: to read again at once is of no use.
    """
    pause = FIRST_PAUSE_SECONDS
    for _ in range(attempts - 1):
        try:
            return attempt()
        except FileBusyError:
            raise
        except StaleReadError:
            time.sleep(pause)
        pause *= 2
    return attempt()
