"""Images that cannot be imported: exit code, one helpful line, and no leftovers."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.players import CONTENT
from oci.builder import (
    OCI_CONFIG,
    OCI_LAYER,
    Built,
    docker_archive,
    entry,
    hardlink,
    layer,
    symlink,
    write_archive,
)
from orlop.cli.exit_codes import CORRUPT, NOT_FOUND, PRECONDITION, USAGE
from orlop.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.players import Orlop

LAYERS = [layer(entry("first", data=b"1" * 5000)), layer(entry("second", data=b"2" * 5000))]
SNAPSHOTS = "io.containerd.snapshotter.v1.native/snapshots"


def built(*layers: bytes, compress: bool = True) -> Built:
    result = Built()
    result.image(layers or LAYERS, compress=compress)
    return result


def cut_off(path: Path) -> None:
    built().archive(path)
    path.write_bytes(path.read_bytes()[:3300])


def wrong_digest(path: Path) -> None:
    image = built()
    digest = list(image.blobs)[1]
    image.blobs[digest] = b"?" + image.blobs[digest][1:]
    image.archive(path)


def wrong_size(path: Path) -> None:
    image = built()
    digest = list(image.blobs)[1]
    image.blobs[digest] += b"more"
    image.archive(path)


def missing_layer(path: Path) -> None:
    image = built()
    del image.blobs[list(image.blobs)[1]]
    image.archive(path)


def missing_manifest(path: Path) -> None:
    image = built()
    del image.blobs[list(image.blobs)[-1]]
    image.archive(path)


def no_archive(path: Path) -> None:
    path.write_text("This is no archive. " * 100, encoding="utf-8")


def empty_file(path: Path) -> None:
    path.touch()


def other_archive(path: Path) -> None:
    path.write_bytes(layer(entry("readme", data=b"hello")))


def empty_directory(path: Path) -> None:
    path.mkdir()


def no_index(path: Path) -> None:
    files = built().files()
    del files["index.json"]
    write_archive(path, files)


def no_json(path: Path) -> None:
    built().layout(path)
    (path / "index.json").write_text("{", encoding="utf-8")


def damaged_layer(path: Path) -> None:
    image = Built()
    image.image([LAYERS[0][:700]])
    image.archive(path)


def wrong_chain(path: Path) -> None:
    """Make an image with a config that lists other layers than it has."""
    image = built()
    config = {"architecture": "amd64", "os": "linux"}
    config |= {"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64] * 2}}  # type: ignore[dict-item]
    layers = [
        {"mediaType": OCI_LAYER + "+gzip", "digest": digest, "size": len(image.blobs[digest])}
        for digest in list(image.blobs)[:2]
    ]
    manifest = {
        "schemaVersion": 2,
        "config": image.blob(json.dumps(config).encode(), OCI_CONFIG),
        "layers": layers,
    }
    image.entries = [
        image.blob(
            json.dumps(manifest).encode(),
            "application/vnd.oci.image.manifest.v1+json",
            annotations={"org.opencontainers.image.ref.name": "example.com/built:v1"},
        )
    ]
    image.archive(path)


def cut_off_docker(path: Path) -> None:
    docker_archive(path, LAYERS)
    path.write_bytes(path.read_bytes()[:9000])


BAD: list[tuple[Callable[[Path], object], int, str]] = [
    (cut_off, CORRUPT, "cut off"),
    (cut_off_docker, CORRUPT, "cut off"),
    (wrong_digest, CORRUPT, "has the digest"),
    (wrong_size, CORRUPT, "sha256:"),
    (missing_layer, NOT_FOUND, "sha256:"),
    (missing_manifest, NOT_FOUND, "sha256:"),
    (no_archive, USAGE, "not a tar archive"),
    (empty_file, USAGE, "too short"),
    (other_archive, USAGE, "oci-layout"),
    (empty_directory, USAGE, "oci-layout"),
    (no_index, USAGE, "index.json"),
    (no_json, USAGE, "index"),
    (damaged_layer, CORRUPT, "cut off"),
    (wrong_chain, PRECONDITION, "sha256:0000"),
]


def holds_nothing(orlop: Orlop) -> bool:
    """Collect; tell whether database and disk hold nothing at all."""
    orlop("gc", "run")
    listings = [
        orlop(group, "ls", "--json").lines for group in ("image", "content", "snapshot", "lease")
    ]
    kept = [
        path
        for folder in (CONTENT / "blobs" / "sha256", CONTENT / "ingest", Path(SNAPSHOTS))
        if (orlop.root / folder).exists()
        for path in (orlop.root / folder).iterdir()
    ]
    return not any(listings) and not kept and not orlop("content", "ingests", "--json").lines


@pytest.mark.parametrize(
    ("make", "code", "said"), BAD, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_bad_image(
    orlop: Orlop, tmp_path: Path, make: Callable[[Path], object], code: int, said: str
) -> None:
    source = tmp_path / "bad.tar"
    make(source)

    answer = orlop("image", "import", source, "--unpack", "native", "--quiet", code=code)

    assert said in answer.err
    assert (answer.out, answer.err.count("\n")) == ("", 1)
    # An image whose layers cannot be unpacked is an image all the same.
    for image in orlop("image", "ls", "--json").objects():
        orlop("image", "rm", image["name"])
    assert holds_nothing(orlop)
    orlop("db", "check")
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--unpack", "zfs"), PRECONDITION),
        (("--platform", "plan 9"), USAGE),
        (("-n", "no/namespace"), USAGE),
    ],
)
def test_bad_wishes_for_a_good_image(
    orlop: Orlop, greeting: Path, arguments: tuple[str, ...], code: int
) -> None:
    answer = orlop("image", "import", greeting, "--quiet", *arguments, code=code)

    assert arguments[1] in answer.err
    assert answer.err.count("\n") == 1
    assert not (orlop.root / CONTENT / "blobs").exists()


@pytest.mark.parametrize(
    "entries",
    [
        [entry("../../../escaped", data=b"hostile")],
        [entry("/../escaped", data=b"hostile")],
        [symlink("out", "../../../../../.."), entry("out/escaped", data=b"hostile")],
        [symlink("out", "OUTSIDE"), entry("out/escaped", data=b"hostile")],
        [symlink("out", "OUTSIDE/precious"), hardlink("mine", "out")],
        [symlink("out", "OUTSIDE"), entry("out/.wh.precious")],
        [symlink("out", "OUTSIDE"), entry("out/.wh..wh..opq")],
        [hardlink("mine", "../../../../../../../../../../OUTSIDE/precious")],
        [entry("precious", kind=tarfile.LNKTYPE, link="/etc/passwd")],
    ],
    ids=lambda entries: " ".join(info.name for info, _ in entries),
)
def test_a_hostile_layer_changes_nothing_outside(
    orlop: Orlop, tmp_path: Path, entries: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious", encoding="utf-8")
    bad = [
        (info.replace(linkname=info.linkname.replace("OUTSIDE", str(outside))), data)
        for info, data in entries
    ]
    source = tmp_path / "bad.tar"
    built(LAYERS[0], layer(*bad)).archive(source)

    ended = main(["--root", str(orlop.root), "image", "import", str(source), "--unpack", "native"])

    # What can be kept inside is; what cannot is refused.
    assert ended in {0, USAGE}
    assert [path.name for path in outside.iterdir()] == ["precious"]
    assert (outside / "precious").read_text(encoding="utf-8") == "precious"
    assert (outside / "precious").stat().st_nlink == 1
    inside = orlop.root / SNAPSHOTS
    assert all(path.is_relative_to(inside) for path in tmp_path.rglob("escaped"))
    orlop("image", "rm", "example.com/built:v1")
    assert holds_nothing(orlop)


def test_a_file_that_is_not_there(orlop: Orlop, tmp_path: Path) -> None:
    assert "gone.tar" in orlop("image", "import", tmp_path / "gone.tar", code=NOT_FOUND).err


@pytest.mark.parametrize(
    "label", ["=value", "k=" + "v" * 5000, "k" * 5000 + "=v"], ids=["no key", "value", "key"]
)
@pytest.mark.parametrize("group", ["image", "container", "content", "snapshot"])
def test_labels_that_cannot_be(with_image: Orlop, group: str, label: str) -> None:
    (image,) = with_image("image", "ls", "--json").objects()
    with_image("container", "create", "it")
    with_image("snapshot", "prepare", "it")
    target = {"image": image["name"], "content": image["target"]["digest"]}.get(group, "it")
    before = with_image("db", "dump").raw

    assert "label" in with_image(group, "label", target, label, code=USAGE).err
    assert with_image("db", "dump").raw == before
