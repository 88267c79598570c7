"""Images in and out: OCI layouts and archives, archives of `docker save`, and unpacking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.lazy_names import lazy_names

if TYPE_CHECKING:
    from orlop.oci.exporter import export_image
    from orlop.oci.importer import import_image
    from orlop.oci.platforms import Platform, parse_platform, this_platform
    from orlop.oci.progress import Progress, Stage, Work
    from orlop.oci.unpacker import is_runnable
    from orlop.oci.unpacker import unpack_image as unpack
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "Platform": "orlop.oci.platforms:Platform",
            "Progress": "orlop.oci.progress:Progress",
            "Stage": "orlop.oci.progress:Stage",
            "Work": "orlop.oci.progress:Work",
            "export_image": "orlop.oci.exporter:export_image",
            "import_image": "orlop.oci.importer:import_image",
            "is_runnable": "orlop.oci.unpacker:is_runnable",
            "parse_platform": "orlop.oci.platforms:parse_platform",
            "this_platform": "orlop.oci.platforms:this_platform",
            "unpack": "orlop.oci.unpacker:unpack_image",
        },
    )

__all__ = [
    "Platform",
    "Progress",
    "Stage",
    "Work",
    "export_image",
    "import_image",
    "is_runnable",
    "parse_platform",
    "this_platform",
    "unpack",
]
