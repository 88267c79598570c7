"""Leases keep an image during its import: collections in between, concurrent imports."""

from __future__ import annotations

import threading
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from oci.builder import Built, docker_archive, entry, layer
from oci.stored import FIRST, NAME, SECOND, Meddler, assert_nothing_is_left, build
from orlop import oci

if TYPE_CHECKING:
    from pathlib import Path

    from orlop.database import Database
    from orlop.namespace import Namespace


@pytest.mark.parametrize("save", [False, True])
def test_a_collection_between_any_two_steps_takes_nothing(
    tmp_path: Path, database: Database, namespace: Namespace, *, save: bool
) -> None:
    archive = tmp_path / "a"
    archive = docker_archive(archive, [FIRST, SECOND]) if save else build().archive(archive)
    meddler = Meddler(database.gc.run)
    (image,) = oci.import_image(namespace, archive, unpack="native", progress=meddler)
    database.gc.run()
    assert oci.unpack(namespace, image, "overlayfs", progress=meddler)
    database.gc.run()
    assert [step for step, stage, _ in meddler.steps if stage == "import"] == 4 * [
        "started",
        "finished",
    ]
    namespace.images.delete(image.name)
    assert_nothing_is_left(database, namespace)


def test_steps_that_were_done_before_are_told(tmp_path: Path, namespace: Namespace) -> None:
    archive = build().archive(tmp_path / "a")
    oci.import_image(namespace, archive, unpack="native")
    meddler = Meddler(lambda: None)
    oci.import_image(namespace, archive, unpack="native", progress=meddler)
    assert [step for step, *_ in meddler.steps] == 6 * ["started", "reused"]


def test_a_lease_that_is_in_force_holds_it_all(
    tmp_path: Path, database: Database, namespace: Namespace
) -> None:
    archive = build().archive(tmp_path / "a")
    with namespace.lease() as lease:
        (image,) = oci.import_image(namespace, archive, unpack="native")
        kinds = [resource.type for resource in namespace.leases.resources(lease.id)]
        assert sorted(kinds) == 4 * ["content"] + 2 * ["snapshots/native"]
        namespace.images.delete(image.name)
        database.gc.run()
        assert len(list(namespace.content.walk())) == 4
        assert len(list(namespace.snapshots("native").walk())) == 2
    assert_nothing_is_left(database, namespace)


def test_two_at_once(tmp_path: Path, database: Database, namespace: Namespace) -> None:
    archive = build().archive(tmp_path / "a")
    failed: list[BaseException] = []

    def bring() -> None:
        try:
            oci.import_image(namespace, archive, unpack="native")
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failed.append(error)

    threads = [threading.Thread(target=bring) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    database.gc.run()
    assert len(list(namespace.content.walk())) == 4
    assert len(list(namespace.snapshots("native").walk())) == 2
    assert namespace.content.statuses() == []


def test_another_namespace_shares_the_blobs(tmp_path: Path, database: Database) -> None:
    archive = build().archive(tmp_path / "a")
    for name in ("one", "two"):
        oci.import_image(database.namespace(name), archive, unpack="native")
    database.namespace("one").images.delete(NAME)
    database.gc.run()
    assert list(database.namespace("one").content.walk()) == []
    image = database.namespace("two").images.get(NAME)
    assert oci.unpack(database.namespace("two"), image, "overlayfs")


def test_memory_is_bounded(tmp_path: Path, namespace: Namespace) -> None:
    big = layer(*(entry(f"big{number}", data=bytes(30 << 20)) for number in range(3)))
    built = Built()
    built.image([big], compress=False)
    archive = built.archive(tmp_path / "a")
    built.blobs.clear()
    del big
    tracemalloc.start()
    try:
        oci.import_image(namespace, archive, unpack="native")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20
