"""Archives that were misread or refused (`tests/data/cases/archives`), as containerd has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from oci.test_layer_cases import unpack

if TYPE_CHECKING:
    from pathlib import Path

    from orlop.namespace import Namespace


@pytest.fixture
def archives(data: Path) -> Path:
    """Return the folder of the cases."""
    return data / "cases" / "archives"


@pytest.mark.parametrize("name", ["j-latin", "j-surrogate", "d-lower"])
def test_json_is_read_as_containerd_reads_it(
    namespace: Namespace, archives: Path, name: str
) -> None:
    root = unpack(namespace, archives / f"{name}.tar")
    assert (root / "a" / "b").stat().st_size == 5


def test_half_a_pair_is_stored_as_the_replacement_character(
    namespace: Namespace, archives: Path
) -> None:
    unpack(namespace, archives / "j-surrogate.tar")
    (image,) = namespace.images.list()
    assert image.target.annotations["x"] == "\ufffd"


def test_a_sparse_entry_of_the_outer_archive_is_a_file(
    namespace: Namespace, archives: Path
) -> None:
    root = unpack(namespace, archives / "outer-bsdtar.tar")
    assert (root / "z").stat().st_size == 1_048_578
