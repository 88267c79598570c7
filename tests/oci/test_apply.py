"""Layers applied to a snapshot of plain directories, and to an overlay with the same result."""

from __future__ import annotations

import os
import stat
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oci.builder import MODIFIED, directory, entry, hardlink, layer, symlink
from oci.layers import apply, apply_overlay, mounted
from oci.trees import describe
from orlop.errors import DataLossError, InvalidArgumentError

Entry = tuple[tarfile.TarInfo, bytes]

BELOW = layer(
    directory("a"),
    entry("a/old", data=b"old", mode=0o4711),
    directory("a/sub"),
    entry("a/sub/deep", data=b"deep"),
    symlink("link", "a"),
    entry("top", data=b"top"),
)


def names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def test_entries_come_as_they_are_described(tmp_path: Path) -> None:
    root = apply(
        tmp_path / "root",
        layer(
            directory("d", mode=0o1755, modified=5),
            entry("d/file", data=b"data", mode=0o640, modified=1_600_000_000.5),
            hardlink("d/second", "d/file"),
            symlink("d/link", "../../outside"),
            entry("d/fifo", kind=tarfile.FIFOTYPE, mode=0o600),
        ),
    )
    file = root / "d/file"
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"data", 0o640)
    assert file.stat().st_mtime_ns == 1_600_000_000_500_000_000
    assert (root / "d/second").stat().st_ino == file.stat().st_ino
    assert (root / "d/link").readlink() == Path("../../outside")
    assert (root / "d/link").lstat().st_mtime == MODIFIED
    assert stat.S_ISFIFO((root / "d/fifo").stat().st_mode)
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o1755
    assert (root / "d").stat().st_mtime == 5, "set after what is inside"


@pytest.mark.root
def test_owners_devices_and_attributes(tmp_path: Path) -> None:
    root = apply(
        tmp_path / "root",
        layer(
            entry("set", mode=0o6755, owner=(1000, 1001)),
            directory("d", owner=(1, 2), attributes={"user.d": "é"}),
            entry("f", attributes={"user.f": "1", "user.overlay.opaque": "y"}),
            entry("c", kind=tarfile.CHRTYPE, device=(1, 3), mode=0o666, owner=(7, 8)),
            entry("b", kind=tarfile.BLKTYPE, device=(8, 300), mode=0o660),
        ),
    )
    found = (root / "set").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1000, 1001, 0o6755)
    assert os.getxattr(root / "d", "user.d") == "é".encode()
    assert os.listxattr(root / "f") == ["user.f"], "an archive does not steer the file system"
    device = (root / "c").stat()
    assert stat.S_ISCHR(device.st_mode)
    assert device.st_rdev == os.makedev(1, 3)
    assert (stat.S_IMODE(device.st_mode), device.st_uid, device.st_gid) == (0o666, 7, 8)
    assert (root / "b").stat().st_rdev == os.makedev(8, 300)


def test_whiteouts_take_what_is_below_away(tmp_path: Path) -> None:
    root = apply(tmp_path / "root", BELOW, layer(entry("a/.wh.old"), entry("link/.wh.sub")))
    assert names(root) == {"a", "link", "top"}


def test_whiteouts_spare_what_their_own_layer_brings(tmp_path: Path) -> None:
    for number, order in enumerate((1, -1)):
        entries = [entry("a/sub/new", data=b"new"), entry("a/.wh.sub"), entry("a/.wh..wh..opq")]
        root = apply(tmp_path / str(number), BELOW, layer(*entries[::order]))
        assert names(root / "a") == {"sub", "sub/new"}


def test_an_opaque_root_keeps_only_what_is_new(tmp_path: Path) -> None:
    root = apply(tmp_path / "root", BELOW, layer(entry("new"), entry(".wh..wh..opq")))
    assert names(root) == {"new"}


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "a/.wh...", "a/.wh.."])
def test_a_whiteout_of_no_entry_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="names no entry"):
        apply(tmp_path / "root", BELOW, layer(entry(name)))


def test_a_file_may_replace_a_directory_and_the_other_way_round(tmp_path: Path) -> None:
    root = apply(tmp_path / "root", BELOW, layer(entry("a", data=b"now"), directory("top")))
    assert (root / "a").read_bytes() == b"now"
    assert (root / "top").is_dir()
    root = apply(tmp_path / "root", layer(entry("top"), directory("top"), entry("top/x")))
    assert names(root / "top") == {"x"}


def test_a_link_says_nothing_of_its_file(tmp_path: Path) -> None:
    found = layer(entry("f", mode=0o4711, modified=5), hardlink("l", "f", mode=0, modified=9))
    state = (apply(tmp_path / "root", found) / "f").stat()
    assert (stat.S_IMODE(state.st_mode), state.st_mtime, state.st_nlink) == (0o4711, 5, 2)


def test_a_replaced_file_is_a_new_one(tmp_path: Path) -> None:
    root = apply(tmp_path / "root", layer(entry("one", data=b"1"), hardlink("two", "one")))
    apply(root, layer(entry("one", data=b"changed")))
    assert (root / "two").read_bytes() == b"1"


def test_a_directory_that_forbids_writing_is_filled_all_the_same(tmp_path: Path) -> None:
    root = apply(tmp_path / "root", layer(directory("d", mode=0o500), entry("d/x")))
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o500
    (root / "d").chmod(0o700)


def test_directories_above_are_made(tmp_path: Path) -> None:
    root = apply(tmp_path / "root", layer(entry("x/y/z")))
    assert stat.S_IMODE((root / "x/y").stat().st_mode) == 0o755


@pytest.mark.root
def test_attributes_of_a_directory_are_replaced(tmp_path: Path) -> None:
    first = layer(directory("d", attributes={"user.old": "1", "user.both": "1"}))
    second = layer(directory("d", attributes={"user.both": "2"}, owner=(5, 5)))
    root = apply(tmp_path / "root", first, second)
    assert os.listxattr(root / "d") == ["user.both"]
    assert (root / "d").stat().st_uid == 5


@pytest.mark.parametrize(
    "faulty",
    [
        entry("x", kind=b"V"),
        hardlink("x", "nowhere"),
        hardlink("x", "a"),
        hardlink("x", ""),
        entry("top/below"),
        entry("n" * 256),
        entry("c", kind=tarfile.CHRTYPE, device=(5000, 0)),
    ],
)
def test_an_entry_that_cannot_be_is_an_error(tmp_path: Path, faulty: Entry) -> None:
    with pytest.raises(InvalidArgumentError):
        apply(tmp_path / "root", BELOW, layer(faulty))


def test_a_damaged_layer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataLossError, match="layer, byte"):
        apply(tmp_path / "root", BELOW[:2300])


@pytest.mark.root
def test_a_hard_link_to_a_file_of_a_parent_copies_it_up(tmp_path: Path) -> None:
    below = layer(
        entry("f", data=b"x" * 3_000_000, mode=0o4750, owner=(3, 4), attributes={"user.k": "v"}),
        symlink("s", "f"),
        entry("gone"),
    )
    above = layer(hardlink("f2", "f"), hardlink("s2", "s"), hardlink("f3", "f2"))
    upper = apply_overlay(tmp_path / "stack", below, layer(entry("other")), above)[0]
    flat = describe(apply(tmp_path / "flat", below, above))
    assert describe(upper) == {name: found for name, found in flat.items() if name != b"gone"}
    for faulty in (layer(hardlink("x", "gone")),):
        with pytest.raises(InvalidArgumentError, match="not in the snapshot"):
            apply_overlay(tmp_path / "gone", below, layer(entry(".wh.gone")), faulty)


@pytest.mark.root
@pytest.mark.parametrize(
    "above",
    [
        pytest.param([hardlink("n", "d/e/f")], id="link"),
        pytest.param([hardlink("n", "d/e/s")], id="link to a symbolic link"),
        pytest.param([hardlink("d/e/n", "d/e/f")], id="link beside it"),
        pytest.param([hardlink("n", "d/e/f"), hardlink("o", "d/e/s")], id="links"),
        pytest.param(
            [directory("d"), directory("d/e"), hardlink("n", "d/e/f")], id="link after its parents"
        ),
        pytest.param([hardlink("n", "a/f")], id="link through a symbolic link"),
    ],
)
def test_a_copy_for_a_hard_link_leaves_the_times_of_the_directories_above_it(
    tmp_path: Path, above: list[Entry]
) -> None:
    folders = [directory("d"), directory("d/e")]
    below = layer(*folders, entry("d/e/f"), symlink("d/e/s", "f"), symlink("a", "d/e"))
    flat = describe(apply(tmp_path / "flat", below, layer(*above)))
    with mounted(tmp_path / "merged", apply_overlay(tmp_path / "s", below, layer(*above))) as top:
        merged = describe(top)
    assert {path: found[:-1] for path, found in merged.items()} == {
        path: found[:-1] for path, found in flat.items()
    }


NAMES = st.sampled_from(["a", "b", "a/b", "a/c", "a/b/c", "b/c", "l", "l/b", "a/l", "l/l/c"])
TARGETS = st.sampled_from(["a", "b", "../b", "/a/b", "b/c", "c", ".", ".."])


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    name = draw(NAMES)
    folder, _, base = name.rpartition("/")
    prefix = f"{folder}/" if folder else ""
    mode = draw(st.sampled_from([0o755, 0o700, 0o4711]))
    return draw(
        st.sampled_from(
            [
                directory(name, mode=mode, attributes={"user.mode": str(mode)}),
                directory(name),
                entry(name, data=draw(st.binary(max_size=3)), mode=mode),
                symlink(name, draw(TARGETS)),
                hardlink(name, draw(NAMES)),
                entry(f"{prefix}.wh.{base}"),
                entry(f"{prefix}.wh..wh..opq"),
            ]
        )
    )


LAYERS = st.lists(st.lists(entries(), max_size=6), min_size=1, max_size=4)


@pytest.mark.root
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(LAYERS)
def test_an_overlay_shows_what_plain_directories_hold(layers: list[list[Entry]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        built: list[bytes] = []
        for number, found in enumerate(layers):
            data = layer(*found)
            try:
                apply(folder / f"try{number}", *built, data)
            except InvalidArgumentError:
                with pytest.raises(InvalidArgumentError):
                    apply_overlay(folder / f"fail{number}", *built, data)
                continue
            built.append(data)
        if not built:
            return
        flat = apply(folder / "flat", *built)
        with mounted(folder / "merged", apply_overlay(folder / "stack", *built)) as merged:
            assert _known(describe(merged)) == _known(describe(flat))


def _known(tree: dict[bytes, tuple[object, ...]]) -> dict[bytes, tuple[object, ...]]:
    """Leave out the times of directories: one that no entry describes is touched at any time.

    And the other names of a file: a copy in an upper directory parts with those below.
    """
    return {
        path: tuple(
            "any" if number == 5 and stat.S_ISDIR(int(str(found[0]))) else value
            for number, value in enumerate(found[:-1])
        )
        for path, found in tree.items()
    }
