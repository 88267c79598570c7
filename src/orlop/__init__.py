"""containerd's metadata layer: the same meta.db, with a collector that can be questioned."""

__version__ = "0.1.0"
