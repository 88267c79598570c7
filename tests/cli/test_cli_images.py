"""`orlop image`: imports, names of images, and exports."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from cli.players import Orlop

NAME = "example.com/greeting:v1"
TOP = "sha256:4772338489b52373e55032c52886ee4125a5938f782f8be45e9696826ad30945"


def test_import_says_what_it_did_on_stderr_and_the_name_on_stdout(
    orlop: Orlop, greeting: Path
) -> None:
    answer = orlop("image", "import", greeting, "--unpack", "native")

    assert answer.lines == [NAME]
    assert sum(line.startswith("import sha256:") for line in answer.err.splitlines()) == 5
    assert sum(line.startswith("unpack sha256:") for line in answer.err.splitlines()) == 3


def test_import_again_says_that_all_is_there(with_image: Orlop, greeting: Path) -> None:
    answer = with_image("image", "import", greeting, "--unpack", "native")

    assert {line.partition(": ")[2] for line in answer.err.splitlines()} == {"was there already"}


def test_a_quiet_import_says_nothing(orlop: Orlop, greeting: Path) -> None:
    assert orlop("image", "import", greeting, "--quiet").err == ""


def test_import_draws_bars_on_a_terminal(orlop: Orlop, greeting: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        process = subprocess.run(
            [sys.executable, "-m", "orlop", "--root", orlop.root, "image", "import", greeting],
            stdout=subprocess.PIPE,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm"},
            check=True,
            timeout=60,
        )
        drawn = os.read(ours, 1 << 16)
    finally:
        os.close(ours)
        os.close(theirs)

    assert process.stdout.decode().splitlines() == [NAME]
    assert b"import sha256:" in drawn
    assert b"\x1b[" in drawn


def test_import_does_not_unpack_unless_asked(orlop: Orlop, greeting: Path) -> None:
    orlop("image", "import", greeting, "-q")

    assert orlop("snapshot", "ls", "--json").objects() == []


def test_import_under_another_name_for_a_platform(orlop: Orlop, greeting: Path) -> None:
    answer = orlop(
        *("image", "import", greeting, "--name", "example.org/hello:2"),
        *("--platform", "linux/amd64", "--json"),
    )

    assert answer.document()["name"] == "example.org/hello:2"


def test_import_refuses_what_is_not_for_the_platform(orlop: Orlop, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    layout.mkdir()
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', encoding="utf-8")
    entry = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": "sha256:" + "0" * 64,
        "size": 1,
        "platform": {"os": "linux", "architecture": "s390x"},
    }
    index = {"schemaVersion": 2, "manifests": [entry]}
    (layout / "index.json").write_text(json.dumps(index), encoding="utf-8")

    assert "linux/amd64" in orlop("image", "import", layout, "--platform=linux/amd64", code=3).err
    # With all platforms it is looked at, and found to be missing.
    assert "0000" in orlop("image", "import", layout, "--all-platforms", code=3).err


def test_inspect_shows_blobs_snapshots_and_documents(with_image: Orlop) -> None:
    shown = with_image("image", "inspect", NAME, "--json").document()
    listed = with_image("content", "ls", "--json").objects()

    assert shown["namespace"] == "default"
    assert {blob["digest"] for blob in shown["blobs"]} == {blob["digest"] for blob in listed}
    assert shown["size"] == sum(blob["size"] for blob in listed)
    assert shown["missing"] == []
    assert shown["snapshots"] == [{"snapshotter": "native", "key": TOP}]
    assert shown["documents"]["config"]["platform"]["os"] == "linux"


def test_inspect_looks_into_all_namespaces(with_image: Orlop, greeting: Path) -> None:
    with_image("image", "import", greeting, "-n", "other", "-q")

    shown = with_image("image", "inspect", NAME, "--json").objects()

    assert [one["namespace"] for one in shown] == ["default", "other"]


def test_inspect_for_people_is_the_same_document_on_several_lines(with_image: Orlop) -> None:
    people = with_image("image", "inspect", NAME)

    assert len(people.lines) > 10
    assert people.document() == with_image("image", "inspect", NAME, "--json").document()


def test_filters(with_image: Orlop) -> None:
    assert len(with_image("image", "ls", "name~=greeting", "--json").objects()) == 1
    assert with_image("image", "ls", "name==other", "--json").objects() == []
    assert "parse error" in with_image("image", "ls", "name=", code=2).err


def test_tag_label_and_remove(with_image: Orlop) -> None:
    with_image("image", "tag", NAME, "example.com/greeting:a", "example.com/greeting:b")
    labelled = with_image("image", "label", "example.com/greeting:a", "team=red", "x=a=b")
    assert labelled.lines == ["team=red,x=a=b"]
    cleared = with_image("image", "label", "example.com/greeting:a", "team=", "--json")
    assert cleared.document()["labels"] == {"x": "a=b"}

    with_image("image", "rm", NAME, "example.com/greeting:b")

    assert [one["name"] for one in with_image("image", "ls", "--json").objects()] == [
        "example.com/greeting:a"
    ]


def test_tag_takes_a_name_from_another_image_only_by_force(with_image: Orlop) -> None:
    with_image("image", "tag", NAME, "copy")

    assert "copy" in with_image("image", "tag", NAME, "copy", code=4).err
    with_image("image", "tag", NAME, "copy", "--force")


def test_removing_several_is_all_or_nothing(with_image: Orlop) -> None:
    with_image("image", "rm", NAME, "missing", code=3)

    assert len(with_image("image", "ls", "--json").objects()) == 1


@pytest.mark.parametrize("namespace", [(), ("-n", "default")])
def test_export_writes_what_import_reads(
    with_image: Orlop, tmp_path: Path, namespace: tuple[str, ...]
) -> None:
    archive = tmp_path / "out.tar"

    with_image("image", "export", archive, NAME, *namespace, "--quiet")

    with tarfile.open(archive) as opened:
        assert {"oci-layout", "index.json"} <= set(opened.getnames())
    again = with_image("image", "import", archive, "-n", "again", "-q", "--json").document()
    (before,) = with_image("image", "ls", "-n", "default", "--json").objects()
    assert again["target"]["digest"] == before["target"]["digest"]


def test_export_to_standard_output(with_image: Orlop, tmp_path: Path) -> None:
    archive = tmp_path / "out.tar"
    with_image("image", "export", archive, NAME)

    assert with_image("image", "export", "-", NAME).raw == archive.read_bytes()


def test_export_finds_the_namespace_that_has_the_image(orlop: Orlop, greeting: Path) -> None:
    orlop("image", "import", greeting, "-n", "one", "-q")
    assert orlop("image", "export", "-", NAME).raw

    orlop("image", "import", greeting, "-n", "two", "-q")
    assert "one, two: choose one with -n" in orlop("image", "export", "-", NAME, code=2).err
    orlop("image", "export", "-", "missing", code=3)


def test_the_namespace_of_the_environment(
    orlop: Orlop, greeting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTAINERD_NAMESPACE", "tenant")
    orlop("image", "import", greeting, "-q")
    orlop("image", "import", greeting, "-q", "-n", "mine")

    shown = orlop("image", "ls", "--json").objects()

    assert [one["namespace"] for one in shown] == ["mine", "tenant"]


def test_an_image_that_is_there_is_unpacked(orlop: Orlop, greeting: Path) -> None:
    orlop("image", "import", greeting)
    both = ("--snapshotter", "native", "--unpack", "overlayfs")
    shown = orlop("image", "unpack", NAME, *both, "--json").objects()
    assert shown == [
        {"name": NAME, "snapshotter": name, "key": TOP} for name in ("native", "overlayfs")
    ]
    assert orlop("snapshot", "tree").out.count(TOP) == 2
    assert "image" in orlop("image", "unpack", "other", code=3).err


def test_what_is_no_image_is_imported_and_named(orlop: Orlop, data: Path) -> None:
    archive = data / "cases" / "archives" / "o-referrer.tar"
    answer = orlop("image", "import", archive, "--unpack", "native", "--unpack", "overlayfs")
    image, other = answer.lines
    assert f"{other} was not unpacked: it is no image that could run here" in answer.err
    assert image not in answer.err
    assert "no image that could run" in orlop("image", "unpack", other, code=2).err


def test_a_blob_by_another_algorithm_is_ingested_and_verified(orlop: Orlop, tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"data")
    for algorithm in ("sha384", "sha512"):
        digest = f"{algorithm}:{hashlib.new(algorithm, b'data').hexdigest()}"
        ingest = ("content", "ingest", f"a-{algorithm}", tmp_path / "blob", "--expected", digest)
        assert orlop(*ingest).lines == [digest]
        assert orlop("content", "verify", digest).lines == [f"{digest}: sound"]
        assert orlop("content", "cat", digest).raw == b"data"
