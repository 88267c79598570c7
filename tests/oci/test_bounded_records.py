"""The memory of an import is bounded by the number of its records, not by their texts."""

from __future__ import annotations

import io
import json
import tracemalloc
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop import digests
from orlop.errors import InvalidArgumentError
from orlop.oci.path_map import PathMap
from orlop.oci.platforms import chooser
from orlop.oci.selection import Selection
from orlop.records import Descriptor

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
PATHS = st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=4).map(tuple)


@given(st.lists(st.tuples(PATHS, st.integers())))
def test_paths_have_their_last_values_and_come_innermost_first(
    steps: list[tuple[tuple[bytes, ...], int]],
) -> None:
    found, model = PathMap[int](), dict[tuple[bytes, ...], int]()
    for path, value in steps:
        found[path] = model[path] = value

    listed = list(found.innermost_first())

    assert sorted(listed) == sorted(model)
    assert {path: found.get(path) for path in listed} == model
    assert found.get((b"a", b"x")) is None
    for position, path in enumerate(listed):
        below = [one for one in listed[position:] if one[: len(path)] == path]
        assert below == [path]


def test_deep_paths_cost_no_more_than_their_own_names() -> None:
    found = PathMap[int]()
    tracemalloc.start()
    try:
        for number in range(5000):
            parts = [f"d{level:03}".encode() for level in range(250)]
            found[(*parts, str(number).encode())] = number
        size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert size < 5000 * 500


class Annotated:
    """Manifests that give their layers a megabyte of annotations each; made when they are read."""

    def __init__(self, media_type: str = "application/vnd.oci.image.layer.v1.tar") -> None:
        self._media_type = media_type
        self.numbers = {digests.from_bytes(self.document(one)): one for one in range(20)}

    def document(self, number: int) -> bytes:
        config = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2}
        blob = {"mediaType": self._media_type, "size": 2, "annotations": {"k": "v" * (1 << 20)}}
        manifest = {
            "schemaVersion": 2,
            "config": config | {"digest": digests.from_bytes(b"config")},
            "layers": [blob | {"digest": digests.from_bytes(str(number).encode())}],
        }
        return json.dumps(manifest).encode()

    def open(self, digest: str) -> BinaryIO:
        return io.BytesIO(self.document(self.numbers[digest]))

    def size(self, digest: str) -> int:
        return len(self.document(self.numbers[digest])) if digest in self.numbers else 2

    def selection(self) -> Selection:
        return Selection(size=self.size, opener=self.open, chooser=chooser(None), label="x")

    def add_to(self, selection: Selection, digest: str) -> None:
        pointer = Descriptor(media_type=MANIFEST, digest=digest, size=self.size(digest))
        selection.add(pointer)


def test_annotations_are_not_kept() -> None:
    images = Annotated()
    selection = images.selection()
    tracemalloc.start()
    try:
        for digest in images.numbers:
            images.add_to(selection, digest)
        size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(selection.members()) == 41
    assert size < 1 << 20


def test_a_media_type_of_any_length_is_refused() -> None:
    images = Annotated("x" * 5000)

    with pytest.raises(InvalidArgumentError, match="a media type of 5000 characters"):
        images.add_to(images.selection(), next(iter(images.numbers)))
