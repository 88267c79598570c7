"""Layers that were misread or refused (`tests/data/cases/layers`), as containerd has them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from orlop import oci
from orlop.errors import InvalidArgumentError

if TYPE_CHECKING:
    from pathlib import Path

    from orlop.namespace import Namespace


def unpack(namespace: Namespace, archive: Path, snapshotter: str = "native") -> Path:
    """Import and unpack an archive with one image; return the directory of its top snapshot."""
    (image,) = oci.import_image(namespace, archive, unpack=snapshotter)
    top = oci.unpack(namespace, image, snapshotter)
    (mount,) = namespace.snapshots(snapshotter).view("look", top)
    return type(archive)(mount.source)


@pytest.fixture
def layers(data: Path) -> Path:
    """Return the folder of the cases."""
    return data / "cases" / "layers"


def names_in(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def test_the_prefix_of_a_ustar_header_counts_in_every_version(
    namespace: Namespace, layers: Path
) -> None:
    root = unpack(namespace, layers / "ustar-version-0.tar")
    assert names_in(root) == ["opt/x/long/dir/lib/name.rb", "opt/x/long/dir2/other.rb"]


def test_a_gnu_long_name_wins_over_a_pax_path(namespace: Namespace, layers: Path) -> None:
    root = unpack(namespace, layers / "q-gnu-x-L.tar")
    assert names_in(root) == ["long" * 60]


def test_a_sparse_file_of_the_oldest_pax_form_keeps_its_holes(
    namespace: Namespace, layers: Path
) -> None:
    file = unpack(namespace, layers / "p-gnu-posix-0.0.tar") / "sparse"
    assert file.stat().st_size == 12 << 20
    assert file.stat().st_blocks * 512 < 1 << 20
    data = file.read_bytes()
    covered = [data[start : start + 4096] for start in (0, 3 << 20, 9 << 20)]
    assert all(any(piece) for piece in covered)
    assert sum(map(any, (data[start : start + 4096] for start in range(0, len(data), 4096)))) == 3
    assert hashlib.sha256(data).hexdigest() == SPARSE_DIGEST


SPARSE_DIGEST = "4a62b3dc2ca13d8d8e622937c52d2247183726c3e7c22f07e7b7932894c95103"
"""Of what GNU tar extracts."""


def test_a_whiteout_that_is_a_hard_link_removes_the_file_below(
    namespace: Namespace, layers: Path
) -> None:
    assert names_in(unpack(namespace, layers / "wh-hardlink.tar")) == ["b/z"]


def test_an_owner_that_the_system_has_no_number_for_is_refused(
    namespace: Namespace, layers: Path
) -> None:
    with pytest.raises(InvalidArgumentError, match="entry 'a': there is no owner 4294967301"):
        unpack(namespace, layers / "uid-2e32.tar")


def test_a_hard_link_to_itself_is_refused(namespace: Namespace, layers: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="entry 'a/x': a hard link to itself"):
        unpack(namespace, layers / "hl-self.tar")
