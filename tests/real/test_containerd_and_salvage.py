"""The daemon ignores the buckets that salvage adds beside containerd's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orlop.bolt import open_engine
from orlop.maintenance.salvage.run import LOST_AND_FOUND

if TYPE_CHECKING:
    from pathlib import Path

    from orlop.kv import Tree
    from real.daemon import Daemon
    from real.images import RealImage

pytestmark = [
    pytest.mark.real("containerd", "ctr", "umoci", "skopeo", "busybox"),
    pytest.mark.root,
]


def test_the_daemon_leaves_what_was_found_alone(daemon: Daemon, image: RealImage) -> None:
    with daemon:
        daemon.ctr("images", "import", image.oci_archive)
        images, snapshots = daemon.rows("images", "ls"), daemon.rows("snapshots", "ls")
    engine = open_engine(daemon.meta_db, timeout=10)
    with engine.begin(writable=True) as transaction:
        found = transaction.root.create_bucket(LOST_AND_FOUND).create_bucket(b"17")
        # What a page of labels, or one of image records, looks like.
        found.put(b"containerd.io/gc.root", b"2021-01-01")
        found.create_bucket(b"example.com/lost:1").create_bucket(b"target").put(b"digest", b"x")
    engine.close()
    before = lost_and_found(daemon.meta_db)

    with daemon:
        assert daemon.rows("images", "ls") == images
        assert daemon.rows("snapshots", "ls") == snapshots
        daemon.ctr("images", "rm", image.name)
        daemon.collect()
        assert daemon.blobs() == set(), "what lies there holds nothing"
        assert daemon.complaints() == []

    assert lost_and_found(daemon.meta_db) == before


def lost_and_found(path: Path) -> Tree | None:
    engine = open_engine(path, read_only=True)
    with engine.begin() as transaction:
        found = transaction.root.tree(LOST_AND_FOUND)
    engine.close()
    return found
