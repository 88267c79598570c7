"""Databases of real daemons: every record can be read, and is written back unchanged."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from orlop import Database
from orlop.schema import ingests
from schema.planting import Tree, branch, tree
from stores.moments import StandingClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orlop import Namespace

STAGES = [
    "v1.6-03-unpacked-overlayfs",
    "v1.6-07-leases-ns2-ingest",
    "v1.6-12-all-gone-after-gc",
    "v2-03-unpacked-overlayfs",
    "v2-08b-sandbox",
    "v2-12-all-gone-after-gc",
]

DUMPED = [STAGES[1], STAGES[2], STAGES[5]]
"""The stages of which there is a dump by bbolt itself."""


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def golden(data: Path, tmp_path: Path, stage: str) -> Iterator[Database]:
    """Open a copy of a golden database, at a time long after it was written."""
    clock = StandingClock()
    clock.advance(hours=24 * 365)
    path = tmp_path / "meta.db"
    shutil.copyfile(data / "meta-db" / f"{stage}.db", path)
    with Database.open_file(path, clock=clock) as db:
        yield db


def namespaces(db: Database) -> list[Namespace]:
    return [db.namespace(name) for name in db.namespaces.list()]


def whole(db: Database) -> Tree:
    with db.view() as transaction:
        return tree(transaction.root)


def without(node: Tree, key: str) -> Tree:
    return {
        name: without(value, key) if isinstance(value, dict) else value
        for name, value in node.items()
        if name != key
    }


def from_json(bucket: dict[str, Any]) -> Tree:
    return {
        bytes.fromhex(item["k"]).decode(): (
            from_json(item["b"]) if "b" in item else bytes.fromhex(item["v"])
        )
        for item in bucket["items"]
    }


def test_the_version_is_that_of_the_daemon(golden: Database, stage: str) -> None:
    assert golden.version == (4 if stage.startswith("v2") else 3)


def test_rewriting_every_record_changes_only_the_time_of_the_update(golden: Database) -> None:
    before = whole(golden)
    rewritten = 0
    for ns in namespaces(golden):
        for image in ns.images.list():
            assert ns.images.update(image).created_at == image.created_at
            rewritten += 1
        for container in ns.containers.list():
            ns.containers.update(container)
            rewritten += 1
        for sandbox in ns.sandboxes.list():
            ns.sandboxes.update(sandbox)
            rewritten += 1
        for info in ns.content.walk():
            ns.content.update(info)
            rewritten += 1
        for lease in ns.leases.list():
            for resource in ns.leases.resources(lease.id):
                ns.leases.add_resource(lease.id, resource)
        for key, value in golden.namespaces.labels(ns.name).items():
            golden.namespaces.set_label(ns.name, key, value)

    after = whole(golden)
    assert without(after, "updatedat") == without(before, "updatedat")
    assert (after != before) == (rewritten > 0)


def test_every_container_and_sandbox_is_created_again_as_the_daemon_wrote_it(
    golden: Database,
) -> None:
    """Only the times differ, and the field that daemons before version 2 do not know."""
    before = whole(golden)
    for ns in namespaces(golden):
        for container in ns.containers.list():
            ns.containers.delete(container.id)
            ns.containers.create(container)
        for sandbox in ns.sandboxes.list():
            ns.sandboxes.delete(sandbox.id)
            ns.sandboxes.create(sandbox)
        for image in ns.images.list():
            ns.images.delete(image.name)
            ns.images.create(image)

    after = whole(golden)
    for times in ("createdat", "updatedat", "sandboxid"):
        before, after = without(before, times), without(after, times)
    assert after == before


@pytest.mark.parametrize("stage", DUMPED, indirect=True)
def test_records_hold_what_bbolt_dumped(data: Path, stage: str, golden: Database) -> None:
    """Read through the stores, and the same out of a dump that bbolt itself made."""
    stored = from_json(json.loads((data / "meta-db" / f"{stage}.json").read_text()))
    assert whole(golden) == stored
    schema = branch(stored, "v1")
    assert golden.namespaces.list() == [key for key in schema if isinstance(schema[key], dict)]
    for ns in namespaces(golden):
        held = branch(schema, ns.name)
        images = held.get("images", {})
        assert isinstance(images, dict)
        for image in ns.images.list():
            fields = branch(images, image.name)
            assert branch(fields, "target")["digest"] == image.target.digest.encode()
            assert {k: v.encode() for k, v in image.labels.items()} == fields.get("labels", {})
        assert [one.name for one in ns.images.list()] == list(images)
        blobs = branch(held, "content").get("blob", {})
        assert [one.digest for one in ns.content.walk()] == list(blobs)
        assert [one.id for one in ns.leases.list()] == list(held.get("leases", {}))


def test_snapshots_name_their_parents_and_children(golden: Database) -> None:
    for ns in namespaces(golden):
        for snapshotter in ("overlayfs", "native"):
            found = {one.name: one for one in ns.snapshots(snapshotter).walk()}
            for info in found.values():
                assert not info.parent or info.parent in found


def test_the_ingest_in_flight(data: Path) -> None:
    path = data / "meta-db" / "v1.6-07-leases-ns2-ingest.db"
    with Database.open_file(path, read_only=True) as db, db.view() as transaction:
        found = [
            ingests.read(bucket, ref)
            for name in db.namespaces.list()
            for bucket in [ingests.find(transaction, name)]
            for ref in ingests.all_names(bucket)
        ]
    assert len(found) == 1
    assert found[0] is not None
    namespace, number, ref = found[0].backend_ref.split("/", 2)
    assert (namespace, number, ref) == ("default", "1", found[0].ref)
    assert found[0].expire_at is not None or found[0].expected == ""


@pytest.mark.parametrize("name", [f"gc-{number:02}" for number in range(1, 9)])
def test_random_databases_read(data: Path, name: str) -> None:
    with Database.open_file(data / "gc" / f"{name}.db", read_only=True) as db:
        counted = 0
        for ns in namespaces(db):
            counted += len(ns.images.list()) + len(list(ns.content.walk())) + len(ns.leases.list())
            counted += len(ns.containers.list()) + len(ns.sandboxes.list())
            for lease in ns.leases.list():
                counted += len(ns.leases.resources(lease.id))
        assert counted > 10
