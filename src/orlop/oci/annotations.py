"""The annotations that give an image its name.

Source: OCI image spec, annotations.md; github.com/containerd/containerd, core/images.
"""

from __future__ import annotations

from typing import Final

IMAGE_NAME: Final = "io.containerd.image.name"
"""The full name of an image."""
REFERENCE_NAME: Final = "org.opencontainers.image.ref.name"
"""Usually the tag only; some tools put the full name here."""
