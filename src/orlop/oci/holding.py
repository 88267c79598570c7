"""The lease that holds imported blobs and snapshots until an image does.

Source: behaviour of containerd's client (WithLease).
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.namespace import Namespace

_LASTS = timedelta(hours=24)


@contextmanager
def held(namespace: Namespace) -> Iterator[str]:
    """Let a lease be in force while the block runs, and yield its id.

    The one that is in force already is kept; else one is made, and deleted at the end.
    """
    current = namespace.leases.scope.transactor.lease(namespace.name)
    if current is not None:
        yield current
        return
    with namespace.lease(expires=_LASTS) as lease:
        yield lease.id
