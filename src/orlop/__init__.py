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
from typing import TYPE_CHECKING, Final

from orlop.database import Database
from orlop.database import open_database as open  # noqa: A004 -- read as orlop.open
from orlop.kv import plain as _plain
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

if TYPE_CHECKING:
    from types import ModuleType

    from orlop import oci

__version__ = "0.1.0"

accelerated: Final = not str(_plain.__file__).endswith(".py")
"""Whether the compiled modules are in use. They do the same, in less time."""

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


def __getattr__(name: str) -> ModuleType:
    """Import `orlop.oci` when it is first named: who only asks questions does not wait for it."""
    if name == "oci":
        return importlib.import_module("orlop.oci")
    raise AttributeError(f"module 'orlop' has no attribute {name!r}")
