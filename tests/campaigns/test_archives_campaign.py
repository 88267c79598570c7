"""Archives and documents in every form, through Orlop and through what containerd reads with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from campaigns.image_documents import ImageDocuments
from campaigns.seeds import seeds
from campaigns.tar_archives import TarArchives
from oci.document_reading import filled, read_document
from oci.tar_reading import comparable, read_archive

if TYPE_CHECKING:
    from pathlib import Path

    from campaigns.tally import Tally
    from oracle.client import Oracle

ARCHIVES = 4000
DOCUMENTS = 4000


@pytest.mark.real("bbolt", "go")
@pytest.mark.parametrize("seed", seeds(short=1, long=25))
def test_tar_archives_are_read_and_refused_as_go_does(
    bbolt: Oracle, tmp_path: Path, seed: int, tally: Tally
) -> None:
    drawn = TarArchives(seed)
    archives = [drawn.archive() for _ in range(ARCHIVES)]
    refused = entries = 0
    for number, (archive, found) in enumerate(
        zip(archives, bbolt.read_archives(tmp_path, archives), strict=True)
    ):
        expected, is_refused = comparable(found)
        read, error = read_archive(archive)
        assert (read, bool(error)) == (expected, is_refused), (number, error, found["error"])
        refused += is_refused
        entries += len(expected)
    assert entries > ARCHIVES // 2
    assert ARCHIVES // 5 < refused < ARCHIVES * 9 // 10
    tally.add("tar archives", ARCHIVES)
    tally.add("of them refused", refused)


@pytest.mark.real("bbolt", "go")
@pytest.mark.parametrize("seed", seeds(short=1, long=25))
def test_documents_are_read_and_refused_as_go_does(
    bbolt: Oracle, tmp_path: Path, seed: int, tally: Tally
) -> None:
    drawn = ImageDocuments(seed)
    documents = [drawn.document() for _ in range(DOCUMENTS)]
    items = [kind.encode() + b"\x00" + data for kind, data in documents]
    refused = 0
    for (kind, data), found in zip(documents, bbolt.read_documents(tmp_path, items), strict=True):
        read, error = read_document(kind, data)
        is_refused = "error" in found
        expected = filled(found.get("document"))
        assert (read or None, bool(error)) == (expected or None, is_refused), (kind, data, error)
        refused += is_refused
    assert DOCUMENTS // 5 < refused < DOCUMENTS // 2
    tally.add("documents", DOCUMENTS)
    tally.add("of them refused", refused)
