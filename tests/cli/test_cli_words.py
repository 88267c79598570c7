"""Output for people: abbreviated digests, aligned tables, and correct sentences."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

import orlop as library
from cli.players import CONTENT, METADATA
from orlop.cli.exit_codes import CORRUPT, NEGATIVE, NOT_FOUND, USAGE

if TYPE_CHECKING:
    from pathlib import Path

    from cli.players import Orlop

NAME = "example.com/greeting:v1"
ODD_NAMES = ("plain", "caf\u00e9", "\u4e2d\u6587\u5b57", "e\u0301te\u0301", "red\x1b[31m")


def target(orlop: Orlop) -> str:
    (image,) = orlop("image", "ls", "--json").objects()
    return str(image["target"]["digest"])


@pytest.mark.parametrize("length", [4, 12, 64])
@pytest.mark.parametrize("prefix", ["", "sha256:"])
def test_the_beginning_of_a_digest_is_enough(with_image: Orlop, prefix: str, length: int) -> None:
    digest = target(with_image)
    short = prefix + digest.removeprefix("sha256:")[:length]

    whole = with_image("content", "cat", digest).raw
    assert with_image("content", "cat", short).raw == whole
    assert json.loads(whole)["schemaVersion"] == 2
    assert with_image("content", "verify", short).lines == [f"{digest}: sound"]
    assert with_image("image", "inspect", short).raw == with_image("image", "inspect", NAME).raw


@pytest.mark.parametrize("text", ["", "abc", "sha256:", "0123456789", "sha256:0123456789"])
def test_what_begins_no_digest_is_not_found(with_image: Orlop, text: str) -> None:
    with_image("content", "cat", text, code=NOT_FOUND)
    with_image("content", "verify", text, code=NOT_FOUND)
    with_image("image", "inspect", text, code=NOT_FOUND)


def test_the_beginning_of_several_is_refused(with_image: Orlop) -> None:
    refused = with_image("content", "cat", "sha256:c", code=USAGE).err

    assert "ambiguous: sha256:c2a9" in refused
    assert "sha256:c69a" in refused


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_columns_stay_aligned_whatever_is_escaped(orlop: Orlop, encoding: str) -> None:
    from orlop.cli.output import _width  # noqa: PLC0415 (how wide a terminal shows it)

    for number, name in enumerate(ODD_NAMES):
        orlop("lease", "create", name, "--label", f"number={number}")

    ended = orlop.started("lease", "ls", env={"PYTHONIOENCODING": encoding})
    head, *rows = ended.stdout.decode(encoding).splitlines()

    assert len(rows) == len(ODD_NAMES)
    begin = head.index("LABELS")
    assert {_width(row[: row.index("number=")]) for row in rows} == {begin}


def test_the_doubt_after_a_new_beginning_is_true(with_image: Orlop) -> None:
    (with_image.root / METADATA).unlink()
    with_image("db", "init", "--begin-anew")

    assert "it was made anew" in with_image("gc", "plan", "--json").document()["doubt"]


def test_nothing_set_aside_is_said_so(with_image: Orlop) -> None:
    assert with_image("gc", "quarantine").lines == ["nothing is set aside"]
    (with_image.root / METADATA).parent.joinpath("orlop", "period.json").unlink()

    lines = with_image("gc", "plan").lines

    assert not [line for line in lines if "set aside" in line]
    assert any(line.startswith("no data is deleted, because meta.db is not as") for line in lines)


def test_the_fault_of_an_image_says_how_many_there_are(with_image: Orlop) -> None:
    for blob in (with_image.root / CONTENT / "blobs" / "sha256").iterdir():
        os.truncate(blob, 1)

    (row,) = with_image("image", "ls").lines[1:]

    assert row.endswith("(5 items are faulty, this is the first)")
    with_image("content", "verify", code=NEGATIVE)
    with_image("content", "cat", target(with_image)[:20], code=CORRUPT)


class Refusing:
    """Resources that cannot take part in a collection."""

    type = "ticket"
    reference_label = "ticket"

    def begin(self) -> None:
        raise ValueError("no tickets")


def test_a_collection_that_a_plug_in_called_off_is_failed_in_the_journal(tmp_path: Path) -> None:
    with library.open(tmp_path) as database:
        with database.namespace("default").content.writer("ref") as writer:
            writer.write(b"garbage")
            writer.commit()
        database.gc.register(Refusing())  # type: ignore[arg-type]
        statistics = database.gc.run()

        assert statistics.was_called_off
        journal = database.gc.journal
        assert journal is not None
        (entry,) = journal.entries()
        assert (entry.event, "no tickets" in entry.reason) == ("failed", True)
