"""The hold: where the metadata is in doubt, much at once is removed only when confirmed.

A database that was set back looks like one of which much is garbage: leases and images that
are missing hold nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orlop.gc.node import ORPHAN
from orlop.model.errors import FailedPreconditionError

if TYPE_CHECKING:
    from orlop.gc.plan import Plan

SHARE: Final = 0.2
"""How much of the records, or of the bytes, may go without being confirmed."""


def refuse_large(plan: Plan, *, release: bool, share: float = SHARE) -> None:
    """Refuse to remove a large share of a store that is in doubt.

    Args:
        plan: what would be removed.
        release: whether data is deleted that no metadata names.
        share: what may go, of the records and of the bytes.

    Raises:
        FailedPreconditionError: it is more than that.
    """
    if plan.doubt is None:
        return
    removed = [one for one in plan.nodes if one.type != ORPHAN]
    going = [one for one in plan.nodes if release or one.type != ORPHAN]
    records = _share(len(removed), len(removed) + plan.kept)
    data = _share(sum(one.bytes + one.set_aside_bytes for one in going), plan.stored_bytes)
    if max(records, data) > share:
        raise FailedPreconditionError(
            f"this would remove {records:.0%} of the records and {data:.0%} of the data, although "
            f"{plan.doubt}",
            hint="look at the plan (orlop gc plan); if all of that may go, confirm it "
            f"(orlop gc run{' --release' * release} --yes)",
        )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
