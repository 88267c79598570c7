"""No value of an option is a bug: numbers, times, durations and platforms of any size."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.command_tree import commands
from cli.players import METADATA, Orlop
from orlop.cli.exit_codes import BUG, DONE, NOT_FOUND, USAGE
from orlop.cli.main import app
from orlop.oci.platforms import Platform, accepted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.cli.parser import Parameter

NUMBERS = (
    *(f"{sign}{number}" for number in (0, 1, 2**31, 2**62, 2**63) for sign in ("", "-")),
    *(
        "99999999999999999999",
        "9" * 5000,
        "1e308",
        "1e400",
        "inf",
        "-inf",
        "nan",
        "v²",
        "²",
        "\u0661",
        "",
    ),
)
TIMES = (
    *("0000-01-01T00:00:00Z", "0001-01-01T00:00:00+24:00", "9999-12-31T23:59:59.999999999Z"),
    *("9999-12-31T23:59:59-24:00", "99999-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "now", ""),
)
DURATIONS = (
    "0s",
    "-1h",
    "1ns",
    "2562047h47m16.854775807s",
    "2562048h",
    "9" * 400 + "h",
    "1e9h",
    "",
)
PLATFORMS = (
    *("linux/arm/v²", "linux/amd64/v" + "9" * 20, "linux/amd64/v" + "9" * 5000, "linux/arm/v0"),
    *("linux/arm/v99999999", "linux/arm64/v-1", "a/b/c/d", "/", "linux//", "linux/amd64/\udcff"),
)
IMPOSSIBLE = ("linux/arm/v²", "a/b/c/d", "/", "linux//", "linux/amd64/\udcff")
LINES = {
    "why": ["greeting:v1"],
    "image import": ["{archive}"],
    "db check": [],
    "db tree": [],
    "content ingest": ["ref", "{archive}"],
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Orlop:
    orlop = Orlop(tmp_path_factory.mktemp("extremes") / "root")
    orlop("image", "import", Path("examples/greeting.tar").resolve(), "--quiet")
    return orlop


def numbered() -> Iterator[tuple[tuple[str, ...], Parameter]]:
    """Iterate over the options that are numbers, with the words of their commands."""
    for one in app.parameters:
        if one.type in {int, float}:
            yield ("image", "ls"), one
    for path, command in commands():
        for one in command.parameters:
            if one.type in {int, float}:
                yield path, one


@pytest.mark.parametrize(
    ("path", "option"),
    [pytest.param(path, one, id=f"{' '.join(path)} {one.title}") for path, one in numbered()],
)
def test_a_number_of_any_size_is_taken_or_refused(
    prepared: Orlop, greeting: Path, path: tuple[str, ...], option: Parameter
) -> None:
    words = [word.format(archive=greeting) for word in LINES.get(" ".join(path), [])]
    for value in NUMBERS:
        answer = prepared.ended(*path, *words, f"{option.title}={value}")
        assert answer.code != BUG, (value, answer.err)
        assert answer.err.count("\n") <= 1


def test_whole_numbers_have_bounds(prepared: Orlop) -> None:
    answer = prepared("why", "greeting:v1", "--limit", "99999999999999999999", code=USAGE)

    assert f"is not {2**62} or less" in answer.err
    prepared("why", "greeting:v1", "--limit", str(2**62))


@pytest.mark.parametrize("value", TIMES)
def test_a_time_of_any_year_is_taken_or_refused(prepared: Orlop, value: str) -> None:
    for line in (["gc", "plan"], ["why", "greeting:v1"], ["roots"]):
        assert prepared.ended(*line, "--now", value).code != BUG


@pytest.mark.parametrize("value", DURATIONS)
def test_a_duration_of_any_length_is_taken_or_refused(prepared: Orlop, value: str) -> None:
    answer = prepared.ended("lease", "create", "--expires", value)

    assert answer.code != BUG, answer.err
    prepared("lease", "ls")
    prepared("gc", "plan")


@pytest.mark.parametrize("value", PLATFORMS)
def test_a_platform_of_any_name_is_taken_or_refused(
    prepared: Orlop, greeting: Path, value: str
) -> None:
    for line in (
        ["image", "import", greeting],
        ["image", "export", "-", "example.com/greeting:v1"],
    ):
        answer = prepared.ended(*line, "--platform", value)
        # The one image has no platform, and so fits every one that can be.
        assert answer.code in ({USAGE} if value in IMPOSSIBLE else {DONE, NOT_FOUND})


def test_the_platforms_that_run_on_one_are_few() -> None:
    for architecture in ("amd64", "arm", "arm64"):
        for number in ("v9", "v99", "v" + "9" * 20, "v" + "9" * 5000, "v²"):
            found = accepted(Platform(os="linux", architecture=architecture, variant=number))
            assert len(found) < 200


def test_a_page_beyond_the_file_is_not_found(prepared: Orlop, tmp_path: Path) -> None:
    file = shutil.copy(prepared.root / METADATA, tmp_path / "meta.db")

    for number in (10**6, 2**51, 2**52, 2**62):
        answer = prepared.ended("db", "pages", file, "--page", str(number))
        assert answer.code in {USAGE, NOT_FOUND}, answer.err
