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

    from orlop import oci
    from orlop.database import Database
    from orlop.database import open_database as open  # noqa: A004 -- read as orlop.open
    from orlop.model.any import ProtoAny
    from orlop.model.errors import OrlopError
    from orlop.model.records import (
        Container,
        ContentInfo,
        Descriptor,
        Image,
        IngestStatus,
        Lease,
        LeaseResource,
        Mount,
        Runtime,
        Sandbox,
        SnapshotInfo,
        SnapshotKind,
        SnapshotUsage,
    )
    from orlop.namespace import Namespace

    accelerated: bool
    """Whether the compiled modules are in use. They do the same, in less time."""

__version__ = "0.1.0"

__all__ = [
    "Container",
    "ContentInfo",
    "Database",
    "Descriptor",
    "Image",
    "IngestStatus",
    "Lease",
    "LeaseResource",
    "Mount",
    "Namespace",
    "OrlopError",
    "ProtoAny",
    "Runtime",
    "Sandbox",
    "SnapshotInfo",
    "SnapshotKind",
    "SnapshotUsage",
    "accelerated",
    "oci",
    "open",
]


_lazily = lazy_names(
    __name__,
    {
        "Database": "orlop.database:Database",
        "Namespace": "orlop.namespace:Namespace",
        "OrlopError": "orlop.model.errors:OrlopError",
        "ProtoAny": "orlop.model.any:ProtoAny",
        "Container": "orlop.model.records:Container",
        "ContentInfo": "orlop.model.records:ContentInfo",
        "Descriptor": "orlop.model.records:Descriptor",
        "Image": "orlop.model.records:Image",
        "IngestStatus": "orlop.model.records:IngestStatus",
        "Lease": "orlop.model.records:Lease",
        "LeaseResource": "orlop.model.records:LeaseResource",
        "Mount": "orlop.model.records:Mount",
        "Runtime": "orlop.model.records:Runtime",
        "Sandbox": "orlop.model.records:Sandbox",
        "SnapshotInfo": "orlop.model.records:SnapshotInfo",
        "SnapshotKind": "orlop.model.records:SnapshotKind",
        "SnapshotUsage": "orlop.model.records:SnapshotUsage",
        "oci": "orlop.oci",
        "open": "orlop.database:open_database",
    },
)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: start-up costs only what a program needs."""
    if name == "accelerated":
        from orlop.kv import plain  # noqa: PLC0415 (one of the compiled modules)

        return not str(plain.__file__).endswith(".py")
    return _lazily(name)


def __dir__() -> list[str]:
    """Return the public names, also those that are not imported yet."""
    return sorted({*globals(), *__all__})
