"""`orlop gc`: plans, and the records and data that runs remove."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cli.players import CONTENT
from orlop.cli.exit_codes import CORRUPT

if TYPE_CHECKING:
    from pathlib import Path

    from cli.players import Orlop

NAME = "example.com/greeting:v1"
TIME = "2026-11-24T12:00:00Z"


def test_plan_and_run_of_an_image_that_went(with_image: Orlop) -> None:
    assert with_image("gc", "plan", "--json").document() == {
        "remove": [],
        "kept": 9,
        "freed_bytes": 0,
    }
    with_image("image", "rm", NAME)

    plan = with_image("gc", "plan", "--json").document()

    assert plan["kept"] == 0
    assert sorted({one["type"] for one in plan["remove"]}) == ["content", "snapshot"]
    assert all(
        set(one) == {"type", "namespace", "key", "bytes", "reason"} for one in plan["remove"]
    )
    assert plan["freed_bytes"] == sum(one["bytes"] for one in plan["remove"]) > 0

    done = with_image("gc", "run", "--json").document()
    assert done["removed"] == {"content": 5, "snapshot": 3}
    assert done["freed_bytes"] == plan["freed_bytes"]
    assert done["failures"] == {}
    assert list((with_image.root / CONTENT / "blobs" / "sha256").iterdir()) == []


def test_plan_and_run_for_people(with_image: Orlop) -> None:
    with_image("image", "rm", NAME)

    plan = with_image("gc", "plan").lines
    assert plan[0].split() == ["TYPE", "NAMESPACE", "KEY", "FREES", "WHY"]
    assert plan[-1].startswith("8 would be removed, which frees ")
    assert plan[-1].endswith("; 0 are held")
    assert with_image("gc", "run").lines[0] == "removed: 3 snapshot, 5 content; 0 are held"
    assert with_image("gc", "run").lines[0] == "removed: nothing; 0 are held"


def test_a_plan_for_a_time_to_come(orlop: Orlop) -> None:
    orlop("lease", "create", "mine", "--expires", "1h")

    assert orlop("gc", "plan", "--json").document()["remove"] == []
    (removal,) = orlop("gc", "plan", "--now", "2199-01-01T00:00:00Z", "--json").document()["remove"]
    assert (removal["type"], removal["key"]) == ("lease", "mine")
    assert "RFC" not in orlop("gc", "plan", "--now", "tomorrow", code=2).err


def test_the_part_of_a_plan_that_is_in_a_namespace(with_image: Orlop, greeting: Path) -> None:
    with_image("image", "import", greeting, "-n", "other", "-q")
    with_image("image", "rm", NAME)

    everything = with_image("gc", "plan", "--json").document()
    other = with_image("gc", "plan", "--json", "-n", "other").document()
    default = with_image("gc", "plan", "--json", "-n", "default").document()

    assert (everything["kept"], other["kept"], default["kept"]) == (6, 6, 0)
    assert other["remove"] == []
    assert default["remove"] == everything["remove"]
    # The other namespace still has the blobs.
    assert {one["bytes"] for one in default["remove"] if one["type"] == "content"} == {0}


def test_an_orphan_is_in_the_plan(with_image: Orlop) -> None:
    stray = with_image.root / CONTENT / "blobs" / "sha256" / ("0" * 64)
    stray.write_bytes(b"stray")

    (removal,) = with_image("gc", "plan", "--json").document()["remove"]

    assert (removal["type"], removal["namespace"], removal["bytes"]) == ("orphan", "", 5)


@pytest.mark.parametrize("number", range(1, 9))
def test_plans_for_the_golden_databases(orlop: Orlop, data: Path, number: int) -> None:
    golden = data / "gc" / f"gc-{number:02}.db"
    expected = json.loads(golden.with_suffix(".json").read_text(encoding="utf-8"))

    plan = orlop("--db", golden, "gc", "plan", "--now", TIME, "--json").document()

    found = {(one["type"], one["namespace"], one["key"]) for one in plan["remove"]}
    assert found == {(one["type"], one["namespace"], one["key"]) for one in expected["removed"]}


def test_a_collection_tells_of_a_backend_that_fails(with_image: Orlop) -> None:
    with_image("image", "rm", NAME)
    metastore = with_image.root / "io.containerd.snapshotter.v1.native" / "metadata.db"
    metastore.write_bytes(b"no database" * 1000)

    assert "native could not be read" in with_image("gc", "plan", code=CORRUPT).err
    answer = with_image("gc", "run", "--json", code=CORRUPT)

    assert "native" in answer.document()["failures"]
    assert "native: " in answer.err
    assert "the next collection tries again" in answer.err


def test_what_is_set_aside_is_listed_and_released(with_image: Orlop) -> None:
    mark = with_image.root / "io.containerd.metadata.v1.bolt" / "orlop" / "period.json"
    mark.unlink()
    stray = with_image.root / CONTENT / "blobs" / "sha256" / ("0" * 64)
    stray.write_bytes(b"stray")

    plan = with_image("gc", "plan", "--json").document()
    assert (plan["freed_bytes"], plan["set_aside_bytes"]) == (0, 5)
    assert "meta.db is not as Orlop left it" in plan["doubt"]
    assert [one["bytes"] for one in plan["remove"]] == [0]
    assert (plan["eventually_freed_bytes"], plan["remove"][0]["eventual_bytes"]) == (5, 5)
    lines = with_image("gc", "plan").lines
    assert any("which frees 5 B in the end" in line for line in lines)
    assert "this run would free 0 B of that; orlop gc run --release frees all" in lines
    assert "5 B stay on disk, set aside" in lines
    assert with_image("gc", "run", "--json").document()["set_aside_bytes"] == 5

    [listed] = with_image("gc", "quarantine", "--json").document()["set_aside"]
    assert (listed["kind"], listed["name"], listed["bytes"]) == ("blob", f"sha256:{'0' * 64}", 5)
    assert listed["why"] == plan["doubt"]
    assert with_image("gc", "quarantine").lines[-1].startswith("1 are set aside, and take 5 B")

    assert with_image("gc", "run", "--release", "--json").document()["freed_bytes"] == 5
    assert with_image("gc", "quarantine", "--json").document() == {"set_aside": []}
    assert not stray.exists()


def test_much_at_once_is_refused_where_the_metadata_is_in_doubt(with_image: Orlop) -> None:
    (with_image.root / "io.containerd.metadata.v1.bolt" / "orlop" / "period.json").unlink()
    with_image("image", "rm", NAME)

    assert "confirm it" in with_image("gc", "run", code=5).err
    assert with_image("gc", "run", "--yes", "--json").document()["deleted"] == 0

    refusal = with_image("gc", "run", "--release", code=5).err
    assert "5 of 5 in content" in refusal
    assert "--release --yes" in refusal
    assert with_image("gc", "run", "--release", "--yes", "--json").document()["deleted"] == 8
