"""References from the lease in force to the resources that a store creates or deletes.

References of other leases to the same resource stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.errors import NotFoundError
from orlop.records import LeaseResource
from orlop.schema import leases

if TYPE_CHECKING:
    from orlop.changes import Update
    from orlop.kv import Transaction
    from orlop.transactions import Scope


def check_lease(scope: Scope, transaction: Transaction) -> bool:
    """Return whether a lease is in force.

    Raises:
        NotFoundError: the lease in force does not exist (any more).
    """
    lease_id = scope.transactor.lease(scope.namespace)
    if lease_id is None:
        return False
    if not leases.exists(leases.find(transaction, scope.namespace), lease_id):
        raise _missing(scope, lease_id)
    return True


def attach(scope: Scope, update: Update, kind: str, resource_id: str) -> bool:
    """Add a resource to the lease in force; return whether there is such a lease.

    Raises:
        NotFoundError: the lease does not exist (any more).
    """
    lease_id = scope.transactor.lease(scope.namespace)
    if lease_id is None:
        return False
    bucket = leases.find(update.transaction, scope.namespace)
    if bucket is None or not leases.exists(bucket, lease_id):
        raise _missing(scope, lease_id)
    leases.add_resource(bucket, lease_id, LeaseResource(id=resource_id, type=kind))
    return True


def detach(scope: Scope, update: Update, kind: str, resource_id: str) -> None:
    """Remove a resource from the lease in force, if there is one."""
    lease_id = scope.transactor.lease(scope.namespace)
    if lease_id is not None:
        bucket = leases.find(update.transaction, scope.namespace)
        leases.remove_resource(bucket, lease_id, LeaseResource(id=resource_id, type=kind))


def _missing(scope: Scope, lease_id: str) -> NotFoundError:
    return NotFoundError(
        f'lease "{lease_id}" in namespace "{scope.namespace}" does not exist (any more): '
        "nothing can be held by it"
    )
