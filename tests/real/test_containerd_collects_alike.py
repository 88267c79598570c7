"""Orlop on a root that Debian's containerd filled: it lists, plans and collects as the daemon."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

import orlop
from orlop import SnapshotKind
from real.daemon import Daemon
from real.players import check

if TYPE_CHECKING:
    from pathlib import Path

    from oracle.client import Oracle
    from orlop import Database
    from real.images import RealImage

pytestmark = [
    pytest.mark.real("bbolt", "busybox", "containerd", "ctr", "go", "runc", "skopeo", "umoci"),
    pytest.mark.root,
]

NAMESPACES = ["default", "second"]
SNAPSHOTTERS = ["native", "overlayfs"]
KINDS = {
    SnapshotKind.ACTIVE: "Active",
    SnapshotKind.COMMITTED: "Committed",
    SnapshotKind.VIEW: "View",
}
CHILDREN = b"children".hex()

METASTORES = [f"io.containerd.snapshotter.v1.{name}/metadata.db" for name in SNAPSHOTTERS]

Listing = dict[str, set[tuple[object, ...]]]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, image: RealImage) -> Path:
    """Return a root with much that is held and much that is not; copy it before use."""
    daemon = Daemon(tmp_path_factory.mktemp("filled") / "root")
    with daemon:
        for name in NAMESPACES:
            fill_namespace(daemon, image, name)
        # One namespace keeps its image, the other holds a part of it by a container alone.
        daemon.ctr("images", "rm", "example.com/tagged:1", image.name, namespace="second")
    assert daemon.complaints() == []
    return daemon.root


def fill_namespace(daemon: Daemon, image: RealImage, namespace: str) -> None:
    def ctr(*arguments: str | Path, stdin: bytes = b"") -> str:
        return daemon.ctr(*arguments, namespace=namespace, stdin=stdin)

    ctr("namespaces", "label", namespace, f"owner={namespace}")
    ctr("images", "import", "--snapshotter", "overlayfs", image.oci_archive)
    ctr("images", "import", "--snapshotter", "native", "--base-name", "x", image.docker_archive)
    ctr("images", "tag", image.name, "example.com/tagged:1")
    ctr("images", "label", image.name, "team=a")
    ctr("containers", "create", image.name, "kept", "/bin/cat", "/etc/release")
    ctr("containers", "create", image.name, "removed")
    ctr("containers", "rm", "--keep-snapshot", "removed")
    for ref in ("loose", "rooted"):
        ctr("content", "ingest", ref, stdin=f"{ref} in {namespace}".encode())
    rooted = f"sha256:{hashlib.sha256(f'rooted in {namespace}'.encode()).hexdigest()}"
    ctr("content", "label", rooted, "containerd.io/gc.root=now")
    for snapshotter in SNAPSHOTTERS:
        snapshots = ("snapshots", "--snapshotter", snapshotter)
        for key in ("loose", "rooted"):
            # It makes a root of what it prepares.
            ctr(*snapshots, "prepare", key)
        ctr(*snapshots, "label", "loose", "containerd.io/gc.root=")
    ctr("leases", "create", "--id", "lasting", "--expires", "24h", "why=test")


@pytest.fixture
def ours(filled: Path, tmp_path: Path) -> Daemon:
    """Return a copy of the filled root, for Orlop to collect."""
    return copy_of(filled, tmp_path / "ours")


@pytest.fixture
def theirs(filled: Path, tmp_path: Path) -> Daemon:
    """Return a copy of the filled root, for the daemon to collect."""
    return copy_of(filled, tmp_path / "theirs")


def copy_of(root: Path, copy: Path) -> Daemon:
    # With owners, devices and extended attributes, which an overlay consists of.
    subprocess.run(["cp", "--archive", root, copy], check=True)
    return Daemon(copy)


def said_by_ctr(daemon: Daemon) -> Listing:
    found: Listing = {}
    for ns in NAMESPACES:
        found[f"{ns} images"] = {
            (row[0], row[2]) for row in daemon.rows("images", "ls", namespace=ns)
        }
        found[f"{ns} containers"] = {
            tuple(row) for row in daemon.rows("containers", "ls", namespace=ns)
        }
        found[f"{ns} content"] = {
            (row[0], labels_of(row[-1])) for row in daemon.rows("content", "ls", namespace=ns)
        }
        found[f"{ns} leases"] = {
            (row[0], labels_of(row[-1])) for row in daemon.rows("leases", "ls", namespace=ns)
        }
        for snapshotter in SNAPSHOTTERS:
            rows = daemon.rows("snapshots", "--snapshotter", snapshotter, "ls", namespace=ns)
            found[f"{ns} {snapshotter}"] = {
                (row[0], row[1:-1][0] if row[1:-1] else "", row[-1]) for row in rows if row
            }
    return found


def snapshot_of(row: list[str]) -> tuple[str, str, str]:
    key, *parent, kind = row
    return key, "".join(parent), kind


def labels_of(text: str) -> frozenset[str]:
    return frozenset(text.split(",")) - {"-"}


def pairs(labels: Any) -> frozenset[str]:
    return frozenset(f"{key}={value}" for key, value in labels.items())


def said_by_orlop(database: Database) -> Listing:
    found: Listing = {}
    for name in NAMESPACES:
        ns = database.namespace(name)
        found[f"{name} images"] = {(one.name, one.target.digest) for one in ns.images.list()}
        found[f"{name} containers"] = {
            (one.id, one.image, one.runtime.name) for one in ns.containers.list()
        }
        found[f"{name} content"] = {(one.digest, pairs(one.labels)) for one in ns.content.walk()}
        found[f"{name} leases"] = {(one.id, pairs(one.labels)) for one in ns.leases.list()}
        for snapshotter in SNAPSHOTTERS:
            found[f"{name} {snapshotter}"] = {
                (one.name, one.parent, KINDS[one.kind]) for one in ns.snapshots(snapshotter).walk()
            }
    return found


def on_disk(daemon: Daemon) -> dict[str, set[str]]:
    return {
        "blobs": daemon.blobs(),
        **{snapshotter: daemon.snapshot_folders(snapshotter) for snapshotter in SNAPSHOTTERS},
    }


def test_it_lists_what_ctr_lists(ours: Daemon) -> None:
    with ours:
        expected = said_by_ctr(ours)

    with orlop.open(ours.root, read_only=True) as database:
        assert database.version == 3
        assert database.namespaces.list() == NAMESPACES
        assert database.namespaces.labels("second") == {"owner": "second"}
        assert said_by_orlop(database) == expected


def test_it_plans_what_the_daemon_removes(ours: Daemon, theirs: Daemon) -> None:
    with orlop.open(ours.root, read_only=True) as database:
        before = said_by_orlop(database)
        plan = database.gc.plan()
        planned = {(node.type, node.namespace, node.key) for node in plan.nodes}
        # The daemon wrote it last: nobody but a person can say that nothing of it was lost.
        freed = plan.set_aside_bytes
        assert plan.freed_bytes == 0
        assert "another program wrote it" in str(plan.doubt)
        explained = [plan.explain(node) for node in plan.nodes]
    with theirs:
        theirs.collect()
        after = said_by_ctr(theirs)

    removed: set[tuple[str, str, str]] = set()
    for what, listing in before.items():
        ns, kind = what.split()
        gone = {str(row[0]) for row in listing} - {str(row[0]) for row in after[what]}
        if kind in SNAPSHOTTERS:
            removed |= {("snapshot", ns, f"{kind}/{key}") for key in gone}
        else:
            removed |= {(kind.removesuffix("s"), ns, key) for key in gone}
    assert planned == removed
    assert {kind for kind, _, _ in planned} == {"content", "snapshot"}
    assert freed > 0
    assert all(explained)


def without_stale_links(snapshots: dict[str, Any]) -> dict[str, Any]:
    """Return the dump of a bucket, at any depth, without links to children that are gone.

    containerd's collector leaves such links, so that the parent can never be removed by hand;
    Orlop's takes them away.
    """
    keys = {item["key"] for item in snapshots["items"]}
    items = []
    for item in snapshots["items"]:
        if (inner := item.get("bucket")) is None:
            items.append(item)
            continue
        fields = [
            one if one["key"] != CHILDREN else {**one, "bucket": only(one["bucket"], keys)}
            for one in without_stale_links(inner)["items"]
        ]
        items.append({**item, "bucket": {**inner, "items": fields}})
    return {**snapshots, "items": items}


def only(links: dict[str, Any], keys: set[str]) -> dict[str, Any]:
    return {**links, "items": [link for link in links["items"] if link["key"] in keys]}


def test_it_collects_what_the_daemon_collects(bbolt: Oracle, ours: Daemon, theirs: Daemon) -> None:
    with theirs:
        theirs.collect()

    with orlop.open(ours.root) as database:
        statistics = database.gc.run(release=True, confirmed=True)
        again = database.gc.run()
    assert statistics.removed
    assert statistics.failures == {}
    assert not again.removed
    assert bbolt.check(ours.meta_db) == check(ours.meta_db) == []
    assert on_disk(ours) == on_disk(theirs)

    with ours:
        ours.collect()
    # Every byte of metadata, times and counters too, in a version 3 file that stays one.
    made, wanted = bbolt.dump(ours.meta_db), bbolt.dump(theirs.meta_db)
    assert made == without_stale_links(wanted)
    assert made != wanted, "the daemon has mended its links: drop this from the differences"
    for metastore in METASTORES:
        assert bbolt.check(ours.root / metastore) == check(ours.root / metastore) == []
        assert bbolt.dump(ours.root / metastore) == bbolt.dump(theirs.root / metastore)


def test_the_daemon_is_content_with_what_is_left(ours: Daemon, image: RealImage) -> None:
    with orlop.open(ours.root) as database:
        database.gc.run(release=True, confirmed=True)
        left = said_by_orlop(database)
    disk = on_disk(ours)

    with ours:
        assert said_by_ctr(ours) == left
        checked = ours.rows("images", "check")
        assert [row[3] for row in checked] == ["complete"] * len(left["default images"])
        ours.collect()
        assert said_by_ctr(ours) == left
        assert on_disk(ours) == disk
        assert ours.ctr("tasks", "start", "kept", namespace="second") == "second\n"
        assert ours.ctr("run", "--rm", image.name, "new") == "second\n"
        assert ours.complaints() == []


def test_with_nothing_left_to_hold_nothing_is_left(bbolt: Oracle, ours: Daemon) -> None:
    with orlop.open(ours.root) as database:
        for name in NAMESPACES:
            ns = database.namespace(name)
            for image in ns.images.list():
                ns.images.delete(image.name)
            for container in ns.containers.list():
                ns.containers.delete(container.id)
            for lease in ns.leases.list():
                ns.leases.delete(lease.id)
            for blob in list(ns.content.walk('labels."containerd.io/gc.root"')):
                ns.content.delete(blob.digest)
            for snapshotter in SNAPSHOTTERS:
                ns.snapshots(snapshotter).remove("rooted")
        database.gc.run(release=True, confirmed=True)
        for name in NAMESPACES:
            database.namespaces.delete(name)
    assert on_disk(ours) == {"blobs": set(), "native": set(), "overlayfs": set()}
    assert bbolt.check(ours.meta_db) == []

    with ours:
        assert ours.rows("namespaces", "ls") == []
        assert ours.complaints() == []
