"""Odd forms of each document of an image: imported and unpacked where containerd does it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from oci.builder import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Built,
    digest_of,
    entry,
    layer,
    write_archive,
)
from orlop import oci
from orlop.database import open_database
from orlop.errors import OrlopError
from real.daemon import Daemon

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

LAYER = layer(entry("file", data=b"x"))
CHANGES: Mapping[str, Callable[[bytes], bytes]] = {
    "none": lambda data: data,
    "zero after it": lambda data: data + b"\x00",
    "document after it": lambda data: data + b"{}",
    "byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "white space": lambda data: b"\r\n\t " + data + b" \n",
    "keys in other case": lambda data: (
        data.replace(b"manifests", b"MANIFESTS")
        .replace(b'"config"', b'"CONFIG"')
        .replace(b'layers":', b'LaYerS":')
        .replace(b"diff_ids", b"DIFF_IDS")
    ),
    "no utf-8": lambda data: b'{"x":"\xe9\xff",' + data[1:],
    "half a pair": lambda data: b'{"x":"\\ud83d",' + data[1:],
    "control character": lambda data: b'{"x":"\n",' + data[1:],
    "deep": lambda data: b'{"x":' + b"[" * 9998 + b"]" * 9998 + b"," + data[1:],
    "too deep": lambda data: b'{"x":' + b"[" * 10_000 + b"]" * 10_000 + b"," + data[1:],
    "version as text": lambda data: data.replace(
        b'"schemaVersion": 2', b'"schemaVersion": "2"'
    ).replace(b'"os": "linux"', b'"os": 1'),
    "key twice": lambda data: data.replace(
        b'"config": {', b'"config": {"annotations": {"a": "b"}}, "config": {'
    ),
    "nulls": lambda data: b'{"annotations":null,"mediaType":null,' + data[1:],
}


def files(document: str, change: Callable[[bytes], bytes]) -> dict[str, bytes]:
    """Return an OCI archive with a changed `document` and correct digests."""

    def made(name: str, value: object) -> bytes:
        data = json.dumps(value).encode()
        return change(data) if name == document else data

    built = Built()
    root = {"type": "layers", "diff_ids": [digest_of(LAYER)]}
    config = made("config", {"architecture": "amd64", "os": "linux", "rootfs": root})
    manifest = {
        "schemaVersion": 2,
        "config": built.blob(config, OCI_CONFIG),
        "layers": [built.blob(LAYER, OCI_LAYER)],
    }
    named = {"io.containerd.image.name": "example.com/formed:v1"}
    built.entries.append(built.blob(made("manifest", manifest), OCI_MANIFEST, annotations=named))
    found = built.files()
    found["index.json"] = made("index", json.loads(found["index.json"]))
    found["oci-layout"] = made("layout", {"imageLayoutVersion": "1.0.0"})
    return found


@pytest.mark.real("containerd", "ctr")
@pytest.mark.root
@pytest.mark.parametrize("document", ["layout", "index", "manifest", "config"])
def test_a_document_is_understood_or_refused_as_by_containerd(
    tmp_path: Path, document: str
) -> None:
    (tmp_path / "theirs").mkdir()
    with Daemon(tmp_path / "theirs") as daemon, open_database(tmp_path / "ours") as database:
        for number, (name, change) in enumerate(CHANGES.items()):
            archive = write_archive(tmp_path / f"{number}.tar", files(document, change))
            options = ("images", "import", "--snapshotter", "native", archive)
            done = daemon.try_ctr(*options, namespace=f"n{number}")
            namespace = database.namespace(f"n{number}")
            refusal = ""
            try:
                oci.import_image(namespace, archive, unpack="native")
            except OrlopError as error:
                refusal = str(error)
            assert bool(refusal) == bool(done.returncode), (name, refusal, done.stderr)
            if not refusal:
                images = {
                    row[0]: row[2] for row in daemon.rows("images", "ls", namespace=f"n{number}")
                }
                assert {one.name: one.target.digest for one in namespace.images.list()} == images
