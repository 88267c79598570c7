"""Behaviour specific to the native snapshotter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orlop.errors import ConflictError, NotFoundError, UnimplementedError
from orlop.records import Mount
from orlop.storage.copying import copy_tree

if TYPE_CHECKING:
    from pathlib import Path

    from orlop.storage import NativeSnapshotter


def bind(source: Path, access: str) -> tuple[Mount, ...]:
    return (Mount(type="bind", source=str(source), options=("rbind", access)),)


def test_mounts_and_layout(native: NativeSnapshotter, tmp_path: Path) -> None:
    place = tmp_path / "native/snapshots"
    assert native.prepare("key", "") == bind(place / "1", "rw")
    assert native.view("empty view", "") == bind(place / "2", "ro")
    (place / "1/etc").mkdir(0o700)
    (place / "1/etc/passwd").write_bytes(b"root")
    native.commit("one", "key")
    assert native.view("view", "one") == bind(place / "1", "ro")
    assert native.prepare("key", "one") == bind(place / "4", "rw")
    assert native.mounts("key") == bind(place / "4", "rw")

    assert sorted(path.name for path in place.iterdir()) == ["1", "2", "4"]
    (place / "4/etc/passwd").write_bytes(b"other")
    assert (place / "1/etc/passwd").read_bytes() == b"root"
    assert (place / "4/etc").stat().st_mode & 0o7777 == 0o700
    native.remove("view")
    native.remove("key")
    assert sorted(path.name for path in place.iterdir()) == ["1", "2"]


def test_a_child_is_a_whole_copy_and_counted_so(native: NativeSnapshotter) -> None:
    native.prepare("key", "")
    for number in range(10):
        (native._directory / f"1/file-{number}").write_bytes(b"x" * 5000)
    native.commit("one", "key")
    native.prepare("key", "one")
    native.commit("two", "key")
    assert native.usage("one").inodes == 11
    assert native.usage("two") == native.usage("one")


def test_no_rebase(native: NativeSnapshotter) -> None:
    native.prepare("key", "")
    native.commit("one", "key")
    native.prepare("key", "")
    with pytest.raises(UnimplementedError):
        native.commit("two", "key", parent="one")
    native.remove("key")
    native.prepare("key", "one")
    native.commit("two", "key", parent="one")
    assert native.stat("two").parent == "one"


@pytest.mark.parametrize("again", [False, True])
def test_a_parent_that_goes_during_the_copy(
    native: NativeSnapshotter,
    monkeypatch: pytest.MonkeyPatch,
    again: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    native.prepare("key", "")
    native.commit("one", "key")

    def copy_and_remove(source: Path, target: Path) -> None:
        copy_tree(source, target)
        native.remove("one")
        if again:
            native.prepare("other", "")
            native.commit("one", "other")

    monkeypatch.setattr("orlop.storage.native.copy_tree", copy_and_remove)
    with pytest.raises(ConflictError if again else NotFoundError):
        native.prepare("key", "one")
    assert [info.name for info in native.walk()] == (["one"] if again else [])
    assert sorted(path.name for path in native._directory.iterdir()) == (["2"] if again else [])


def test_a_parent_that_is_gone_before_the_copy(
    native: NativeSnapshotter, monkeypatch: pytest.MonkeyPatch
) -> None:
    native.prepare("key", "")
    native.commit("one", "key")

    def remove_and_copy(source: Path, target: Path) -> None:
        native.remove("one")
        copy_tree(source, target)

    monkeypatch.setattr("orlop.storage.native.copy_tree", remove_and_copy)
    with pytest.raises(NotFoundError):
        native.prepare("key", "one")
    assert list(native._directory.iterdir()) == []
