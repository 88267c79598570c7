"""Compaction with the checker's word on the new file before it gets its name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from orlop.bolt import compaction, read_file_state
from orlop.inspect.bolt.check import check_file
from orlop.kv.errors import CorruptError
from orlop.model.errors import FailedPreconditionError
from orlop.write_sessions import proof_carried_over

if TYPE_CHECKING:
    from pathlib import Path

    from orlop.bolt.compaction import Compacted


def compact(path: Path, *, output: Path | None = None, timeout: float | None = 0) -> Compacted:
    """Write a database anew without free pages; see `orlop.bolt.compaction.compact`.

    Raises:
        FailedPreconditionError: the file has another name, which would keep the old contents.
    """
    if output is None and path.stat().st_nlink > 1:
        raise FailedPreconditionError(
            f"{path} has {path.stat().st_nlink} names (hard links): compacted, this name would be "
            "another file than the others",
            hint="remove them, or write to a new file with --output (orlop db compact --output)",
        )
    return compaction.compact(
        path,
        output=output,
        timeout=timeout,
        inspect=_require_sound,
        under_lock=partial(proof_carried_over, read_state=read_file_state),
    )


def _require_sound(path: Path) -> None:
    faults = check_file(path).faults
    if faults:
        raise CorruptError(f"the new file is not sound ({faults[0].message}); nothing was changed")
