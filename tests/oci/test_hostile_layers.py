"""Layers that try to write outside their snapshot: nothing outside may change, ever."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oci.builder import CAPABILITY, directory, entry, hardlink, layer, symlink
from oci.layers import apply, apply_overlay
from oci.trees import describe
from orlop.errors import InvalidArgumentError, OrlopError
from orlop.oci.safe_path import DEEPEST, MAX_LINKS

if TYPE_CHECKING:
    from collections.abc import Iterator

Entry = tuple[tarfile.TarInfo, bytes]

PIECES = st.sampled_from(["..", ".", "", "a", "b", "link", "outside", "secret", "tmp"])
PATHS = st.lists(PIECES, min_size=1, max_size=6).map("/".join)


@st.composite
def hostile_entries(draw: st.DrawFn) -> Entry:
    name = draw(PATHS) or "x"
    target = draw(PATHS | st.sampled_from(["OUTSIDE", "OUTSIDE/secret", "/proc/self/root/tmp"]))
    return draw(
        st.sampled_from(
            [
                entry(name, data=b"hostile", mode=0o777),
                directory(name, mode=0o777),
                symlink(name, target),
                hardlink(name, target),
                entry(name + "/.wh..wh..opq"),
                entry(name + "/.wh.secret"),
                entry(name + "/.wh.outside"),
                entry(".wh." + name),
            ]
        )
    )


def placed(found: Entry, outside: Path) -> Entry:
    """Let a target lead to where the test looks: straight, or up and down again."""
    info, data = found
    info.linkname = info.linkname.replace("OUTSIDE", str(outside))
    return info, data


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(hostile_entries(), max_size=8), min_size=1, max_size=3), st.booleans())
def test_nothing_outside_changes(layers: list[list[Entry]], overlay: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        outside = folder / "outside"
        outside.mkdir()
        (outside / "secret").write_bytes(b"secret")
        os.utime(outside / "secret", (1, 1))
        before = describe(folder)
        root = folder / "snapshots" / "deep" / "root"
        built = [layer(*(placed(each, outside) for each in found)) for found in layers]
        try:
            if overlay:
                apply_overlay(root, *built)
            else:
                apply(root, *built)
        except OrlopError:
            pass
        after = {
            path: found for path, found in describe(folder).items() if not path.startswith(b"snap")
        }
        assert after == before


@pytest.mark.parametrize("name", ["../../x", "/x", "a/../../x", "./../x", "//x", "a/b/../../../x"])
def test_names_stay_inside(tmp_path: Path, name: str) -> None:
    root = apply(tmp_path / "deep/root", layer(entry(name, data=b"x")))
    assert (root / "x").read_bytes() == b"x"
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("target", ["/", "../../..", "/../..", "a/../../.."])
def test_links_on_the_way_lead_inside(tmp_path: Path, target: str) -> None:
    found = layer(directory("a"), symlink("link", target), entry("link/x", data=b"x"))
    root = apply(tmp_path / "deep/root", found)
    assert (root / "x").read_bytes() == b"x"


def test_a_link_to_somewhere_absolute_leads_inside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root = apply(tmp_path / "root", layer(symlink("link", str(outside)), entry("link/x")))
    assert list(outside.iterdir()) == []
    assert (root / str(outside).lstrip("/") / "x").exists()


def test_a_file_never_goes_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    root = apply(tmp_path / "root", layer(symlink("x", str(victim)), entry("x", data=b"hostile")))
    assert victim.read_text() == "precious"
    assert not (root / "x").is_symlink()


def test_a_hard_link_never_reaches_outside(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for target in (str(victim), "../victim", "link/victim"):
        found = layer(symlink("link", str(tmp_path)), hardlink("x", target))
        with pytest.raises(InvalidArgumentError, match="not in the snapshot"):
            apply(tmp_path / "root", found)
    assert victim.stat().st_nlink == 1


def test_attributes_do_not_go_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    before = victim.stat()
    info, data = symlink("x", str(victim))
    info.mode, info.mtime, info.uid = 0o7777, 5, 1234
    info.pax_headers = {"SCHILY.xattr.user.k": "v"}
    apply(tmp_path / "root", layer((info, data)))
    after = victim.stat()
    assert (after.st_mode, after.st_mtime_ns, after.st_uid, after.st_ctime_ns) == (
        before.st_mode,
        before.st_mtime_ns,
        before.st_uid,
        before.st_ctime_ns,
    )
    assert os.listxattr(victim) == []


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="too many symbolic links"):
        apply(tmp_path / "root", layer(symlink("a", "b"), symlink("b", "a"), entry("a/x")))
    many = [symlink(f"l{number}", f"l{number + 1}") for number in range(MAX_LINKS + 1)]
    with pytest.raises(InvalidArgumentError, match="too many symbolic links"):
        apply(tmp_path / "many", layer(*many, entry("l0/x")))


def test_depth_is_bounded(tmp_path: Path) -> None:
    apply(tmp_path / "deep", layer(directory("d/" * DEEPEST), entry(".wh.d")))
    with pytest.raises(InvalidArgumentError):
        apply(tmp_path / "root", layer(directory("d/" * (DEEPEST + 1))))
    down = "d/" * (DEEPEST - 1)
    with pytest.raises(InvalidArgumentError):
        apply(tmp_path / "link", layer(directory(down), symlink("l", down), entry("l/x/y/z")))


@pytest.fixture
def open_path() -> Iterator[Path]:
    """Return a folder that every user may enter; those of pytest are the owner's alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.root
def test_an_ordinary_user_makes_no_devices_and_gives_nothing_away(open_path: Path) -> None:
    device = open_path / "device.tar"
    device.write_bytes(layer(entry("null", kind=tarfile.CHRTYPE, device=(1, 3))))
    owned = open_path / "owned.tar"
    owned.write_bytes(
        layer(
            entry("f", mode=0o4755, attributes={"security.capability": CAPABILITY}), directory("d")
        )
    )
    root = open_path / "root"
    root.mkdir(mode=0o777)
    root.chmod(0o777)
    program = """
import os, sys
from pathlib import Path
from orlop.errors import PermissionDeniedError
from orlop.oci.apply import apply_layer
from orlop.oci.safe_path import SnapshotTree
os.setgroups([]); os.setgid(12345); os.setuid(12345)
root, device, owned = map(Path, sys.argv[1:])
with SnapshotTree(root) as tree, owned.open("rb") as stream:
    apply_layer(stream, tree)
assert (root / "f").stat().st_uid == 12345
try:
    with SnapshotTree(root) as tree, device.open("rb") as stream:
        apply_layer(stream, tree)
except PermissionDeniedError as error:
    assert "making a device needs root" in str(error), error
else:
    raise SystemExit("a device was made")
"""
    command = [sys.executable, "-W", "error", "-c", program, str(root), str(device), str(owned)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
