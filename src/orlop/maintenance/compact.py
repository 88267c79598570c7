"""Compaction with the checker's word on the new file before it gets its name."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from orlop.bolt import read_file_state
from orlop.bolt.interrupted_compaction import count_names
from orlop.bolt.tools import compaction
from orlop.bolt.tools.check import check_file
from orlop.errors import FailedPreconditionError
from orlop.kv.errors import CorruptError
from orlop.safety.root_sessions import proof_carried_over

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orlop.bolt.tools.compaction import Compacted, SwapFollower


def compact(path: Path, *, output: Path | None = None, timeout: float | None = 0) -> Compacted:
    """Write a database anew without free pages; see `orlop.bolt.tools.compaction.compact`.

    Raises:
        FailedPreconditionError: the file has another name, which would keep the old contents.
    """

    @contextmanager
    def under_lock(locked: Path) -> Iterator[SwapFollower]:
        if output is None:
            _require_one_name(locked)
        with proof_carried_over(locked, read_file_state) as follower:
            yield follower

    return compaction.compact(
        path,
        output=output,
        timeout=timeout,
        inspect=_require_sound,
        under_lock=under_lock,
    )


def _require_one_name(path: Path) -> None:
    names = count_names(path)
    if names > 1:
        raise FailedPreconditionError(
            f"{path} has {names} names (hard links): compacted, this name would be another file "
            "than the others",
            hint="remove them, or write to a new file with --output (orlop db compact --output)",
        )


def _require_sound(path: Path) -> None:
    faults = check_file(path).faults
    if faults:
        raise CorruptError(f"the new file is not sound ({faults[0].message}); nothing was changed")
