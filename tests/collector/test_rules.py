from __future__ import annotations

import pytest
from whenever import Instant

from orlop.gc.node import BUILT_IN
from orlop.gc.rules import FIELD_RULES, LABEL_RULES, Comparison, Effect, RuleBook, parse_condition

GC = "containerd.io/gc."


def effects(on: str, label: str, value: str = "v") -> list[tuple[Effect, str, str]]:
    meanings = RuleBook().meanings(on, {label: value})
    return [(one.rule.effect, one.rule.target, one.key) for one in meanings]


@pytest.mark.parametrize("suffix", ["", ".0", "/0", ".", "/"])
@pytest.mark.parametrize("target", ["content", "image"])
def test_a_reference_may_have_a_name_behind_it(target: str, suffix: str) -> None:
    expected = [(Effect.REFERENCE, target, "v")]
    assert effects("content", f"{GC}ref.{target}{suffix}") == expected


@pytest.mark.parametrize("suffix", ["bad", "-0", "_"])
@pytest.mark.parametrize("kind", ["ref.content", "ref.image", "bref.container", "bref.content"])
def test_another_suffix_makes_another_label(kind: str, suffix: str) -> None:
    assert effects("content", f"{GC}{kind}{suffix}") == []


@pytest.mark.parametrize(
    ("label", "key"),
    [
        ("ref.snapshot.overlayfs", "overlayfs/v"),
        ("ref.snapshot.overlayfs/any/thing", "overlayfs/v"),
        ("ref.snapshot.over.layfs", "over.layfs/v"),
        ("ref.snapshot.", "/v"),
    ],
)
def test_a_snapshot_is_named_by_snapshotter_and_key(label: str, key: str) -> None:
    assert effects("image", f"{GC}{label}") == [(Effect.REFERENCE, "snapshot", key)]
    assert effects("image", f"{GC}b{label}") == [(Effect.BACK_REFERENCE, "snapshot", key)]


def test_a_snapshot_reference_needs_a_snapshotter() -> None:
    assert effects("image", f"{GC}ref.snapshot") == []


@pytest.mark.parametrize("suffix", ["", ".", ".x", "ed"])
def test_any_label_that_begins_as_root_is_one(suffix: str) -> None:
    assert effects("content", f"{GC}root{suffix}") == [(Effect.ROOT, "", "v")]
    assert effects("snapshot", f"{GC}root{suffix}") == [(Effect.ROOT, "", "v")]
    assert effects("image", f"{GC}root{suffix}") == []
    assert effects("lease", f"{GC}root{suffix}") == []


@pytest.mark.parametrize(
    ("label", "key"),
    [
        ("cond.snapshot.native", "native/v"),
        ("cond.snapshot/native", "native/v"),
        ("cond.snapshot./native/x", "native/v"),
        ("cond.snapshotnative", "native/v"),
        ("cond.snapshot", "/v"),
    ],
)
def test_conditions_are_read_loosely(label: str, key: str) -> None:
    assert effects("image", f"{GC}{label}") == [(Effect.CONDITION, "snapshot", key)]
    assert effects("snapshot", f"{GC}{label}") == []


def test_expiry_and_flat_are_exact() -> None:
    assert effects("lease", f"{GC}expire") == [(Effect.EXPIRY, "", "v")]
    assert effects("image", f"{GC}expire") == [(Effect.EXPIRY, "", "v")]
    assert effects("lease", f"{GC}expire.x") == []
    assert effects("content", f"{GC}expire") == []
    assert effects("lease", f"{GC}flat") == [(Effect.FLAT, "", "v")]
    assert effects("lease", f"{GC}flat.x") == []
    assert effects("image", f"{GC}flat") == []


def test_references_of_leases_and_ingests_mean_nothing() -> None:
    assert effects("lease", f"{GC}ref.content") == []
    assert effects("ingest", f"{GC}ref.content") == []
    assert effects("sandbox", f"{GC}bref.content") == []


def test_resources_bring_reference_labels_of_their_own() -> None:
    book = RuleBook([("stream", "stream"), ("silent", "")])
    meanings = book.meanings("image", {f"{GC}ref.stream.a": "s", f"{GC}ref.streams": "t"})
    assert [(one.rule.target, one.key) for one in meanings] == [("stream", "s")]
    assert len(book.rules) == len(LABEL_RULES) + 1


def test_every_rule_names_types_that_exist() -> None:
    for rule in LABEL_RULES:
        assert rule.on <= BUILT_IN
        assert rule.target in BUILT_IN | {""}
    for field in FIELD_RULES:
        assert {field.on, field.target} <= BUILT_IN


HOUR = 3600 * 10**9


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("usedat<2h|key", ((Comparison(is_less=True, nanoseconds=2 * HOUR),), "key")),
        ("usedat>2h|a|b", ((Comparison(is_less=False, nanoseconds=2 * HOUR),), "a|b")),
        (
            "usedat<1h,usedat>2h|k",
            (
                (
                    Comparison(is_less=True, nanoseconds=HOUR),
                    Comparison(is_less=False, nanoseconds=2 * HOUR),
                ),
                "k",
            ),
        ),
        ("nonsense,usedat<1h|k", ((Comparison(is_less=True, nanoseconds=HOUR),), "k")),
        ("usedat<1h|", ((Comparison(is_less=True, nanoseconds=HOUR),), "")),
        ("usedat<1h", None),
        ("usedat<=1h|k", None),
        ("usedat>=1h|k", None),
        ("usedat==1h|k", None),
        ("usedat=1h|k", None),
        ("usedat!=1h|k", None),
        ("usedat!<1h|k", None),
        ("usedat <1h|k", None),
        ("usedat< 1h|k", None),
        ("usedat<one hour|k", None),
        ("created<1h|k", None),
        ("usedat|k", None),
        ("|k", None),
        ("", None),
    ],
)
def test_the_value_of_a_condition(
    value: str, expected: tuple[tuple[Comparison, ...], str] | None
) -> None:
    assert parse_condition(value) == expected


def test_comparisons_are_strict_and_end_where_durations_of_go_do() -> None:
    less = Comparison(is_less=True, nanoseconds=HOUR)
    more = Comparison(is_less=False, nanoseconds=HOUR)
    assert less.holds(0, HOUR - 1)
    assert not less.holds(0, HOUR)
    assert not more.holds(0, HOUR)
    assert more.holds(0, HOUR + 1)
    assert less.holds(HOUR, 0)
    first = Instant.MIN.timestamp(unit="nanosecond")
    last = Instant.MAX.timestamp(unit="nanosecond")
    longest = (1 << 63) - 1
    assert not Comparison(is_less=False, nanoseconds=longest).holds(first, last)
    assert not Comparison(is_less=True, nanoseconds=longest).holds(first, last)
