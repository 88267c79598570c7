"""Storage backends: content on disk, and the native and the overlay snapshotter.

Directories and files are containerd's (1.6 and main): either works on where the other stopped.
Whatever only reads also works on a read-only file system and where nothing exists yet, and
creates nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.lazy_names import lazy_names

if TYPE_CHECKING:
    from orlop.storage.content import LocalContent
    from orlop.storage.native import NativeSnapshotter
    from orlop.storage.overlay import OverlaySnapshotter
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "LocalContent": "orlop.storage.content:LocalContent",
            "NativeSnapshotter": "orlop.storage.native:NativeSnapshotter",
            "OverlaySnapshotter": "orlop.storage.overlay:OverlaySnapshotter",
        },
    )

__all__ = ["LocalContent", "NativeSnapshotter", "OverlaySnapshotter"]
