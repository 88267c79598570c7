"""Questions over a database, read-only: paths, referrers, root nodes, owners of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.lazy_names import lazy_names

if TYPE_CHECKING:
    from orlop.explain.owners import Owner, owner
    from orlop.explain.questions import Answer, referrers, roots, why
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "Owner": "orlop.explain.owners:Owner",
            "Answer": "orlop.explain.questions:Answer",
            "owner": "orlop.explain.owners:owner",
            "referrers": "orlop.explain.questions:referrers",
            "roots": "orlop.explain.questions:roots",
            "why": "orlop.explain.questions:why",
        },
    )

__all__ = ["Answer", "Owner", "owner", "referrers", "roots", "why"]
