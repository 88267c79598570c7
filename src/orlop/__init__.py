"""containerd's metadata layer: the same meta.db, with a collector that can be questioned.

```python
import orlop

with orlop.open("/var/lib/orlop") as db:
    for image in db.namespace("default").images.list():
        print(image.name)
```
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
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

_MODULES: Final = {
    "Database": "orlop.database",
    "Namespace": "orlop.namespace",
    "OrlopError": "orlop.model.errors",
    "ProtoAny": "orlop.model.any",
    **dict.fromkeys(
        (
            "Container",
            "ContentInfo",
            "Descriptor",
            "Image",
            "IngestStatus",
            "Lease",
            "LeaseResource",
            "Mount",
            "Runtime",
            "Sandbox",
            "SnapshotInfo",
            "SnapshotKind",
            "SnapshotUsage",
        ),
        "orlop.model.records",
    ),
}
"""The modules that define the public names. Each is imported when a name of it is first used."""

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


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: start-up costs only what a program needs."""
    if name == "oci":
        return importlib.import_module("orlop.oci")
    if name == "open":
        found = importlib.import_module("orlop.database").open_database
    elif name == "accelerated":
        plain = importlib.import_module("orlop.kv.plain")
        found = not str(plain.__file__).endswith(".py")
    elif name in _MODULES:
        found = getattr(importlib.import_module(_MODULES[name]), name)
    else:
        raise AttributeError(f"module 'orlop' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the public names, also those that are not imported yet."""
    return sorted({*globals(), *__all__})
