"""A database that does not wait for the disk: the same, but for a loss of power."""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path

import pytest

import orlop
from orlop.records import SnapshotKind
from stores.blobs import put
from stores.chains import chain


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the paths of the databases that were synced."""
    synced: list[str] = []

    def noting(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.suffix == ".db":
            synced.append(path.name)

    monkeypatch.setattr(os, "fdatasync", noting)
    monkeypatch.setattr(os, "fsync", noting)
    return synced


@pytest.mark.parametrize("sync", [True, False])
def test_sync_is_a_choice_for_every_database_of_a_root(
    tmp_path: Path, syncs: list[str], *, sync: bool
) -> None:
    with orlop.open(tmp_path, sync=sync) as db:
        del syncs[:]  # a file is born durable, whatever comes after
        put(db.namespace("n"))
        db.namespace("n").snapshots("native").prepare("born")
        del syncs[:]
        chain(db.namespace("n").snapshots("native"), "layer")
        assert set(syncs) == ({"meta.db", "metadata.db"} if sync else set())
    with orlop.open(tmp_path) as db:
        assert [one.name for one in db.namespace("n").snapshots("native").walk()] == [
            "born",
            "layer",
        ]


@pytest.mark.parametrize("sync", [True, False])
def test_sync_is_a_choice_for_a_bare_file(tmp_path: Path, syncs: list[str], *, sync: bool) -> None:
    with orlop.Database.open_file(tmp_path / "bare.db", sync=sync) as db:
        del syncs[:]
        db.namespaces.create("n")
        assert set(syncs) == ({"bare.db"} if sync else set())


def test_a_prepare_waits_for_each_database_once(tmp_path: Path, syncs: list[str]) -> None:
    with orlop.open(tmp_path) as db:
        snapshots = db.namespace("n").snapshots("native")
        snapshots.prepare("born")
        del syncs[:]
        snapshots.prepare("key")
        assert [name for name, _ in groupby(syncs)] == ["metadata.db", "meta.db"]
        record = db.namespace("n").snapshots("native").stat("key")
        assert record.kind is SnapshotKind.ACTIVE
    with orlop.open(tmp_path) as db:
        backend = db.snapshot_backends["native"]
        assert [one.name for one in backend.walk()] == ["n/1/born", "n/2/key"]
