"""The process that an object belongs to: a forked child has a copy of it that it may not use."""

from __future__ import annotations

import os


class HomeProcess:
    """The process that made an object."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        """Note the process that runs this."""
        self.number = os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether this is that process, and no fork of it."""
        return os.getpid() == self.number

    @property
    def refusal(self) -> str:
        """The reason why a fork of that process may not use the object."""
        return (
            f"this handle was opened by process {self.number}, of which process {os.getpid()} is a "
            "fork: open the database again in this process"
        )
