"""What keeps the data: content on disk, and the native and the overlay snapshotter.

Directories and files are containerd's (1.6 and main): either works on where the other stopped.
Whatever only reads also works on a read-only file system and where nothing exists yet, and
creates nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.lazy_names import lazy_names

if TYPE_CHECKING:
    from orlop.backends.content import LocalContent
    from orlop.backends.native import NativeSnapshotter
    from orlop.backends.overlay import OverlaySnapshotter
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "LocalContent": "orlop.backends.content:LocalContent",
            "NativeSnapshotter": "orlop.backends.native:NativeSnapshotter",
            "OverlaySnapshotter": "orlop.backends.overlay:OverlaySnapshotter",
        },
    )

__all__ = ["LocalContent", "NativeSnapshotter", "OverlaySnapshotter"]
