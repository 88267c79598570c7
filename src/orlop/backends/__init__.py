"""What keeps the data: content on disk, and the native and the overlay snapshotter.

Directories and files are containerd's (1.6 and main): either works on where the other stopped.
Whatever only reads also works on a read-only file system and where nothing exists yet, and
creates nothing.
"""

from orlop.backends.content import LocalContent
from orlop.backends.native import NativeSnapshotter
from orlop.backends.overlay import OverlaySnapshotter

__all__ = ["LocalContent", "NativeSnapshotter", "OverlaySnapshotter"]
