"""Images in and out: OCI layouts and archives, archives of `docker save`, and unpacking."""

from orlop.oci.exporter import export_image
from orlop.oci.importer import import_image
from orlop.oci.platforms import Platform, parse_platform, this_platform
from orlop.oci.progress import Progress, Stage, Work
from orlop.oci.unpacker import is_runnable
from orlop.oci.unpacker import unpack_image as unpack

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
