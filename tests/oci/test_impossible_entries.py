"""Entries that no file system can store are refused by name; memory is bounded."""

from __future__ import annotations

import errno
import gzip
import io
import os
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest

from oci.builder import directory, entry, hardlink, layer
from oci.layers import apply, apply_overlay
from orlop.errors import InvalidArgumentError
from orlop.oci import whiteouts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("number", [-1, -(1 << 31), (1 << 32) - 1, 1 << 32, (1 << 40) + 5])
@pytest.mark.parametrize("field", ["owner", "group"])
@pytest.mark.parametrize(
    "kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE]
)
def test_an_impossible_owner_is_refused(
    tmp_path: Path, number: int, field: str, kind: bytes
) -> None:
    owner = (number, 0) if field == "owner" else (0, number)
    data = layer(entry("x", kind=kind, link="y", owner=owner), form=tarfile.GNU_FORMAT)
    with pytest.raises(InvalidArgumentError, match=f"entry 'x/?': there is no {field} {number}"):
        apply(tmp_path / "root", data)


def test_the_header_of_a_hard_link_is_checked(tmp_path: Path) -> None:
    data = layer(entry("x"), hardlink("y", "x", owner=(1 << 33, 0)), form=tarfile.GNU_FORMAT)
    with pytest.raises(InvalidArgumentError, match="entry 'y': there is no owner"):
        apply(tmp_path / "root", data)


@pytest.mark.root
@pytest.mark.parametrize("applied", [apply, apply_overlay])
def test_the_owner_of_a_whiteout_means_nothing(
    tmp_path: Path, applied: Callable[..., object]
) -> None:
    marks = layer(entry(".wh.x", owner=(1 << 33, -2)), form=tarfile.GNU_FORMAT)
    applied(tmp_path / "root", layer(entry("x"), entry("y")), marks)


@pytest.mark.root
@pytest.mark.parametrize("device", [(1 << 12, 0), (0, 1 << 20), (-1, 0)])
def test_an_impossible_device_is_refused(tmp_path: Path, device: tuple[int, int]) -> None:
    data = layer(entry("x", kind=tarfile.CHRTYPE, device=device), form=tarfile.GNU_FORMAT)
    with pytest.raises(InvalidArgumentError, match="entry 'x': there is no device"):
        apply(tmp_path / "root", data)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trusted.x", "v"),
        ("trusted.overlay.opaque", "y"),
        ("user." + "n" * 251, "v"),
        ("user.large", "v" * ((64 << 10) + 1)),
        ("user." + "n" * 100_000, "v"),
    ],
)
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE])
def test_an_impossible_attribute_is_refused(
    tmp_path: Path, name: str, value: str, kind: bytes
) -> None:
    data = layer(entry("x", kind=kind, attributes={name: value}))
    with pytest.raises(InvalidArgumentError, match=r"entry 'x/?': extended attribute"):
        apply(tmp_path / "root", data)


def test_more_attributes_than_the_file_system_takes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "setxattr", no_room)
    with pytest.raises(InvalidArgumentError, match=r"'user\.a' of 1 bytes: more than this file"):
        apply(tmp_path / "root", layer(entry("x", attributes={"user.a": "v"})))


def test_more_entries_than_are_kept_in_mind_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whiteouts, "MAX_ENTRIES", 10)
    apply(tmp_path / "few", layer(*(entry(str(number)) for number in range(10))))
    with pytest.raises(InvalidArgumentError, match="a layer of more than 10 files"):
        apply(tmp_path / "many", layer(*(entry(str(number)) for number in range(11))))


UNPACK = """
import gzip, resource, sys
from pathlib import Path
from orlop.oci.apply import apply_layer
from orlop.oci.safe_path import SnapshotTree
resource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20))
with gzip.open(sys.argv[1]) as stream, SnapshotTree(Path(sys.argv[2])) as tree:
    apply_layer(stream, tree)
"""


def test_directories_with_huge_attributes_take_bounded_memory(tmp_path: Path) -> None:
    # The system knows no such attributes: they take no room in its files.
    huge = {f"unknown.{number}": "x" * 60_000 for number in range(15)}
    info, _ = directory("d", attributes=huge)
    one = io.BytesIO()
    with tarfile.open(fileobj=one, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for number in range(600):
            info.name = f"d{number}"
            archive.addfile(info)
    compressed = tmp_path / "layer.gz"

    compressed.write_bytes(gzip.compress(one.getvalue(), 1))
    assert len(one.getvalue()) > 500 << 20
    (tmp_path / "root").mkdir()
    subprocess.run(
        [sys.executable, "-c", UNPACK, compressed, tmp_path / "root"], check=True, timeout=100
    )
    assert len(list((tmp_path / "root").iterdir())) == 600
