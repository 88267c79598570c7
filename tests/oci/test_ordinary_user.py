"""Layers with modes that exclude their owner: unpacked by an ordinary user as by root."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from oci.builder import directory, entry, hardlink, layer
from oci.layers import apply_overlay
from oci.ordinary_user import USER, apply_native
from oci.trees import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root

DIRECTORY_MODES = (0o000, 0o111, 0o300, 0o444, 0o555, 0o700, 0o1777)
FILE_MODES = (0o000, 0o044, 0o200, 0o400, 0o644, 0o4755)

Entry = tuple[tarfile.TarInfo, bytes]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder in which the ordinary user may write."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


def run_as_user(*arguments: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "oci.ordinary_user", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=Path(__file__).parents[1],  # from where `oci` is the folder of tests
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def as_user(folder: Path, layers: list[bytes]) -> Path:
    names = []
    for number, data in enumerate(layers):
        (folder / f"{number}.tar").write_bytes(data)
        names.append(folder / f"{number}.tar")
    out = folder / "user"
    out.mkdir()
    os.chown(out, USER, USER)
    run_as_user("layers", out, *names)
    return out


def as_root(folder: Path, layers: list[bytes]) -> Path:
    out = folder / "root"
    out.mkdir()
    apply_native(out / "native", layers)
    (out / "overlay").mkdir()
    apply_overlay(out / "overlay", *layers)
    return out


def without_owner(root: Path) -> dict[bytes, tuple[object, ...]]:
    return {path: (*found[:2], *found[4:]) for path, found in describe(root).items()}


class Layers:
    """Draws layers of files and directories of all modes."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._directories: list[str] = []
        self._files: list[str] = []

    def layer(self, *, lowest: bool) -> bytes:
        made = [self._entry(lowest=lowest) for _ in range(self._random.randint(2, 9))]
        return layer(*made)

    def _entry(self, *, lowest: bool) -> Entry:
        parent = self._random.choice(["", *self._directories])
        name = parent + self._random.choice("abc")
        kind = self._random.choice("ddfflw" if not lowest else "ddff")
        if kind == "d" and name not in self._files:
            self._directories.append(f"{name}/")
            return directory(name, mode=self._random.choice(DIRECTORY_MODES))
        if kind == "l" and self._files:
            return hardlink(f"{parent}link{self._random.randrange(1 << 30)}", self._files[-1])
        if kind == "w":
            # A name that no layer has: what a whiteout removes is another test's.
            return entry(f"{parent}.wh.gone")
        name = f"{name}{len(self._files)}f"
        self._files.append(name)
        return entry(
            name, data=b"x" * self._random.choice((0, 9)), mode=self._random.choice(FILE_MODES)
        )


@pytest.mark.parametrize("seed", range(25))
def test_modes_are_kept_and_access_is_made_around_them(folder: Path, seed: int) -> None:
    drawn = Layers(seed)
    layers = [drawn.layer(lowest=number == 0) for number in range(3)]
    as_user(folder, layers)
    expected = as_root(folder, layers)
    for kind in ("native", "overlay"):
        for number in range(len(layers)):
            place = Path(kind, str(number))
            assert without_owner(folder / "user" / place) == without_owner(expected / place)


def test_what_is_removed_below_narrow_directories_is_gone(folder: Path) -> None:
    layers = [
        layer(
            directory("usr", mode=0o555),
            directory("usr/lib", mode=0o000),
            entry("usr/lib/deep", mode=0),
            entry("usr/x"),
        ),
        layer(entry("usr/.wh.lib"), entry("usr/.wh.x"), entry("usr/new")),
    ]
    as_user(folder, layers)
    found = describe(folder / "user" / "native" / "1")
    assert set(found) == {b"usr", b"usr/new"}
    assert found[b"usr"][1] == 0o555
    below = describe(folder / "user" / "native" / "0")
    assert [below[name][1] for name in (b"usr", b"usr/lib", b"usr/lib/deep")] == [0o555, 0, 0]


def test_attributes_of_an_unreadable_file_are_copied(folder: Path) -> None:
    noted = entry("noted", mode=0, attributes={"user.note": "kept"})
    as_user(folder, [layer(noted), layer(hardlink("link", "noted"))])
    for place in ("native/0/noted", "native/1/link", "overlay/1/link"):
        assert os.getxattr(folder / "user" / place, "user.note") == b"kept"


@pytest.mark.parametrize("name", ["rl-dir555", "rl-shadow", "rl-hl0"])
@pytest.mark.parametrize("snapshotter", ["native", "overlayfs"])
def test_cases_are_unpacked_and_collected(
    data: Path, folder: Path, name: str, snapshotter: str
) -> None:
    archive = folder / "image.tar"
    shutil.copy(data / "cases" / "layers" / f"{name}.tar", archive)
    store = folder / "store"
    store.mkdir()
    os.chown(store, USER, USER)
    modes = json.loads(run_as_user("image", store, archive, snapshotter))
    found = {path.partition("/snapshots/")[2]: mode for path, mode in modes.items()}
    folder_of_files = "/fs" if snapshotter == "overlayfs" else ""
    for path, mode in NARROW[name].items():
        assert found[f"1{folder_of_files}/{path}"] == mode
    assert list(store.glob("*/snapshots/*")) == []


NARROW = {
    "rl-dir555": {"usr": 0o555, "usr/lib": 0o555},
    "rl-shadow": {"etc/shadow": 0, "etc/o": 0o200},
    "rl-hl0": {"a": 0, "b": 0},
}
