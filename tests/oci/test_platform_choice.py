"""The choice of platforms from an index: by request, or by this machine."""

from __future__ import annotations

import pytest

from orlop.oci.platforms import Platform, chooser, parse_platform


def stated(*names: str) -> list[Platform | None]:
    return [parse_platform(name) if name else None for name in names]


AMD64, ARM64 = parse_platform("linux/amd64"), parse_platform("linux/arm64")


@pytest.mark.parametrize(
    ("here", "listed", "taken"),
    [
        (AMD64, ["linux/386", "linux/amd64"], ["linux/amd64"]),
        (AMD64, ["linux/amd64/v1", "linux/386", ""], ["linux/amd64", ""]),
        (AMD64, ["linux/386", "linux/arm64", ""], ["linux/386", ""]),
        (ARM64, ["linux/arm/v7", "linux/arm64/v8", "linux/arm/v6"], ["linux/arm64"]),
        (ARM64, ["linux/arm/v7", "linux/arm/v6", "linux/amd64"], ["linux/arm/v7", "linux/arm/v6"]),
        (AMD64, ["windows/amd64", "linux/s390x"], []),
    ],
)
def test_without_a_wish_this_machine_comes_first(
    monkeypatch: pytest.MonkeyPatch, here: Platform, listed: list[str], taken: list[str]
) -> None:
    monkeypatch.setattr("orlop.oci.platforms.this_platform", lambda: here)
    platforms = stated(*listed)
    chosen = chooser(None)(platforms)
    found = [one for one, is_chosen in zip(platforms, chosen, strict=True) if is_chosen]
    assert found == stated(*taken)


@pytest.mark.parametrize(
    ("asked", "listed", "taken"),
    [
        ("linux/amd64", ["linux/386", "linux/amd64"], [1]),
        ("linux/amd64", ["linux/386"], []),
        ("linux/arm/v7", ["linux/arm/v6", "linux/arm", "linux/arm64"], [1]),
        ("linux/arm64", ["linux/arm64/v8", "linux/arm/v8"], [0]),
        ("linux/386", ["linux/amd64", "linux/386", ""], [1, 2]),
    ],
)
def test_what_was_asked_for_is_that_alone(asked: str, listed: list[str], taken: list[int]) -> None:
    chosen = chooser(parse_platform(asked))(stated(*listed))
    assert [number for number, is_chosen in enumerate(chosen) if is_chosen] == taken


def test_all_platforms_are_all() -> None:
    assert chooser(AMD64, all_platforms=True)(stated("linux/s390x", "")) == [True, True]
