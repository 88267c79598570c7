"""Labels that set the owner of the root directory of an overlay snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orlop.errors import InvalidArgumentError
from orlop.storage.id_maps import GID_MAPPING, UID_MAPPING, mapped_root

if TYPE_CHECKING:
    from pathlib import Path

    from orlop.storage.overlay import OverlaySnapshotter

MAPPED = {UID_MAPPING: "0:1666:65536", GID_MAPPING: "0:1777:65536"}


@pytest.mark.root
def test_the_root_of_a_snapshot_belongs_to_the_root_of_its_container(
    overlay: OverlaySnapshotter, tmp_path: Path
) -> None:
    overlay.prepare("first", "", MAPPED)
    overlay.commit("base", "first")
    overlay.prepare("inherits", "base")
    overlay.prepare("mapped anew", "base", {UID_MAPPING: "0:5:1", GID_MAPPING: "0:6:1"})
    found = [(tmp_path / f"overlay/snapshots/{number}/fs").stat() for number in (1, 2, 3)]
    owners = [(one.st_uid, one.st_gid) for one in found]
    assert owners == [(1666, 1777), (1666, 1777), (5, 6)]


@pytest.mark.parametrize(
    ("text", "root"), [("0:7:1", 7), ("1:9:5,0:7:1", 7), ("0:0:4294967295", 0), ("0:7:1,0:8:1", 7)]
)
def test_entries_are_searched_for_the_root(text: str, root: int) -> None:
    assert mapped_root({UID_MAPPING: text, GID_MAPPING: "0:3:1"}) == (root, 3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0:1",
        "0:1:2:3",
        "a:1:1",
        "0:-1:1",
        "0:4294967295:1",
        "0:1:4294967296",
        "1:1:1",
        "0:1:0",
        "0:1:1,",
    ],
)
def test_what_maps_no_root_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="uidmapping"):
        mapped_root({UID_MAPPING: text, GID_MAPPING: "0:1:1"})


def test_one_label_alone_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="gidmapping"):
        mapped_root({UID_MAPPING: "0:1:1"})


def test_without_labels_nothing_is_mapped() -> None:
    assert mapped_root({"containerd.io/snapshot/other": "0:1:1"}) is None
