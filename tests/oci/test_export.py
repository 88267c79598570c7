"""Images go out as they came in, the same way every time."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from oci.builder import Built, entry, layer
from orlop import oci
from orlop.database import open_database
from orlop.errors import DataLossError, InvalidArgumentError, NotFoundError
from orlop.oci.tar_stream import TarReader
from orlop.oci.tar_writer import TarWriter

if TYPE_CHECKING:
    from pathlib import Path

    from orlop.namespace import Namespace

NAME = "example.com/built:v1"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return an archive of one image."""
    built = Built()
    built.image([layer(entry("one", data=b"1" * 100_000)), layer(entry("two"))])
    return built.archive(tmp_path / "archive")


def test_what_goes_out_comes_in_again(tmp_path: Path, namespace: Namespace, archive: Path) -> None:
    (image,) = oci.import_image(namespace, archive)
    oci.export_image(namespace, [NAME], tmp_path / "out")
    with open_database(tmp_path / "other") as other:
        (again,) = oci.import_image(other.namespace("default"), tmp_path / "out", unpack="native")
        digests = {info.digest for info in other.namespace("default").content.walk()}
        oci.export_image(other.namespace("default"), [NAME], tmp_path / "out2")
    assert (again.name, again.target.digest) == (image.name, image.target.digest)
    assert digests == {info.digest for info in namespace.content.walk()}
    assert (tmp_path / "out").read_bytes() == (tmp_path / "out2").read_bytes()


def test_docker_finds_its_manifest(namespace: Namespace, archive: Path) -> None:
    (image,) = oci.import_image(namespace, archive)
    namespace.images.create(type(image)(name="docker.io/library/x:2", target=image.target))
    namespace.images.create(type(image)(name="No Docker Name", target=image.target))
    names = ["docker.io/library/x:2", NAME, "No Docker Name", NAME]
    stream = io.BytesIO()
    oci.export_image(namespace, names, stream)
    stream.seek(0)
    with tarfile.open(fileobj=stream) as found:
        saved = json.load(found.extractfile("manifest.json") or io.BytesIO())
        index = json.load(found.extractfile("index.json") or io.BytesIO())
        assert found.getnames() == sorted(found.getnames())
        assert {member.mtime for member in found} == {0}
    assert [each["RepoTags"] for each in saved] == [["x:2", NAME]]
    assert len(saved[0]["Layers"]) == 2
    assert [each["annotations"]["io.containerd.image.name"] for each in index["manifests"]] == [
        *names[:3]
    ]


def test_errors_leave_no_file(tmp_path: Path, namespace: Namespace, archive: Path) -> None:
    oci.import_image(namespace, archive)
    out = tmp_path / "folder"
    out.mkdir()
    with pytest.raises(NotFoundError, match="nobody"):
        oci.export_image(namespace, ["nobody"], out / "x")
    with pytest.raises(InvalidArgumentError):
        oci.export_image(namespace, [], out / "x")
    with namespace.content.open(namespace.images.get(NAME).target.digest) as file:
        manifest = json.load(file)
    layer_digest = manifest["layers"][0]["digest"]
    assert namespace.environment.root is not None
    (blob,) = namespace.environment.root.glob(f"*/blobs/*/{layer_digest.partition(':')[2]}")
    blob.chmod(0o644)
    data = bytearray(blob.read_bytes())
    data[50] ^= 1
    blob.write_bytes(data)
    with pytest.raises(DataLossError, match="is damaged"):
        oci.export_image(namespace, [NAME], out / "x")
    namespace.content.delete(layer_digest)
    with pytest.raises(NotFoundError, match=layer_digest):
        oci.export_image(namespace, [NAME], out / "x")
    assert list(out.iterdir()) == []


class Sieve(io.BytesIO):
    """A file that keeps headers and forgets data."""

    def write(self, data: object) -> int:
        size = len(memoryview(data))  # type: ignore[arg-type]
        return size if size > 1 << 20 else super().write(bytes(data))  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["short", f"{'p' * 150}/{'n' * 90}", f"blobs/sha512/{'f' * 128}"])
@pytest.mark.parametrize("gibibytes", [0, 9])
def test_names_and_sizes_beyond_the_old_fields(name: str, gibibytes: int) -> None:
    stream = Sieve()
    writer = TarWriter(stream)
    writer.file(name, 0o444, gibibytes << 30)
    chunk = bytes(1 << 30)
    for _ in range(gibibytes):
        writer.write(chunk)
    writer.finish()
    data = stream.getvalue()
    found = next(iter(TarReader(io.BytesIO(data))))
    assert (found.name.decode(), found.size) == (name, gibibytes << 30)
    with tarfile.open(fileobj=io.BytesIO(data)) as python:
        member = python.next()
        assert member is not None
        assert (member.name, member.size) == (name, gibibytes << 30)
