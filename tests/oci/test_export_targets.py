"""Export: existing files at the target, and the image names in the archive."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orlop.database import open_database
from orlop.errors import InvalidArgumentError
from orlop.oci import export_image, import_image
from orlop.records import Image
from storage.mounting import bound

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.namespace import Namespace

EXAMPLE = Path("examples/greeting.tar").absolute()
NAME = "example.com/greeting:v1"
OWN = [
    "io.containerd.metadata.v1.bolt/meta.db",
    "io.containerd.metadata.v1.bolt/new",
    "io.containerd.snapshotter.v1.native/metadata.db",
    "io.containerd.snapshotter.v1.native/snapshots/1/new",
    "io.containerd.content.v1.content/blobs/sha256/{blob}",
    "io.containerd.content.v1.content/ingest/new",
]
GRAMMAR = re.compile(r"[A-Za-z0-9]+((\.|-|_|:|@|\+|--|/)[A-Za-z0-9]+)*")
"""As the OCI image spec has it, annotations.md."""


@pytest.fixture
def root(namespace: Namespace) -> Path:
    import_image(namespace, EXAMPLE, unpack="native")
    root = namespace.environment.root
    assert root is not None
    return root


def contents(root: Path) -> dict[Path, Any]:
    return {path: path.is_file() and path.read_bytes() for path in sorted(root.rglob("*"))}


def own_file(root: Path, name: str) -> Path:
    blob = min((root / "io.containerd.content.v1.content/blobs/sha256").iterdir()).name
    return root / name.format(blob=blob)


def as_it_is(path: Path, folder: Path) -> Path:
    del folder
    return path


def by_link(path: Path, folder: Path) -> Path:
    link = folder / "link.tar"
    link.symlink_to(path)
    return link


def by_linked_directory(path: Path, folder: Path) -> Path:
    link = folder / "directory"
    link.symlink_to(path.parent)
    return link / path.name


def by_relative_path(path: Path, folder: Path) -> Path:
    return Path(os.path.relpath(path, folder))


@pytest.mark.parametrize("way", [as_it_is, by_link, by_linked_directory, by_relative_path])
@pytest.mark.parametrize("name", OWN)
def test_a_file_of_the_root_is_refused(
    namespace: Namespace,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    way: Callable[[Path, Path], Path],
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    target = way(own_file(root, name), tmp_path / "elsewhere")
    before = contents(root)
    with pytest.raises(InvalidArgumentError, match=f"is a file of the root {root}"):
        export_image(namespace, [NAME], target)
    assert contents(root) == before


@pytest.mark.parametrize("name", [OWN[0], OWN[2], OWN[4]])
def test_a_second_name_of_a_file_of_the_root_is_refused(
    namespace: Namespace, root: Path, tmp_path: Path, name: str
) -> None:
    target = tmp_path / "second.tar"
    target.hardlink_to(own_file(root, name))
    before = contents(root)
    with pytest.raises(InvalidArgumentError, match="is a file of the root"):
        export_image(namespace, [NAME], target)
    with target.open("r+b") as file, pytest.raises(InvalidArgumentError, match="of the root"):
        export_image(namespace, [NAME], file)
    assert contents(root) == before


@pytest.mark.root
@pytest.mark.parametrize("name", [OWN[0], OWN[2], OWN[4]])
def test_a_file_of_the_root_that_is_mounted_elsewhere_is_refused(
    namespace: Namespace, root: Path, tmp_path: Path, name: str
) -> None:
    target = tmp_path / "mounted.tar"
    target.touch()
    (tmp_path / "all").mkdir()
    before = contents(root)
    with bound(own_file(root, name), target), bound(root, tmp_path / "all"):
        for one in (target, tmp_path / "all" / own_file(root, name).relative_to(root)):
            with pytest.raises(InvalidArgumentError, match="is a file of the root"):
                export_image(namespace, [NAME], one)
    assert contents(root) == before


def test_files_elsewhere_are_written(namespace: Namespace, root: Path, tmp_path: Path) -> None:
    (tmp_path / "old.tar").write_text("old")
    (tmp_path / "two.tar").hardlink_to(tmp_path / "old.tar")
    (tmp_path / "link.tar").symlink_to("old.tar")
    for target in (tmp_path / "new.tar", tmp_path / "link.tar", tmp_path / "two.tar"):
        export_image(namespace, [NAME], target)
        assert tarfile.is_tarfile(target)
    export_image(namespace, [NAME], root / "beside.tar")
    stream = io.BytesIO()
    export_image(namespace, [NAME], stream)
    assert stream.getvalue() == (tmp_path / "new.tar").read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        export_image(namespace, [NAME], pipe)
        assert reader.communicate()[0] == stream.getvalue()


def documents(namespace: Namespace, name: str, path: Path) -> tuple[dict[str, str], Any]:
    """Return the annotations of the one image in an archive, and Docker's manifest of it."""
    export_image(namespace, [name], path)
    with tarfile.open(path) as archive:
        index, saved = (archive.extractfile(one) for one in ("index.json", "manifest.json"))
        assert index is not None
        assert saved is not None
        (entry,) = json.load(index)["manifests"]
        (manifest,) = json.load(saved)
    return entry["annotations"], manifest["RepoTags"]


@pytest.mark.parametrize(
    ("name", "reference", "tags"),
    [
        ("example.com/x:v1", "v1", ["example.com/x:v1"]),
        ("example.com/x@{digest}", None, None),
        ("example.com/x:v1@{digest}", "v1@{digest}", ["example.com/x:v1"]),
        ("docker.io/library/x@{digest}", None, None),
        ("docker.io/library/x:v1@{digest}", "v1@{digest}", ["x:v1"]),
        ("example.com/x", None, ["example.com/x:latest"]),
        ("no name at all", None, None),
    ],
)
def test_an_archive_calls_an_image_by_what_is_a_reference(
    namespace: Namespace, tmp_path: Path, root: Path, name: str, reference: str | None, tags: Any
) -> None:
    assert root.is_dir()
    target = namespace.images.get(NAME).target
    full = name.format(digest=target.digest)
    namespace.images.create(Image(name=full, target=target))
    annotations, saved = documents(namespace, full, tmp_path / "out.tar")
    expected = None if reference is None else reference.format(digest=target.digest)
    assert annotations.get("org.opencontainers.image.ref.name") == expected
    assert expected is None or GRAMMAR.fullmatch(expected)
    assert annotations["io.containerd.image.name"] == full
    assert saved == tags
    with open_database(tmp_path / "again") as again:
        (image,) = import_image(again.namespace("default"), tmp_path / "out.tar")
        assert (image.name, image.target.digest) == (full, target.digest)


@pytest.mark.real("skopeo")
@pytest.mark.parametrize("name", ["example.com/x@{digest}", "example.com/x:v1@{digest}"])
def test_skopeo_reads_an_image_that_is_named_by_its_digest(
    namespace: Namespace, tmp_path: Path, root: Path, name: str
) -> None:
    assert root.is_dir()
    target = namespace.images.get(NAME).target
    full = name.format(digest=target.digest)
    namespace.images.create(Image(name=full, target=target))
    export_image(namespace, [full], tmp_path / "out.tar")
    for source in ("oci-archive", "docker-archive"):
        done = subprocess.run(
            ["skopeo", "inspect", "--raw", f"{source}:{tmp_path / 'out.tar'}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (source, done.stderr)
