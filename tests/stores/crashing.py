"""Crashes within one process: the disk is kept as it was, and nothing more happens."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from safety.trusting import trust_copy
from storage.killing import CALLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Crash(BaseException):
    """The process ends here."""


@contextmanager
def crashing(root: Path, target: Path, death: int | None) -> Iterator[None]:
    """Copy `root` to `target` before that call that changes the disk, and raise `Crash`."""
    originals = {name: getattr(os, name) for name in CALLS}
    remaining = -1 if death is None else death

    def restore() -> None:
        for name, original in originals.items():
            setattr(os, name, original)

    def wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal remaining
            remaining -= 1
            if remaining == -1:
                restore()
                shutil.copytree(root, target, symlinks=True)
                trust_copy(target)
                raise Crash
            return original(*arguments, **options)

        return call

    if death is not None:
        for name, original in originals.items():
            setattr(os, name, wrapped(original))
    try:
        yield
    finally:
        restore()
    if target.exists():
        raise Crash  # somebody caught it on the way
