"""The points at which compiled code lets other threads run.

The interpreter looks for signals, and for threads that wait for their turn, whenever a function
of Python begins; in compiled code it looks at nothing. So this module is never compiled.
"""

from __future__ import annotations


def yield_gil() -> None:
    """Yield the GIL to other threads and signal handlers, if they wait for it.

    A compiled loop that may go on for long calls this, unless each of its rounds asks the
    system or makes a named tuple anyway.
    """
