"""Unpacks as an ordinary user, after root has loaded the interpreter's files.

    python -m oci.ordinary_user layers FOLDER LAYER...
    python -m oci.ordinary_user image FOLDER ARCHIVE SNAPSHOTTER

The first makes FOLDER/native/N, a copy of the one before with layer N applied, and
FOLDER/overlay/N. The second imports an image into FOLDER, prints the modes of what was unpacked,
deletes the image, and collects.
"""

from __future__ import annotations

import io
import json
import os
import stat
import sys
import tempfile
from pathlib import Path

from oci.layers import apply_overlay
from orlop import oci
from orlop.database import open_database
from orlop.oci.apply import apply_layer
from orlop.oci.safe_path import SnapshotTree
from orlop.storage.copying import copy_tree
from orlop.storage.usage import disk_usage

USER = 65534
"""The user and group `nobody`."""


def apply_native(folder: Path, layers: list[bytes]) -> None:
    """Apply each layer to a copy of the directory with those before."""
    folder.mkdir()
    for number, data in enumerate(layers):
        (folder / str(number)).mkdir()
        if number:
            copy_tree(folder / str(number - 1), folder / str(number))
        with SnapshotTree(folder / str(number)) as tree:
            apply_layer(io.BytesIO(data), tree)
        disk_usage(folder / str(number))


def apply_all(folder: Path, names: list[str]) -> None:
    """Apply the layers in files, natively and as an overlay."""
    layers = [Path(name).read_bytes() for name in names]
    apply_native(folder / "native", layers)
    (folder / "overlay").mkdir()
    apply_overlay(folder / "overlay", *layers)


def import_and_collect(folder: Path, archive: str, snapshotter: str) -> dict[str, int]:
    """Import an image, delete it and collect; return the modes of the unpacked files."""
    with open_database(folder) as database:
        namespace = database.namespace("default")
        (image,) = oci.import_image(namespace, archive, unpack=snapshotter)
        modes = {
            str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode)
            for path in folder.glob("*/snapshots/**/*")
        }
        namespace.images.delete(image.name)
        database.gc.run()
    return modes


def main() -> None:
    """Become an ordinary user, and run the command of the arguments."""
    command, folder, *arguments = sys.argv[1:]
    if command == "image":
        # The interpreter may lie where only root reads it: so all of it is read before.
        with tempfile.TemporaryDirectory() as rehearsal:
            import_and_collect(Path(rehearsal), *arguments)
    os.setgroups([])
    os.setgid(USER)
    os.setuid(USER)
    if command == "layers":
        apply_all(Path(folder), arguments)
    else:
        json.dump(import_and_collect(Path(folder), *arguments), sys.stdout)


if __name__ == "__main__":
    main()
