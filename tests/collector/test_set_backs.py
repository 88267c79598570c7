"""Power loss brings an older database back under newer data: nothing is deleted.

The loss is simulated by an old `meta.db`, or `metadata.db` of a snapshotter, that is put in the
place of the newer one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import orlop
from collector.making import make_blob, make_image
from collector.settable import SettableClock
from orlop.errors import AbortedError, DataLossError, FailedPreconditionError
from orlop.gc import Settings
from orlop.safety import shutdown_marker
from storage.killing import KILLED

if TYPE_CHECKING:
    from orlop import Database, Namespace

BOLT = "io.containerd.metadata.v1.bolt"
META = f"{BOLT}/meta.db"
NATIVE = "io.containerd.snapshotter.v1.native/metadata.db"
OVERLAY = "io.containerd.snapshotter.v1.overlayfs/metadata.db"
DATABASES = {META, NATIVE, OVERLAY}


def pull(database: Database, number: int) -> None:
    """Make an image of three blobs, unpacked into a chain of three snapshots."""
    ns = database.namespace("default")
    with ns.lease():
        parent = ""
        layers = []
        for layer in range(3):
            data = b"%d %d" % (number, layer) * 200
            layers.append(make_blob(ns, data, ref=f"{number}-{layer}"))
            store = ns.snapshots("native")
            key = f"{number}-{layer}"
            (mount,) = store.prepare(f"{key}-active", parent)
            Path(mount.source, f"file-{key}").write_bytes(data)
            store.commit(key, f"{key}-active")
            parent = key
        labels = {f"containerd.io/gc.ref.content.l.{n}": one for n, one in enumerate(layers)}
        labels["containerd.io/gc.ref.snapshot.native"] = parent
        config = make_blob(ns, b"config %d" % number, labels, ref=f"{number}-config")
        make_image(ns, f"image-{number}", config)


def check_whole(ns: Namespace, numbers: range) -> None:
    """Check that images have all their content, and snapshots all their files."""
    assert {one.name for one in ns.images.list()} == {f"image-{number}" for number in numbers}
    for number in numbers:
        config = ns.images.get(f"image-{number}").target.digest
        labels = ns.content.info(config).labels
        blobs = [value for key, value in labels.items() if "ref.content" in key]
        for digest in (config, *blobs):
            with ns.content.open(digest) as blob:
                assert f"sha256:{hashlib.sha256(blob.read()).hexdigest()}" == digest
        assert ns.snapshots("native").usage(f"{number}-2").size > 0
        (mount,) = ns.snapshots("native").view(f"{number}-view", f"{number}-2")
        for layer in range(3):
            file = Path(mount.source, f"file-{number}-{layer}")
            assert file.read_bytes() == b"%d %d" % (number, layer) * 200


def items_of(root: Path) -> dict[str, bytes]:
    """Return all data files, with their contents."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not {BOLT, ".orlop"} & {*path.parts} and path.name != "metadata.db"
    }


class SetBack:
    """A root of some pulls, and its databases as they were before the last ones."""

    def __init__(self, folder: Path, *, kept: int, lost: int) -> None:
        self.root = folder / "root"
        self.clock = SettableClock()
        self.kept, self.all = range(kept), range(kept + lost)
        self._old, self._new = folder / "old", folder / "new"
        with self.open() as database:
            for number in self.kept:
                pull(database, number)
        self._keep(self._old)
        with self.open() as database:
            for number in range(kept, kept + lost):
                pull(database, number)
            database.gc.run()
        self._keep(self._new)
        self.data = items_of(self.root)

    def open(self) -> Database:
        return orlop.open(self.root, clock=self.clock, sync=False)

    def put(self, which: str, *databases: str) -> None:
        source = self._old if which == "old" else self._new
        for database in databases:
            shutil.copy(source / database, self.root / database)

    def is_untouched(self) -> bool:
        """Whether all files are there, whole; views of a check may have come."""
        now = items_of(self.root)
        return {name: now.get(name) for name in self.data} == self.data

    def _keep(self, target: Path) -> None:
        for database in DATABASES:
            if (self.root / database).exists():
                (target / database).parent.mkdir(parents=True)
                shutil.copy(self.root / database, target / database)


@pytest.fixture(params=[(5, 1), (3, 3)], ids=["one pull", "half the store"])
def set_back(request: pytest.FixtureRequest, tmp_path: Path) -> SetBack:
    kept, lost = request.param
    return SetBack(tmp_path, kept=kept, lost=lost)


def blobs_of(numbers: range) -> set[str]:
    return {
        f"sha256:{hashlib.sha256(data).hexdigest()}"
        for number in numbers
        for data in (
            b"config %d" % number,
            *(b"%d %d" % (number, layer) * 200 for layer in range(3)),
        )
    }


@pytest.mark.parametrize("loss", [{META}, {META, NATIVE}, {NATIVE}], ids=["meta", "both", "native"])
def test_nothing_is_deleted_and_the_newer_databases_make_all_whole(
    set_back: SetBack, loss: set[str]
) -> None:
    set_back.put("old", *loss)
    lost = range(len(set_back.kept), len(set_back.all))
    for _ in range(3):
        with set_back.open() as database:
            plan = database.gc.plan()
            assert plan.doubt is not None
            assert plan.freed_bytes == 0
            assert plan.set_aside_bytes > 0
            assert database.gc.run().deleted == 0
            statistics = database.gc.run()
            assert (statistics.deleted, statistics.freed_bytes) == (0, 0)
            assert statistics.failures == {}
            assert statistics.set_aside_bytes == plan.set_aside_bytes
            listed = {one.item.key: one for one in database.gc.quarantine()}
            assert len(listed) == statistics.set_aside > 0
            assert sum(one.bytes for one in listed.values()) == statistics.set_aside_bytes
            assert all(one.why == plan.doubt for one in listed.values())
            assert set_back.is_untouched()
            assert META not in loss or blobs_of(lost) <= listed.keys()
            snapshots = {key for key in listed if key.startswith("native/")}
            assert len(snapshots) == 3 * len(lost), "by name, or where that is lost by number"
            assert all("/snapshots/" in key for key in snapshots) == (NATIVE in loss)
        set_back.clock.advance(hours=100)
        set_back.put("old", *loss)

    set_back.put("new", *loss)
    with set_back.open() as database:
        assert database.gc.plan().nodes == ()
        statistics = database.gc.run()
        assert (statistics.deleted, statistics.set_aside, statistics.failures) == (0, 0, {})
        assert database.gc.quarantine() == ()
        assert set_back.is_untouched()
        check_whole(database.namespace("default"), set_back.all)


def test_what_is_made_after_a_set_back_takes_the_place_of_nothing(set_back: SetBack) -> None:
    set_back.put("old", META, NATIVE)
    with set_back.open() as database:
        pull(database, 77)
        database.gc.run()
        assert set_back.is_untouched()
    set_back.put("new", META, NATIVE)
    with set_back.open() as database:
        database.gc.run()
        check_whole(database.namespace("default"), set_back.all)
        # What was made meanwhile has no name now.
        assert len(database.gc.quarantine()) == 4 + 3


def test_a_doubt_lasts_until_what_is_unnamed_has_been_listed(set_back: SetBack) -> None:
    set_back.put("old", META)
    for _ in range(2):
        with set_back.open() as database:
            database.namespace("default").leases.create()
    set_back.clock.advance(hours=100)
    with set_back.open() as database:
        assert database.gc.run().deleted == 0
        assert set_back.is_untouched()


def test_no_time_lets_it_go(set_back: SetBack) -> None:
    set_back.put("old", META)
    with set_back.open() as database:
        listed = database.gc.run().set_aside
    for hours in (25, 100_000, -150_000):
        set_back.clock.advance(hours=hours)
        for _ in range(2):
            with set_back.open() as database:
                plan = database.gc.plan()
                assert plan.doubt is None
                assert plan.freed_bytes == 0 < plan.set_aside_bytes
                statistics = database.gc.run()
                assert (statistics.deleted, statistics.set_aside) == (0, listed)
                assert set_back.is_untouched()
    with set_back.open() as database:
        assert database.gc.run(release=True, confirmed=True).deleted == listed
        assert database.gc.quarantine() == ()
        check_whole(database.namespace("default"), set_back.kept)
    with set_back.open() as database:
        make_blob(database.namespace("default"), b"garbage of today")
        statistics = database.gc.run()
        views = len(set_back.kept)  # of the check
        assert (statistics.deleted, statistics.set_aside) == (1 + views, 0)


def test_what_becomes_garbage_later_goes_as_ever(set_back: SetBack) -> None:
    set_back.put("old", META)
    with set_back.open() as database:
        listed = database.gc.run().set_aside
    with set_back.open() as database:
        make_blob(database.namespace("default"), b"garbage of today")
        statistics = database.gc.run()
        assert (statistics.deleted, statistics.set_aside) == (1, listed)
        assert set_back.is_untouched()


def test_it_goes_when_a_person_says_so(set_back: SetBack) -> None:
    set_back.put("old", META, NATIVE)
    with set_back.open() as database:
        listed = database.gc.run().set_aside
        plan = database.gc.plan()
        if len(set_back.kept) < 4 * (len(set_back.all) - len(set_back.kept)):
            with pytest.raises(FailedPreconditionError, match="confirm it"):
                database.gc.run(release=True)
            assert set_back.is_untouched()
        statistics = database.gc.run(release=True, confirmed=True)
        assert statistics.deleted == listed
        assert statistics.freed_bytes == plan.set_aside_bytes
        assert database.gc.quarantine() == ()
        check_whole(database.namespace("default"), set_back.kept)
    directories = (set_back.root / NATIVE).parent / "snapshots"
    assert len(list(directories.iterdir())) == 3 * len(set_back.kept)


def test_much_at_once_needs_to_be_confirmed(tmp_path: Path) -> None:
    set_back = SetBack(tmp_path, kept=4, lost=1)
    set_back.put("old", META)
    with set_back.open() as database:
        ns = database.namespace("default")
        ns.images.delete("image-0")
        with pytest.raises(FailedPreconditionError, match=r"23% of the records .*meta.db is not"):
            database.gc.run()
        plan = database.gc.plan()
        with pytest.raises(FailedPreconditionError, match="confirm it"):
            plan.apply()
        assert len(ns.images.list()) == 3
        statistics = database.gc.run(confirmed=True)
        assert statistics.removed == {"content": 4, "snapshot": 3}
        assert set_back.is_untouched(), "the data is set aside all the same"
        assert statistics.set_aside == 14
    with set_back.open() as database:
        database.namespace("default").images.delete("image-1")
        assert database.gc.run().removed == {"content": 4, "snapshot": 3}, "there is no doubt"


def test_a_machine_that_went_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_back = SetBack(tmp_path, kept=2, lost=0)
    database = set_back.open()
    digest = make_blob(database.namespace("default"), b"lost")
    shutil.copytree(set_back.root, tmp_path / "after")
    database.close()
    boot = tmp_path / "boot"
    boot.write_text("another")
    monkeypatch.setattr(shutdown_marker, "_BOOT_ID", boot)
    with orlop.open(tmp_path / "after", clock=set_back.clock) as database:
        assert "went down" in str(database.gc.plan().doubt)
        assert database.gc.run().removed == {"content": 1}
        (one,) = database.gc.quarantine()
        assert (one.item.kind, one.item.name, one.bytes) == ("blob", digest, 4)


def test_a_process_that_was_killed_loses_nothing_and_is_cleaned_up_after(tmp_path: Path) -> None:
    set_back = SetBack(tmp_path, kept=2, lost=0)
    if (child := os.fork()) == 0:
        database = set_back.open()
        make_blob(database.namespace("default"), b"left")
        database.namespace("default").snapshots("native").prepare("left", "")
        folder = set_back.root / "io.containerd.snapshotter.v1.native" / "snapshots"
        (folder / "new-left").mkdir()
        os._exit(KILLED)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED
    with set_back.open() as database:
        assert database.gc.plan().doubt is None
        assert database.gc.run().deleted == 3
        assert database.gc.quarantine() == ()
        check_whole(database.namespace("default"), set_back.all)
    assert not (folder_of(set_back) / "new-left").exists()


def folder_of(set_back: SetBack) -> Path:
    return set_back.root / "io.containerd.snapshotter.v1.native" / "snapshots"


def test_a_damaged_list_stops_the_cleanup(tmp_path: Path) -> None:
    set_back = SetBack(tmp_path, kept=2, lost=1)
    set_back.put("old", META)
    with set_back.open() as database:
        database.gc.run(confirmed=True)
    path = set_back.root / BOLT / "orlop" / "quarantine.json"
    entry = json.loads(path.read_text())["set_aside"][0]
    assert set(entry) == {"kind", "name", "snapshotter", "bytes", "since", "why"}
    path.write_text("{")
    with set_back.open() as database:
        statistics = database.gc.run()
        assert set(statistics.failures) == {"content", "native", "overlayfs"}
        assert set_back.is_untouched()
        with pytest.raises(DataLossError, match=r"quarantine\.json is damaged"):
            database.gc.quarantine()


def test_a_schedule_may_confirm(tmp_path: Path) -> None:
    """Without, it would be refused for ever on a root that another program wrote last."""
    set_back = SetBack(tmp_path, kept=4, lost=1)
    set_back.put("old", META)
    with set_back.open() as database:
        database.namespace("default").images.delete("image-0")
        with pytest.raises(AbortedError, match="confirm"):
            database.gc.schedule().request().wait(timeout=60)
    set_back.put("old", META)
    with set_back.open() as database:
        database.namespace("default").images.delete("image-0")
        scheduler = database.gc.schedule(Settings(confirm=True))
        statistics = scheduler.request().wait(timeout=60)
        assert statistics.removed == {"content": 4, "snapshot": 3}
        assert statistics.set_aside_bytes > 0
        assert set_back.is_untouched()
