"""Concurrent imports of different platforms of one index: each keeps its own data."""

from __future__ import annotations

import json
import random
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from oci.builder import OCI_INDEX, Built, entry, layer
from oci.stored import FIRST, NAME
from orlop import oci
from orlop.database import open_database
from orlop.errors import NotFoundError, UnavailableError
from orlop.oci import ingest
from orlop.oci.ingest import add_labels
from stores.intruding import intruded, moments

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from orlop.database import Database
    from orlop.namespace import Namespace

ARCHITECTURES = ("amd64", "arm64", "s390x", "ppc64le", "riscv64", "386")
REF = "containerd.io/gc.ref.content"


def platforms(count: int) -> tuple[Built, dict[str, set[str]]]:
    """Build an index of several platforms; return it with the blobs that each of them has."""
    built, blobs = Built(), {}
    for architecture in ARCHITECTURES[:count]:
        before = set(built.blobs)
        platform: dict[str, object] = {"os": "linux", "architecture": architecture}
        data = layer(entry(architecture, data=architecture.encode()))
        built.image([data, FIRST], name=None, platform=platform, architecture=architecture)
        blobs[architecture] = set(built.blobs) - before
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": built.entries}
    named = {"org.opencontainers.image.ref.name": NAME}
    built.entries = [built.blob(json.dumps(index).encode(), OCI_INDEX, annotations=named)]
    return built, blobs


def bring(namespace: Namespace, archive: Path, architecture: str) -> None:
    oci.import_image(namespace, archive, platform=oci.parse_platform(f"linux/{architecture}"))


def stored(namespace: Namespace) -> set[str]:
    return {info.digest for info in namespace.content.walk()}


@pytest.mark.parametrize("other", ["arm64", "amd64"])
def test_an_import_between_any_two_transactions_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    # The other import runs in the same thread: to wait for a blob in writing would be for ever.
    monkeypatch.setattr(ingest, "_PATIENCE", 0.0)
    built, blobs = platforms(2)
    archive = built.archive(tmp_path / "archive")

    def play(at: int) -> bool:
        with open_database(tmp_path / f"root{at}", sync=False) as database:
            plain = database.namespace("default")
            brought = set(blobs["amd64"])

            def intrude() -> None:
                with suppress(UnavailableError):
                    bring(plain, archive, other)
                    brought.update(blobs[other])

            namespace, transactions = intruded(database, "default", at, intrude)
            bring(namespace, archive, "amd64")
            database.gc.run()
            assert brought <= stored(plain), f"collected; the other came before transaction {at}"
        return transactions.begun > at

    assert moments(play) > 10


@pytest.mark.parametrize("seed", range(6))
def test_threads_that_import_platforms_of_one_index(tmp_path: Path, seed: int) -> None:
    built, blobs = platforms(len(ARCHITECTURES))
    archive = built.archive(tmp_path / "archive")
    order = random.Random(seed).sample(ARCHITECTURES, len(ARCHITECTURES))
    with open_database(tmp_path / "root", sync=seed % 2 == 0) as database:
        namespace = database.namespace("default")
        barrier = threading.Barrier(len(order))
        failures: list[BaseException] = []

        def work(architecture: str) -> None:
            try:
                barrier.wait()
                bring(namespace, archive, architecture)
            except BaseException as error:  # noqa: BLE001 -- shown below
                failures.append(error)

        threads = [threading.Thread(target=work, args=(each,)) for each in order]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        database.gc.run()
        lost = {each for each, mine in blobs.items() if not mine <= stored(namespace)}
        assert lost == set()


def test_labels_that_depend_on_stored_ones_are_computed_where_they_are_written(
    database: Database, namespace: Namespace
) -> None:
    with namespace.content.writer("ref") as writer:
        writer.write(b"document")
        digest = writer.digest()
        writer.commit(labels={"count": "0"})

    def count(labels: Mapping[str, str]) -> Mapping[str, str]:
        return {"count": str(int(labels["count"]) + 1)}

    def play(at: int) -> bool:
        before = int(namespace.content.info(digest).labels["count"])
        other, transactions = intruded(
            database, "default", at, lambda: add_labels(namespace.content, digest, count)
        )
        add_labels(other.content, digest, count)
        came = transactions.begun > at
        after = int(namespace.content.info(digest).labels["count"])
        assert after == before + 1 + came
        return came

    assert moments(play) == 2


def test_an_import_does_not_fail_when_another_deletes_its_image(tmp_path: Path) -> None:
    built, _ = platforms(1)
    archive = built.archive(tmp_path / "archive")

    def play(at: int) -> bool:
        with open_database(tmp_path / f"root{at}", sync=False) as database:
            plain = database.namespace("default")
            bring(plain, archive, "amd64")
            (image,) = plain.images.list()

            def remove() -> None:
                with suppress(NotFoundError):
                    plain.images.delete(image.name)

            namespace, transactions = intruded(database, "default", at, remove)
            bring(namespace, archive, "amd64")
        return transactions.begun > at

    assert moments(play) > 3
