"""Behaviour specific to the overlay snapshotter."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orlop.records import Mount
from orlop.storage import OverlaySnapshotter, overlay
from storage.mounting import small_disk
from storage.opening import open_for_writing
from storage.test_snapshot_suite import layers

if TYPE_CHECKING:
    from storage.ticking import TickingClock


def bind(source: Path, access: str) -> tuple[Mount, ...]:
    return (Mount(type="bind", source=str(source), options=(access, "rbind")),)


def test_layout(overlay: OverlaySnapshotter, tmp_path: Path) -> None:
    layers(overlay, 1)
    overlay.prepare("active", "layer-0")
    overlay.view("view", "layer-0")
    snapshots = tmp_path / "overlay/snapshots"
    assert {
        str(path.relative_to(snapshots)): oct(path.stat().st_mode & 0o7777)
        for path in snapshots.rglob("*")
    } == {
        "1": "0o700",
        "1/fs": "0o755",
        "1/work": "0o711",
        "2": "0o700",
        "2/fs": "0o755",
        "2/work": "0o711",
        "3": "0o700",
        "3/fs": "0o755",
    }


def test_mounts(overlay: OverlaySnapshotter, tmp_path: Path) -> None:
    place = tmp_path / "overlay/snapshots"
    assert overlay.prepare("key", "") == bind(place / "1/fs", "rw")
    assert overlay.view("empty view", "") == bind(place / "2/fs", "ro")
    overlay.commit("one", "key")
    assert overlay.view("view of one", "one") == bind(place / "1/fs", "ro")
    on_one = overlay.prepare("key", "one")
    assert on_one == (
        Mount(
            type="overlay",
            source="overlay",
            options=(
                f"workdir={place}/4/work",
                f"upperdir={place}/4/fs",
                f"lowerdir={place}/1/fs",
                "index=off",
            ),
        ),
    )
    assert overlay.mounts("key") == on_one
    overlay.commit("two", "key")
    assert overlay.view("view of two", "two") == (
        Mount(
            type="overlay",
            source="overlay",
            options=(f"lowerdir={place}/4/fs:{place}/1/fs", "index=off"),
        ),
    )
    overlay.prepare("key", "two")
    assert overlay.mounts("key")[0].options[-2] == f"lowerdir={place}/4/fs:{place}/1/fs"


def test_options(tmp_path: Path, clock: TickingClock) -> None:
    def options(*, index_off: bool, userxattr: bool) -> tuple[str, ...]:
        root = tmp_path / f"{index_off}-{userxattr}"
        snapshotter = OverlaySnapshotter(
            root, open_for_writing, clock=clock, index_off=index_off, userxattr=userxattr
        )
        layers(snapshotter, 2)
        (mount,) = snapshotter.view("view", "layer-1")
        snapshotter.close()
        return mount.options[1:]

    assert options(index_off=False, userxattr=False) == ()
    assert options(index_off=True, userxattr=True) == ("userxattr", "index=off")


def test_a_relative_root_gives_absolute_mounts(
    tmp_path: Path, clock: TickingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    snapshotter = OverlaySnapshotter(Path("here"), open_for_writing, clock=clock)
    assert snapshotter.prepare("key", "") == bind(tmp_path / "here/snapshots/1/fs", "rw")
    snapshotter.close()


@pytest.mark.root
def test_the_upper_directory_has_the_parents_owner(
    overlay: OverlaySnapshotter, tmp_path: Path
) -> None:
    overlay.prepare("key", "")
    os.chown(tmp_path / "overlay/snapshots/1/fs", 1234, 5678)
    overlay.commit("name", "key")
    overlay.prepare("key", "name")
    overlay.view("view", "name")
    for number in ("2", "3"):
        status = (tmp_path / f"overlay/snapshots/{number}/fs").stat()
        assert (status.st_uid, status.st_gid) == (1234, 5678)


def test_asynchronous_removal(tmp_path: Path, clock: TickingClock) -> None:
    snapshotter = OverlaySnapshotter(
        tmp_path / "root", open_for_writing, clock=clock, asynchronous_remove=True
    )
    layers(snapshotter, 2)
    snapshotter.remove("layer-1")
    assert sorted(path.name for path in snapshotter._directory.iterdir()) == ["1", "2"]
    snapshotter.cleanup()
    assert [path.name for path in snapshotter._directory.iterdir()] == ["1"]
    snapshotter.close()


def test_rebase(overlay: OverlaySnapshotter) -> None:
    layers(overlay, 1)
    overlay.prepare("key", "")
    overlay.commit("name", "key", parent="layer-0")
    assert overlay.stat("name").parent == "layer-0"
    (mount,) = overlay.view("view", "name")
    place = overlay._directory
    assert f"lowerdir={place}/2/fs:{place}/1/fs" in mount.options


@pytest.mark.parametrize(
    ("uid_map", "release", "tmpfs", "wanted"),
    [
        ("         0          0 4294967295\n", "6.1.0", False, False),
        (
            "         0       1000          1\n         1     100000      65536\n",
            "6.1.0",
            False,
            True,
        ),
        ("         0       1000          1\n", "5.10.0-30", False, False),
        ("         0       1000          1\n", "5.11", False, True),
        ("         0       1000          1\n", "6.1.0", True, False),
        ("         0       1000          1\n", "odd", False, False),
    ],
)
def test_userxattr_is_needed_in_a_user_namespace(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    uid_map: str,
    release: str,
    tmpfs: bool,  # noqa: FBT001 -- a parameter of the test
    wanted: bool,  # noqa: FBT001 -- as above
) -> None:
    (tmp_path / "uid_map").write_text(uid_map, encoding="ascii")
    monkeypatch.setattr(overlay, "_UID_MAP", tmp_path / "uid_map")
    monkeypatch.setattr(platform, "release", lambda: release)
    monkeypatch.setattr(overlay, "_is_tmpfs", lambda _: tmpfs)
    assert overlay.needs_userxattr(tmp_path) is wanted


@pytest.mark.root
def test_tmpfs_is_known(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        assert overlay._is_tmpfs(disk / "does/not/exist")
    assert not overlay._is_tmpfs(Path("/proc"))
