"""Every record of the fixtures survives being read, updated and written, bit for bit.

Only the time of the update differs, and no other byte: times with their nanoseconds, specs,
options and extensions included. Snapshots are updated over the daemon's own metastore.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

import orlop
from orlop.bolt import open_engine
from schema.planting import Tree, branch, tree
from stores.moments import StandingClock

if TYPE_CHECKING:
    from pathlib import Path

    from orlop import Database

STAGES = [
    "v1.6-03-unpacked-overlayfs",
    "v1.6-07-leases-ns2-ingest",
    "v2-03-unpacked-overlayfs",
    "v2-08b-sandbox",
]


def without_update_times(node: Tree) -> Tree:
    """Leave out the fields that an update changes: its time, and empty maps."""
    return {
        key: without_update_times(value) if isinstance(value, dict) else value
        for key, value in node.items()
        if key != "updatedat" and value != {}
    }


def whole(db: Database) -> Tree:
    with db.view() as transaction:
        return tree(transaction.root)


def metastore(path: Path) -> Tree:
    engine = open_engine(path, read_only=True)
    with engine.begin() as transaction:
        whole_store = tree(transaction.root.bucket(b"v1") or transaction.root)
    engine.close()
    return branch(whole_store, "snapshots")


@pytest.mark.parametrize("stage", STAGES)
def test_snapshots(tmp_path: Path, data: Path, stage: str) -> None:
    files = {
        f"{stage}.db": tmp_path / "io.containerd.metadata.v1.bolt/meta.db",
        f"{stage}.snapshotter-overlayfs.db": (
            tmp_path / "io.containerd.snapshotter.v1.overlayfs/metadata.db"
        ),
    }
    for name, place in files.items():
        place.parent.mkdir()
        shutil.copyfile(data / "meta-db" / name, place)
    store_file = tmp_path / "io.containerd.snapshotter.v1.overlayfs/metadata.db"
    clock = StandingClock()
    clock.advance(hours=24 * 365)

    before = metastore(store_file)
    with orlop.open(tmp_path, clock=clock) as db:
        recorded = whole(db)
        count = 0
        for name in db.namespaces.list():
            store = db.namespace(name).snapshots("overlayfs")
            for info in store.walk():
                updated = store.update(info)
                assert (updated.created_at, updated.labels) == (info.created_at, info.labels)
                assert updated.updated_at == clock.now()
                count += 1
        after = whole(db)
    assert count > 0
    assert after != recorded
    assert without_update_times(after) == without_update_times(recorded)
    assert without_update_times(metastore(store_file)) == without_update_times(before)


@pytest.mark.parametrize("stage", [*STAGES, "gc"])
def test_leases_are_made_again_as_they_were(tmp_path: Path, data: Path, stage: str) -> None:
    files = sorted((data / "gc").glob("*.db")) if stage == "gc" else [data / f"meta-db/{stage}.db"]
    for number, file in enumerate(files):
        path = tmp_path / f"{number}.db"
        shutil.copyfile(file, path)
        with orlop.Database.open_file(path, clock=StandingClock()) as db:
            before = whole(db)
            for name in db.namespaces.list():
                leases = db.namespace(name).leases
                for lease in leases.list():
                    resources = leases.resources(lease.id)
                    leases.delete(lease.id)
                    made = leases.create(lease.id, labels=lease.labels)
                    assert (made.id, made.labels) == (lease.id, lease.labels)
                    for resource in resources:
                        leases.add_resource(lease.id, resource)
                    assert leases.resources(lease.id) == resources
            after = whole(db)
        for name in (one for one, it in branch(before, "v1").items() if isinstance(it, dict)):
            _same_but_for_creation(
                branch(before, "v1", name).get("leases"), branch(after, "v1", name).get("leases")
            )


def _same_but_for_creation(before: object, after: object) -> None:
    if not isinstance(before, dict):
        assert before == after
        return
    assert isinstance(after, dict)
    assert before.keys() == after.keys()
    for lease, fields in before.items():
        again = after[lease]
        # The oracle wrote a time of update, which leases do not have.
        kept = {key: value for key, value in fields.items() if key != "updatedat"}
        assert {**kept, "createdat": b""} == {**again, "createdat": b""}


@pytest.mark.parametrize("number", range(1, 9))
def test_random_databases(tmp_path: Path, data: Path, number: int) -> None:
    path = tmp_path / "meta.db"
    shutil.copyfile(data / f"gc/gc-{number:02}.db", path)
    clock = StandingClock()
    clock.advance(hours=24 * 365)
    with orlop.Database.open_file(path, clock=clock) as db:
        before = whole(db)
        count = 0
        for name in db.namespaces.list():
            ns = db.namespace(name)
            for image in ns.images.list():
                assert ns.images.update(image).created_at == image.created_at
                count += 1
            for container in ns.containers.list():
                assert container.spec is None, (
                    "the oracle made them by hand, and none can be updated"
                )
            for sandbox in ns.sandboxes.list():
                ns.sandboxes.update(sandbox)
                count += 1
            for info in ns.content.walk():
                ns.content.update(info)
                count += 1
            for key, value in db.namespaces.labels(name).items():
                db.namespaces.set_label(name, key, value)
        after = whole(db)
    assert count > 10
    assert without_update_times(after) == without_update_times(before)
