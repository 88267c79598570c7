"""An image of more layers than a process may have open files."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from oci.builder import Built, directory, entry, hardlink, layer

if TYPE_CHECKING:
    from pathlib import Path

LAYERS = 500
"""The kernel mounts no more of them over each other."""

UNPACK = """
import resource, sys
from orlop import oci
from orlop.database import open_database
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
with open_database(sys.argv[1]) as database:
    namespace = database.namespace("default")
    oci.import_image(namespace, sys.argv[2], unpack=sys.argv[3])
    print(sum(1 for _ in namespace.snapshots(sys.argv[3]).walk()))
"""


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize("snapshotter", ["overlayfs", "native"])
def test_layers_take_few_open_files(tmp_path: Path, snapshotter: str) -> None:
    """Each layer overlays all earlier ones in one directory, and links to a file of the first."""
    layers = [layer(directory("usr"), directory("usr/lib"), entry("usr/lib/first"))]
    layers += [
        layer(
            entry(f"usr/lib/{number}"),
            hardlink(f"usr/link{number}", "usr/lib/first"),
            entry(f"usr/lib/.wh.{number - 1}"),
        )
        for number in range(1, LAYERS)
    ]
    built = Built()
    built.image(layers)
    archive = built.archive(tmp_path / "archive.tar")
    done = subprocess.run(
        [sys.executable, "-c", UNPACK, tmp_path / "root", archive, snapshotter],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.stdout.strip() == str(LAYERS), done.stderr[-3000:]
