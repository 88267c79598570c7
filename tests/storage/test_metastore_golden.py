"""The metastores of real daemons, and ours beside them: every value has the same form."""

from __future__ import annotations

import dataclasses
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from whenever import Instant

from orlop.records import SnapshotInfo, SnapshotKind, SnapshotUsage
from orlop.storage import OverlaySnapshotter
from orlop.storage.metastore import Metastore
from storage.opening import open_for_reading, open_for_writing
from storage.ticking import TickingClock

if TYPE_CHECKING:
    from pathlib import Path

    from orlop.kv import Bucket
    from orlop.storage.snapshots import Snapshots

DATABASES = [
    "v1.6-03-unpacked-overlayfs",
    "v1.6-07-leases-ns2-ingest",
    "v1.6-12-all-gone-after-gc",
    "v2-03-unpacked-overlayfs",
    "v2-08b-sandbox",
    "v2-12-all-gone-after-gc",
]


def golden(data: Path, name: str) -> Path:
    return data / "meta-db" / f"{name}.snapshotter-overlayfs.db"


def dump(path: Path) -> dict[bytes, Any]:
    """Return the contents of a database, with the counters of its buckets under an empty key."""

    def of(bucket: Bucket) -> dict[bytes, Any]:
        found: dict[bytes, Any] = {b"": bucket.sequence}
        for key, value in bucket.items():
            below = bucket.bucket(key)
            found[key] = value if below is None else of(below)
        return found

    engine = open_for_reading(path)
    try:
        with engine.begin() as transaction:
            return of(transaction.root)
    finally:
        engine.close()


def nested(found: dict[bytes, Any], *path: bytes) -> dict[bytes, Any]:
    for name in path:
        found = found[name]
    return found


def _labels(found: dict[bytes, Any], key: str) -> object:
    return nested(found, b"v1", b"snapshots", key.encode()).get(b"labels")


class SetClock:
    """A clock with a settable time."""

    def __init__(self) -> None:
        self.moment = Instant.from_utc(2026, 1, 1)

    def now(self) -> Instant:
        """Return that moment."""
        return self.moment


@pytest.mark.parametrize("name", DATABASES)
def test_reading(data: Path, tmp_path: Path, name: str) -> None:
    source = golden(data, name)
    before = source.read_bytes()
    shutil.copy(source, tmp_path / "metadata.db")
    for number in range(
        1, 50
    ):  # the directories that the daemon had; without them nothing is mounted
        for directory in ("fs", "work"):
            (tmp_path / "snapshots" / str(number) / directory).mkdir(parents=True)
        (tmp_path / "snapshots" / str(number) / "fs" / "file").touch()
    snapshotter = OverlaySnapshotter(tmp_path, open_for_reading, clock=TickingClock())
    found = {info.name: info for info in snapshotter.walk()}

    # One active snapshot outlived the images: nothing refers to it, a lease held it.
    assert len(found) == 1 if "all-gone" in name else len(found) >= 4
    for key, info in found.items():
        assert snapshotter.stat(key) == info
        assert info.kind in {SnapshotKind.VIEW, SnapshotKind.ACTIVE, SnapshotKind.COMMITTED}
        assert info.created_at is not None
        if info.parent:
            assert found[info.parent].kind is SnapshotKind.COMMITTED
        if info.kind is SnapshotKind.COMMITTED:
            assert snapshotter.usage(key).inodes > 0
            assert snapshotter.usage(key).size % 512 == 0
        else:
            (mount,) = snapshotter.mounts(key)
            assert mount.type in {"overlay", "bind"}
    snapshotter.close()
    assert (tmp_path / "metadata.db").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metadata.db", "snapshots"]


@pytest.mark.parametrize("name", DATABASES)
def test_what_we_write_has_the_same_bytes(data: Path, tmp_path: Path, name: str) -> None:
    """Play the daemon's snapshots again, with its times, usages and ids, and compare all."""
    source = Metastore(golden(data, name), open_for_reading, clock=TickingClock())
    records = source.read(
        lambda snapshots: [snapshots.info(info.name) for info in snapshots.walk()]
    )
    source.close()
    wanted = dump(golden(data, name))

    clock = SetClock()
    mine = Metastore(tmp_path / "metadata.db", open_for_writing, clock=clock)
    with mine.update() as snapshots:
        made = 0
        for number, info, usage in sorted(records, key=lambda record: int(record[0])):
            while made < int(number) - 1:  # what the daemon has removed since
                made += 1
                assert snapshots.create(SnapshotKind.ACTIVE, "gone").id == str(made)
                snapshots.remove("gone")
            made += 1
            if not info.labels and _labels(wanted, info.name) is not None:
                # The last label was deleted one by one: the bucket of labels stays, empty.
                info = dataclasses.replace(info, labels={"deleted": ""})  # noqa: PLW2901
            _play(snapshots, clock, info, usage)
        while made < nested(wanted, b"v1", b"snapshots")[b""]:
            made += 1
            snapshots.create(SnapshotKind.ACTIVE, "gone")
            snapshots.remove("gone")
    mine.close()

    assert dump(tmp_path / "metadata.db") == wanted


def _play(snapshots: Snapshots, clock: SetClock, info: SnapshotInfo, usage: SnapshotUsage) -> None:
    assert info.created_at is not None
    assert info.updated_at is not None
    clock.moment = info.created_at
    if info.kind is SnapshotKind.COMMITTED:
        snapshots.create(SnapshotKind.ACTIVE, "key", info.parent)
        snapshots.commit_active("key", info.name, usage, info.labels)
    else:
        snapshots.create(info.kind, info.name, info.parent, info.labels)
    if info.updated_at != info.created_at:
        clock.moment = info.updated_at
        snapshots.update(info)


def test_working_on_where_the_daemon_stopped(data: Path, tmp_path: Path) -> None:
    shutil.copy(golden(data, "v1.6-03-unpacked-overlayfs"), tmp_path / "metadata.db")
    store = Metastore(tmp_path / "metadata.db", open_for_writing, clock=TickingClock())
    with store.update() as snapshots:
        before = snapshots.ids()
        top = next(info.name for info in snapshots.walk() if info.kind is SnapshotKind.COMMITTED)
        made = snapshots.create(SnapshotKind.ACTIVE, "ours", top)
        assert int(made.id) > max(int(number) for number in before)
        snapshots.remove("ours")
        assert snapshots.ids() == before
    store.close()
