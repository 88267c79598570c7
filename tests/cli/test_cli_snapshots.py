"""`orlop snapshot`: layers, made, shown, mounted and removed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from cli.players import Orlop

BASE = "sha256:7c358f552087eb7bd2fecd5ac11a143c883e81fd68db11e5702b4a9b6ebf3db5"
TOP = "sha256:4772338489b52373e55032c52886ee4125a5938f782f8be45e9696826ad30945"


def test_prepare_commit_and_view(orlop: Orlop) -> None:
    (mount,) = orlop("snapshot", "prepare", "work", "--json").document()
    assert (mount["type"], set(mount["options"])) == ("bind", {"rw", "rbind"})
    (Path(mount["source"]) / "file").write_text("x" * 5000, encoding="utf-8")
    orlop("snapshot", "commit", "done", "work", "--label", "a=b")
    answer = orlop("snapshot", "view", "look", "done")

    assert answer.lines[0].startswith("mount -t bind -o ")
    assert "ro" in answer.lines[0].split()[4].split(",")
    shown = {one["name"]: one for one in orlop("snapshot", "ls", "--json").objects()}
    assert {name: one["kind"] for name, one in shown.items()} == {
        "done": "committed",
        "look": "view",
    }
    assert shown["done"]["labels"] == {"a": "b"}
    assert shown["look"]["parent"] == "done"


def test_mounts_finds_namespace_and_snapshotter(orlop: Orlop) -> None:
    made = orlop("snapshot", "prepare", "here", "-n", "other", "--snapshotter", "overlayfs")

    assert orlop("snapshot", "mounts", "here").out == made.out
    orlop("snapshot", "mounts", "here", "-n", "default", code=3)
    orlop("snapshot", "mounts", "here", "--snapshotter", "native", code=3)


def test_a_key_that_is_in_several_places_must_be_told_apart(orlop: Orlop) -> None:
    for snapshotter in ("native", "overlayfs"):
        for namespace in ("one", "two"):
            orlop("snapshot", "prepare", "k", "-n", namespace, "--snapshotter", snapshotter)

    assert "one, two: choose one with -n" in orlop("snapshot", "mounts", "k", code=2).err
    native = orlop("snapshot", "mounts", "k", "-n", "two")
    overlay = orlop("snapshot", "mounts", "k", "-n", "two", "--snapshotter", "overlayfs")
    assert native.out != overlay.out


def test_mounts_of_a_committed_snapshot(with_image: Orlop) -> None:
    assert TOP in with_image("snapshot", "mounts", TOP, code=5).err


def test_the_snapshotter_of_the_environment(orlop: Orlop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTAINERD_SNAPSHOTTER", "overlayfs")
    orlop("snapshot", "prepare", "a")
    orlop("snapshot", "prepare", "b", "--snapshotter", "native")

    shown = orlop("snapshot", "ls", "--json").objects()

    assert {one["name"]: one["snapshotter"] for one in shown} == {"a": "overlayfs", "b": "native"}
    only = orlop("snapshot", "ls", "--snapshotter", "native", "--json").objects()
    assert [one["name"] for one in only] == ["b"]


def test_usage(with_image: Orlop) -> None:
    with_image("snapshot", "prepare", "work", TOP)

    everything = with_image("snapshot", "usage", "--json").objects()

    assert len(everything) == 4
    (one,) = with_image("snapshot", "usage", BASE, "--json").objects()
    assert one in everything
    assert one["size"] > 0
    assert one["inodes"] > 0
    with_image("snapshot", "usage", "missing", code=3)


def test_tree(with_image: Orlop) -> None:
    with_image("snapshot", "prepare", "work", TOP)
    with_image("snapshot", "prepare", "alone")

    drawn = with_image("snapshot", "tree").lines
    (shown,) = with_image("snapshot", "tree", "--json").objects()

    assert drawn[0] == "default native"
    assert drawn[1] == "  alone (active)"
    assert [len(line) - len(line.lstrip()) for line in drawn[2:]] == [2, 4, 6, 8]
    assert drawn[-1].endswith("work (active)")
    alone, base = shown["snapshots"]
    assert (alone["key"], alone["children"]) == ("alone", [])
    assert base["key"] == BASE
    assert base["children"][0]["children"][0]["children"][0]["key"] == "work"


def test_label(with_image: Orlop) -> None:
    assert with_image("snapshot", "label", TOP, "a=b").lines == ["a=b"]
    assert with_image("snapshot", "label", TOP, "a=", "--json").document()["labels"] == {}


def test_remove_names_the_children_that_stand_in_the_way(with_image: Orlop) -> None:
    with_image("snapshot", "prepare", "work", TOP)

    assert "work" in with_image("snapshot", "rm", TOP, code=5).err
    with_image("snapshot", "rm", "work", TOP)
    assert len(with_image("snapshot", "ls", "--json").objects()) == 2


def test_filters(with_image: Orlop) -> None:
    with_image("snapshot", "prepare", "work", TOP)

    found = with_image("snapshot", "ls", "kind==active", "--json").objects()

    assert [one["name"] for one in found] == ["work"]


def test_an_unknown_snapshotter_and_parent(orlop: Orlop) -> None:
    assert "zfs" in orlop("snapshot", "prepare", "k", "--snapshotter", "zfs", code=5).err
    orlop("snapshot", "prepare", "k", "missing", code=3)
    orlop("snapshot", "commit", "name", "missing", code=3)
