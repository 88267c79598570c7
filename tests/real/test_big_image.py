"""An image of some size, made of Debian's own files: taken in bounded memory, and as containerd.

The files are those of the Go compiler, which the tests of this folder need anyway, and of the
time zones, which are full of links: 150 MB in more than 13,000 files.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from real.daemon import Daemon
from real.images import run
from real.trees import differences, tree

if TYPE_CHECKING:
    from real.images import RealImage

pytestmark = [
    pytest.mark.real("containerd", "ctr", "go", "skopeo", "umoci"),
    pytest.mark.root,
    pytest.mark.slow,
]

FOLDERS = [Path("/usr/share/go"), Path("/usr/share/zoneinfo")]
BYTES_MIN = 100_000_000
EXTRA_MEMORY_MAX_KIB = 16 * 1024
"""What the big image may take beyond a small one: nothing there grows with the image."""

PROGRAM = """
import json, re, sys
import orlop, orlop.oci
root, archive, step = sys.argv[1:]
with orlop.open(root) as database:
    ns = database.namespace("default")
    if step == "import":
        orlop.oci.import_image(ns, archive, unpack="overlayfs")
        freed = 0
    else:
        for image in ns.images.list():
            ns.images.delete(image.name)
        freed = database.gc.run().freed_bytes
# Not ru_maxrss, which counts in the process that this one was forked from.
[peak] = re.findall(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())
print(json.dumps({"peak": int(peak), "freed": freed}))
"""


@pytest.fixture(scope="module")
def big_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("big")
    layout, archive = folder / "layout", folder / "big.tar"
    run("umoci", "init", "--layout", layout)
    run("umoci", "new", "--image", f"{layout}:v1")
    for source in FOLDERS:
        run("umoci", "insert", "--image", f"{layout}:v1", source.resolve(), source)
    run("skopeo", "copy", "--insecure-policy", f"oci:{layout}:v1", f"oci-archive:{archive}:big:1")
    return archive


def measured(root: Path, archive: Path, step: str) -> dict[str, int]:
    """Run one step in a process of its own and return its peak of memory, in KiB, and more."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, root, archive, step],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


def test_memory_does_not_grow_with_the_image(
    big_archive: Path, image: RealImage, tmp_path: Path
) -> None:
    big, small = Daemon(tmp_path / "big"), Daemon(tmp_path / "small")
    peaks = {
        step: (
            measured(big.root, big_archive, step),
            measured(small.root, image.oci_archive, step),
        )
        for step in ("import", "collect")
    }

    for step, (much, little) in peaks.items():
        assert much["peak"] < little["peak"] + EXTRA_MEMORY_MAX_KIB, step
    assert peaks["collect"][0]["freed"] > BYTES_MIN
    assert big.blobs() == small.blobs() == set()
    assert big.snapshot_folders("overlayfs") == small.snapshot_folders("overlayfs") == set()


def test_it_is_unpacked_as_containerd_unpacks_it(big_archive: Path, tmp_path: Path) -> None:
    ours, theirs = Daemon(tmp_path / "orlop"), Daemon(tmp_path / "containerd")
    measured(ours.root, big_archive, "import")
    with theirs:
        theirs.ctr("images", "import", "--base-name", "big", big_archive)

    folder = "io.containerd.snapshotter.v1.overlayfs/snapshots"
    made, wanted = tree(ours.root / folder), tree(theirs.root / folder)
    newest = max(
        path.lstat().st_mtime for source in FOLDERS for path in source.resolve().rglob("*")
    )
    assert len(wanted) > 10_000
    assert differences(made, wanted, unpacked_after=newest + 1) == []
