"""`orlop content`: blobs in, out, labelled, verified and removed."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

import orlop as library
from cli.players import CONTENT
from orlop import digests

if TYPE_CHECKING:
    from pathlib import Path

    from cli.players import Orlop

DATA = b"a few bytes\n"
DIGEST = digests.from_bytes(DATA)


def test_ingest_and_cat(orlop: Orlop, tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(DATA)

    assert orlop("content", "ingest", "ref", file).lines == [DIGEST]
    assert orlop("content", "cat", DIGEST).raw == DATA


def test_ingest_from_standard_input_with_expectations_and_labels(orlop: Orlop) -> None:
    answer = orlop(
        *("content", "ingest", "ref", "-", "--expected", DIGEST, "--size", "12"),
        *("--label", "containerd.io/gc.root=now", "--json"),
        stdin=DATA,
    )

    assert answer.document()["size"] == len(DATA)
    assert answer.document()["labels"] == {"containerd.io/gc.root": "now"}


@pytest.mark.parametrize(
    "expectation", [("--expected", digests.from_bytes(b"other")), ("--size", "13")]
)
def test_ingest_refuses_what_it_did_not_expect(orlop: Orlop, expectation: tuple[str, str]) -> None:
    orlop("content", "ingest", "ref", "-", *expectation, stdin=DATA, code=5)

    assert orlop("content", "ls", "--json").objects() == []
    assert orlop("content", "ingests", "--json").objects() == []


def test_an_interrupted_ingest_goes_on_where_it_stopped(orlop: Orlop) -> None:
    with (
        library.open(orlop.root) as database,
        database.namespace("default").content.writer("ref") as writer,
    ):
        writer.write(DATA[:5])
    (ingest,) = orlop("content", "ingests", "--json").objects()
    assert (ingest["ref"], ingest["offset"]) == ("ref", 5)

    orlop("content", "ingest", "ref", "-", "--expected", DIGEST, stdin=DATA)

    assert orlop("content", "cat", DIGEST).raw == DATA
    assert orlop("content", "ingests", "--json").objects() == []


@pytest.mark.parametrize("is_file", [False, True])
def test_an_ingest_starts_over_where_other_data_was_written_before(
    orlop: Orlop, tmp_path: Path, *, is_file: bool
) -> None:
    with (
        library.open(orlop.root) as database,
        database.namespace("default").content.writer("ref") as writer,
    ):
        writer.write(b"other")

    file = tmp_path / "data"
    if is_file:
        file.write_bytes(DATA)
        orlop("content", "ingest", "ref", file, "--expected", DIGEST)
    else:
        os.mkfifo(file)
        feeder = threading.Thread(target=file.write_bytes, args=(DATA,))
        feeder.start()
        failed = orlop("content", "ingest", "ref", file, "--expected", DIGEST, code=5)
        feeder.join()
        assert "run the command again" in failed.err
        orlop("content", "ingest", "ref", "-", "--expected", DIGEST, stdin=DATA)
    assert orlop("content", "cat", DIGEST).raw == DATA


def test_ingest_of_what_is_there(orlop: Orlop) -> None:
    orlop("content", "ingest", "one", "-", stdin=DATA)

    assert DIGEST in orlop("content", "ingest", "two", "-", stdin=DATA, code=4).err


def test_label(orlop: Orlop) -> None:
    orlop("content", "ingest", "ref", "-", "--label", "old=1", stdin=DATA)

    assert orlop("content", "label", DIGEST, "new.name/x=2", "old=").lines == ["new.name/x=2"]
    orlop("content", "label", digests.from_bytes(b""), "a=b", code=3)


def test_remove_takes_the_name_and_a_collection_the_data(orlop: Orlop) -> None:
    orlop("content", "ingest", "ref", "-", stdin=DATA)
    blob = orlop.root / CONTENT / "blobs" / "sha256" / digests.encoded(DIGEST)

    orlop("content", "rm", DIGEST)
    assert orlop("content", "ls", "--json").objects() == []
    orlop("content", "cat", DIGEST, code=3)
    assert blob.exists()

    orlop("gc", "run")
    assert not blob.exists()


def test_cat_finds_the_namespace(orlop: Orlop) -> None:
    orlop("content", "ingest", "ref", "-", "-n", "other", stdin=DATA)

    assert orlop("content", "cat", DIGEST).raw == DATA
    orlop("content", "cat", DIGEST, "-n", "default", code=3)


def test_verify_names_what_is_damaged_or_missing(with_image: Orlop) -> None:
    blobs = with_image.root / CONTENT / "blobs" / "sha256"
    assert all(line.endswith(": sound") for line in with_image("content", "verify").lines)
    changed, cut, gone, *_ = sorted(blobs.iterdir())
    for path in (changed, cut):
        path.chmod(0o600)
    changed.write_bytes(b"?" + changed.read_bytes()[1:])
    cut.write_bytes(cut.read_bytes()[:-1])
    gone.unlink()

    faults = {
        one["digest"]: one["fault"]
        for one in with_image("content", "verify", "--json", code=1).objects()
    }

    assert "the data has the digest sha256:" in faults[f"sha256:{changed.name}"]
    assert "bytes instead of" in faults[f"sha256:{cut.name}"]
    assert faults[f"sha256:{gone.name}"] == "the data is missing"
    assert list(faults.values()).count("") == 2
    with_image("content", "verify", f"sha256:{changed.name}", code=1)
    with_image("content", "verify", digests.from_bytes(b""), code=3)


def test_filters(with_image: Orlop) -> None:
    found = with_image(
        "content", "ls", 'labels."containerd.io/gc.ref.snapshot.native"', "--json"
    ).objects()

    assert len(found) == 1
