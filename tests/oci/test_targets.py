"""Where a snapshot is written, from its mounts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from oci.builder import directory, entry, layer
from oci.layers import apply
from orlop.errors import UnimplementedError
from orlop.oci.apply import apply_layer
from orlop.oci.unpacker import Target, target_of
from orlop.records import Mount


def test_bind_and_overlay_mounts_are_understood() -> None:
    bind = Mount(type="bind", source="/s/1/fs", options=("rw", "rbind"))
    assert target_of([bind]) == Target(root=Path("/s/1/fs"))
    options = ("index=off", "workdir=/w", "upperdir=/u", "lowerdir=/b:/a", "userxattr")
    overlay = Mount(type="overlay", source="overlay", options=options)
    expected = Target(root=Path("/u"), lowers=(Path("/b"), Path("/a")), user=True)
    assert target_of([overlay]) == expected


@pytest.mark.parametrize(
    "mounts",
    [
        [],
        [Mount(type="ext4", source="/dev/dm-1")],
        [Mount(type="overlay", source="overlay", options=("lowerdir=/b:/a",))],
        [Mount(type="bind", source="/a"), Mount(type="bind", source="/b")],
    ],
)
def test_other_mounts_are_refused(mounts: list[Mount]) -> None:
    with pytest.raises(UnimplementedError, match="only bind and overlay"):
        target_of(mounts)


def test_a_user_overlay_has_its_marks_where_users_may_set_them(tmp_path: Path) -> None:
    lower = apply(tmp_path / "lower", layer(entry("d/x")))
    (tmp_path / "upper").mkdir()
    above = tmp_path / "above"
    above.write_bytes(layer(directory("d"), entry("d/.wh..wh..opq")))
    target = Target(root=tmp_path / "upper", lowers=(lower,), user=True)
    with target.open() as tree, above.open("rb") as stream:
        apply_layer(stream, tree)
    assert os.listxattr(tmp_path / "upper/d") == ["user.overlay.opaque"]
