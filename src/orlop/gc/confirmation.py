"""Confirmation: large deletions while the metadata is in doubt, and large releases.

An older copy of a database looks as if much were garbage, because leases and images are missing
from it. And data that was set aside may be all that is left of a lost version, even long after
the doubt is resolved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from orlop.errors import FailedPreconditionError
from orlop.gc.dirty_backends import shown
from orlop.gc.inventory import list_backends
from orlop.gc.node import ORPHAN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orlop.gc.context import CollectionContext
    from orlop.gc.plan import Plan

SHARE_MAX: Final = 0.2
"""How much of the records, of the data in a backend or of its bytes may go unconfirmed."""


class ReleaseShare(NamedTuple):
    """The share of one backend's data that a release would delete.

    By number or by bytes: one large blob may be most of a backend, and so may be many manifests.
    """

    backend: str
    released: int
    total: int
    released_bytes: int
    total_bytes: int

    @property
    def is_large(self) -> bool:
        """Whether it is more than may go unconfirmed."""
        shares = (_share(self.released, self.total), _share(self.released_bytes, self.total_bytes))
        return max(shares) > SHARE_MAX

    def describe(self) -> str:
        """Return the share as text: number and bytes of the backend's data."""
        return (
            f"{self.released} of {self.total} in {shown(self.backend)} "
            f"({self.released_bytes} of {self.total_bytes} bytes)"
        )


def refuse_large_removal(plan: Plan) -> None:
    """Refuse to remove a large share of the records of a store that is in doubt.

    Raises:
        FailedPreconditionError: it is more than may go unconfirmed, of the records or of the data.
    """
    if plan.doubt is None:
        return
    going = [one for one in plan.nodes if one.type != ORPHAN]
    records = _share(len(going), len(going) + plan.kept)
    data = _share(sum(one.bytes + one.set_aside_bytes for one in going), plan.stored_bytes)
    if max(records, data) > SHARE_MAX:
        raise FailedPreconditionError(
            f"this would remove {records:.0%} of the records and {data:.0%} of the data, although "
            f"{plan.doubt}",
            hint="look at the plan (orlop gc plan); if all of that may go, confirm it "
            "(orlop gc run --yes)",
        )


def refuse_large_release(context: CollectionContext, plan: Plan) -> None:
    """Refuse to release set-aside data that is a large share of a backend.

    Args:
        context: the database.
        plan: what would be removed.

    Raises:
        FailedPreconditionError: it is more than may go unconfirmed, or how much that is is not
            known.
    """
    stored = list_backends(context)
    shares = []
    for name, inventory in stored.inventories.items():
        going = [one for one in plan.set_aside if one.snapshotter == name]
        if going:
            data = list(inventory.data())
            sizes = sum(map(stored.size, going)), sum(map(stored.size, data))
            shares.append(ReleaseShare(name, len(going), len(data), *sizes))
    reasons = [*_large(shares), *(f"{name}: {why}" for name, why in stored.failures.items())]
    if reasons:
        total = ", ".join(one.describe() for one in shares) or "what is not known"
        raise FailedPreconditionError(
            f"this would delete for good, of the data that is set aside: {total}. That needs to be "
            f"confirmed: {'; '.join(reasons)}",
            hint="look at it (orlop gc quarantine, orlop gc plan); if all of that may go, confirm "
            "it (orlop gc run --release --yes)",
        )


def _large(shares: Iterable[ReleaseShare]) -> Iterator[str]:
    for one in shares:
        if one.is_large:
            yield f"more than a fifth of {shown(one.backend)} would go"


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
