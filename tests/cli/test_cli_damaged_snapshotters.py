"""A snapshotter with a damaged or lost database: collections do the rest and report it."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest

from cli.players import CONTENT, OVERLAY
from orlop.cli.exit_codes import CORRUPT, DONE, NEGATIVE, PRECONDITION
from orlop.storage.content import LocalContent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli.players import Orlop

DAMAGES: dict[str, tuple[Callable[[bytes], bytes], int]] = {
    "noise": (lambda data: random.Random(3).randbytes(len(data)), CORRUPT),
    "cut": (lambda data: data[:8192], CORRUPT),
    "pages": (lambda data: data[:8192] + random.Random(2).randbytes(len(data) - 8192), CORRUPT),
    "empty": (lambda _: b"", PRECONDITION),
}


@pytest.fixture
def garbage(orlop: Orlop, greeting: Path) -> str:
    """Return the digest of an unreachable blob, beside an image with snapshots."""
    orlop(
        "image", "import", greeting, "--quiet", "--unpack", "native", "--unpack", "overlayfs"
    )  # fmt: skip
    orlop("gc", "run")
    ingested = orlop("content", "ingest", "ref", "-", "--json", stdin=b"garbage").document()
    return str(ingested["digest"])


def blob(orlop: Orlop, digest: str) -> Path:
    return orlop.root / CONTENT / "blobs" / "sha256" / digest.partition(":")[2]


@pytest.mark.parametrize("options", [(), ("--json",), ("--quiet",)], ids=str)
@pytest.mark.parametrize("how", DAMAGES)
def test_collections_do_what_they_can_and_end_as_damaged(
    orlop: Orlop, garbage: str, how: str, options: tuple[str, ...]
) -> None:
    file = orlop.root / OVERLAY
    damage, code = DAMAGES[how]
    file.write_bytes(damage(file.read_bytes()))
    before = file.read_bytes()

    planned = orlop("gc", "plan", *options, code=code)
    assert garbage in planned.out
    assert blob(orlop, garbage).exists()
    collected = orlop("gc", "run", "--yes", *options, code=code)
    assert not blob(orlop, garbage).exists()

    assert file.read_bytes() == before
    for answer in (planned, collected):
        if "--json" in options:
            assert list(answer.document()["failures"]) == ["overlayfs"]
            error = json.loads(answer.err.splitlines()[-1])["error"]
            assert (error["exit_code"], str(file) in error["message"]) == (code, True)
        else:
            *said, error = answer.err.splitlines()
            assert error.startswith(f"orlop: {file}")
            assert [line.startswith("overlayfs") for line in said] == [True] * (not options)
    # What needs another snapshotter, or none, goes on.
    orlop("image", "unpack", "example.com/greeting:v1", "--snapshotter", "native", "--quiet")
    orlop("content", "verify")


@pytest.mark.parametrize("how", DAMAGES)
def test_a_listing_of_images_names_the_snapshots_that_cannot_be_checked(
    orlop: Orlop, garbage: str, how: str
) -> None:
    assert garbage
    file = orlop.root / OVERLAY
    file.write_bytes(DAMAGES[how][0](file.read_bytes()))

    (image,) = orlop("image", "ls", "--json").objects()

    for fault in image["faults"]:
        assert fault["key"].startswith("overlayfs/")
        assert fault["fault"].startswith(f"cannot be checked: {file}")
    assert str(file) in orlop("image", "ls").out


def test_a_plan_without_a_backend_that_fails_is_a_negative_answer(
    orlop: Orlop, garbage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert garbage

    def fail(_: LocalContent) -> None:
        raise ValueError("a plug-in's")

    orlop("gc", "plan", code=DONE)
    monkeypatch.setattr(LocalContent, "walk", fail)

    plan = orlop("gc", "plan", code=NEGATIVE)
    assert "content could not be read, and is not in the plan: ValueError" in plan.err
    run = orlop("gc", "run", code=NEGATIVE)
    assert "content: ValueError: a plug-in's; the next collection tries again" in run.err


def test_a_sound_database_in_the_place_of_a_damaged_one_stops_an_open_handle(
    orlop: Orlop, garbage: str
) -> None:
    import orlop as library  # noqa: PLC0415 (the fixture has that name)

    file = orlop.root / OVERLAY
    sound = file.read_bytes()
    file.write_bytes(b"")
    with library.open(orlop.root) as database:
        file.write_bytes(sound)
        assert "was replaced" in database.gc.run(confirmed=True).failures["content"]
    assert blob(orlop, garbage).exists()
