"""One call of the command line: options that decide the form of its errors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Invocation:
    """The state of a call of the command line while it runs.

    Attributes:
        as_json: whether answers and errors are JSON.
        is_writing: whether it has opened a root for writing.
        leftovers_hint: how what it leaves half done is removed; empty where it leaves nothing.
    """

    as_json: bool = False
    is_writing: bool = False
    leftovers_hint: str = "orlop gc run removes what was half done"
