"""containerd's metadata layer: the same meta.db, with a collector that can be questioned.

```python
import orlop

with orlop.open("/var/lib/orlop") as db:
    for image in db.namespace("default").images.list():
        print(image.name)
```
"""

from __future__ import annotations

from orlop.lazy_names import lazy_names

TYPE_CHECKING = False  # not from typing, which takes long to import before Ctrl-C has a handler
if TYPE_CHECKING:
    from typing import Any

    from orlop import bolt, explain, gc, oci, testing
    from orlop.clock import Clock
    from orlop.database import Database
    from orlop.database import open_database as open  # noqa: A004 -- read as orlop.open
    from orlop.errors import (
        AbortedError,
        AlreadyExistsError,
        ConflictError,
        DataLossError,
        FailedPreconditionError,
        InternalError,
        InvalidArgumentError,
        LostDatabaseError,
        NotFoundError,
        NotModifiedError,
        OrlopError,
        OutOfRangeError,
        PermissionDeniedError,
        ResourceExhaustedError,
        UnauthenticatedError,
        UnavailableError,
        UnimplementedError,
        UnknownError,
    )
    from orlop.events import Event
    from orlop.namespace import Namespace
    from orlop.records import (
        Container,
        ContentInfo,
        Descriptor,
        Image,
        IngestStatus,
        Lease,
        LeaseResource,
        Mount,
        ProtoAny,
        Runtime,
        Sandbox,
        SnapshotInfo,
        SnapshotKind,
        SnapshotUsage,
    )

    accelerated: bool
    """Whether the compiled modules are in use. They do the same, in less time."""

__version__ = "0.1.0"

__all__ = [
    "AbortedError",
    "AlreadyExistsError",
    "Clock",
    "ConflictError",
    "Container",
    "ContentInfo",
    "DataLossError",
    "Database",
    "Descriptor",
    "Event",
    "FailedPreconditionError",
    "Image",
    "IngestStatus",
    "InternalError",
    "InvalidArgumentError",
    "Lease",
    "LeaseResource",
    "LostDatabaseError",
    "Mount",
    "Namespace",
    "NotFoundError",
    "NotModifiedError",
    "OrlopError",
    "OutOfRangeError",
    "PermissionDeniedError",
    "ProtoAny",
    "ResourceExhaustedError",
    "Runtime",
    "Sandbox",
    "SnapshotInfo",
    "SnapshotKind",
    "SnapshotUsage",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "UnknownError",
    "accelerated",
    "bolt",
    "explain",
    "gc",
    "oci",
    "open",
    "testing",
]


_lazily = lazy_names(
    __name__,
    {
        "Clock": "orlop.clock:Clock",
        "Database": "orlop.database:Database",
        "Event": "orlop.events:Event",
        "Namespace": "orlop.namespace:Namespace",
        "AbortedError": "orlop.errors:AbortedError",
        "AlreadyExistsError": "orlop.errors:AlreadyExistsError",
        "ConflictError": "orlop.errors:ConflictError",
        "DataLossError": "orlop.errors:DataLossError",
        "FailedPreconditionError": "orlop.errors:FailedPreconditionError",
        "InternalError": "orlop.errors:InternalError",
        "InvalidArgumentError": "orlop.errors:InvalidArgumentError",
        "LostDatabaseError": "orlop.errors:LostDatabaseError",
        "NotFoundError": "orlop.errors:NotFoundError",
        "NotModifiedError": "orlop.errors:NotModifiedError",
        "OrlopError": "orlop.errors:OrlopError",
        "OutOfRangeError": "orlop.errors:OutOfRangeError",
        "PermissionDeniedError": "orlop.errors:PermissionDeniedError",
        "ResourceExhaustedError": "orlop.errors:ResourceExhaustedError",
        "UnauthenticatedError": "orlop.errors:UnauthenticatedError",
        "UnavailableError": "orlop.errors:UnavailableError",
        "UnimplementedError": "orlop.errors:UnimplementedError",
        "UnknownError": "orlop.errors:UnknownError",
        "ProtoAny": "orlop.records:ProtoAny",
        "Container": "orlop.records:Container",
        "ContentInfo": "orlop.records:ContentInfo",
        "Descriptor": "orlop.records:Descriptor",
        "Image": "orlop.records:Image",
        "IngestStatus": "orlop.records:IngestStatus",
        "Lease": "orlop.records:Lease",
        "LeaseResource": "orlop.records:LeaseResource",
        "Mount": "orlop.records:Mount",
        "Runtime": "orlop.records:Runtime",
        "Sandbox": "orlop.records:Sandbox",
        "SnapshotInfo": "orlop.records:SnapshotInfo",
        "SnapshotKind": "orlop.records:SnapshotKind",
        "SnapshotUsage": "orlop.records:SnapshotUsage",
        "bolt": "orlop.bolt",
        "explain": "orlop.explain",
        "gc": "orlop.gc",
        "oci": "orlop.oci",
        "testing": "orlop.testing",
        "open": "orlop.database:open_database",
    },
)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that start-up loads few modules."""
    if name == "accelerated":
        from orlop.kv import plain  # noqa: PLC0415 (one of the compiled modules)

        return not str(plain.__file__).endswith(".py")
    return _lazily(name)


def __dir__() -> list[str]:
    """Return the public names, also those that are not imported yet."""
    return sorted({*globals(), *__all__})
