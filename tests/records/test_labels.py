from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop import labels
from orlop.errors import InvalidArgumentError


@pytest.mark.parametrize(
    "pairs",
    [
        {},
        {"": ""},
        {"key": ""},
        {"key": "v" * 4093},
        {"k" * 4096: ""},
        {"\N{LATIN SMALL LETTER E WITH ACUTE}" * 2048: ""},
        {"any thing/at\nall": "\udcff"},
    ],
)
def test_labels_of_up_to_4096_bytes_are_valid(pairs: dict[str, str]) -> None:
    labels.validate(pairs)


@pytest.mark.parametrize(
    ("key", "value", "total"),
    [
        ("key", "v" * 4094, 4097),
        ("", "v" * 4097, 4097),
        ("k", "\N{LATIN SMALL LETTER E WITH ACUTE}" * 2048, 4097),
        ("k", "\udcff" * 4096, 4097),
        ("k", "\ud800" * 1366, 4099),
    ],
)
def test_longer_labels_are_refused(key: str, value: str, total: int) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{total} bytes together, but at most 4096"):
        labels.validate({"fine": "", key: value})


def test_the_message_says_where_and_shows_how_the_name_begins() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        labels.validate({"k" * 5000: ""}, "image.Labels")
    assert str(caught.value).startswith("image.Labels: ")
    assert str(caught.value).endswith(f"begins: {'k' * 64}: invalid argument")


@given(st.dictionaries(st.text(), st.text()))
def test_short_labels_of_any_characters_are_valid(pairs: dict[str, str]) -> None:
    labels.validate({key[:500]: value[:500] for key, value in pairs.items()})


@pytest.mark.parametrize(
    ("given_labels", "inherited"),
    [
        (None, None),
        ({}, {}),
        ({"": ""}, {}),
        ({"team": "a", "containerd.io/gc.root": "", "containerd.io/snapshotx": ""}, {}),
        ({"containerd.io/snapshot.ref.x": "", "containerd.io/snapshot": ""}, {}),
        ({"containerd.io/snapshot.ref": "", "containerd.io/snapshot/gone": ""}, {}),
        (
            {"containerd.io/snapshot.ref": "t", "containerd.io/snapshot/uidmapping": "0", "x": "y"},
            {"containerd.io/snapshot.ref": "t", "containerd.io/snapshot/uidmapping": "0"},
        ),
    ],
)
def test_a_backend_is_told_only_the_labels_meant_for_it(
    given_labels: dict[str, str] | None, inherited: dict[str, str] | None
) -> None:
    assert labels.inheritable(given_labels) == inherited
