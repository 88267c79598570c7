"""Copies of a directory as it is before each of the calls by which a process changes it.

A copy is what that process would have left, had it died there: nothing of what runs at an
ordinary end has run. One process gives all of them, instead of one for each death.
"""

from __future__ import annotations

import os
import shutil
import threading
from typing import TYPE_CHECKING, Any, Final

from safety.trusting import trust_copy
from storage.killing import CALLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_METAS: Final = 2 * 4096
"""How many bytes at the beginning of a database say what is in it."""


def states(scenario: Callable[[], None], root: Path, folder: Path) -> Iterator[Path]:
    """Run `scenario` in a fork; yield a copy of `root` before each call, and its final state.

    A copy may be changed, and is deleted afterwards. A copy that equals the one before the
    last call is left out.

    Args:
        scenario: what changes `root`.
        root: the directory.
        folder: where copies are made.
    """
    folder.mkdir()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _copy_before_each_call(root, folder)
            scenario()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "the scenario failed by itself"
    before: object = None
    for path in (*sorted(folder.iterdir(), key=lambda copy: int(copy.name)), root):
        now = _contents(path)
        if now != before:
            yield path
        before = now
        shutil.rmtree(path)


def _copy_before_each_call(root: Path, folder: Path) -> None:
    # One call at a time: a copy is of one moment, whatever other threads do.
    turn, count, is_copying = threading.RLock(), 0, False

    def copy() -> None:
        nonlocal count, is_copying
        is_copying = True
        shutil.copytree(root, folder / str(count), symlinks=True)
        trust_copy(folder / str(count))
        count += 1
        is_copying = False

    def wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            with turn:
                if not is_copying:  # else it is the copying that calls
                    copy()
                return original(*arguments, **options)

        return call

    for name in CALLS:
        setattr(os, name, wrapped(getattr(os, name)))


def _contents(root: Path) -> list[tuple[str, int, int, bytes]]:
    found = []
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        changed, data = status.st_mtime_ns, b""
        if path.suffix == ".db":
            # A page that no meta leads to yet changes nothing for who opens the file.
            changed, data = 0, path.read_bytes()[:_METAS]
        elif path.is_file() and not path.is_symlink():
            data = path.read_bytes()
        found.append((str(path.relative_to(root)), status.st_mode, changed, data))
    return found
