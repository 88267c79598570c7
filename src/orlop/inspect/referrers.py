"""The referrers of a record, whether their references hold it or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.gc.explain.links import links
from orlop.inspect.references import resolve

if TYPE_CHECKING:
    from whenever import Instant

    from orlop.database import Database
    from orlop.gc.explain.links import Link


def referrers(
    database: Database,
    reference: str,
    *,
    namespace: str | None = None,
    now: Instant | None = None,
) -> list[Link]:
    """Return the labels and fields that refer to a record.

    Args:
        database: it may be open for reading only.
        reference: a name, a beginning of a digest or an id, a path; see `references`.
        namespace: where to look; `None`: everywhere.
        now: as of when; `None`: the present.

    Raises:
        NotFoundError: the reference means nothing.
        InvalidArgumentError: it may mean several things.
        UnavailableError: a file changes all the time.
        DataLossError: a file is damaged.
    """
    marked = database.gc.mark(now=now)
    meant = set(resolve(database, marked.graph, reference, namespace=namespace))
    return [link for link in links(marked) if link.target in meant]
