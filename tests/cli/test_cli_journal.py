"""`orlop gc journal`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.players import Orlop

NAME = "example.com/greeting:v1"


def test_what_went_is_in_the_journal(with_image: Orlop) -> None:
    assert with_image("gc", "journal", "--json").objects() == []
    with_image("image", "rm", NAME)
    done = with_image("gc", "run", "--json").document()

    entries = with_image("gc", "journal", "--json").objects()

    removed = [one for one in entries if one["event"] == "removed"]
    assert len(removed) == sum(done["removed"].values())
    assert all(one["reason"] for one in removed)
    assert {one["namespace"] for one in removed} == {"default"}
    assert entries[-1]["event"] == "collected"
    assert entries[-1]["bytes"] == done["freed_bytes"]
    assert with_image("gc", "journal", "-n", "other", "--json").objects() == []

    digest = next(one["key"] for one in removed if one["type"] == "content")
    for reference in (
        digest,
        digest[:20],
        digest.removeprefix("sha256:")[:12],
        f"content:{digest}",
    ):
        found = with_image("gc", "journal", reference, "--json").objects()
        assert [one["event"] for one in found] == ["removed", "deleted"]
        assert {one["key"] for one in found} == {digest}
    snapshot = next(one["key"] for one in removed if one["type"] == "snapshot")
    by_key = with_image("gc", "journal", snapshot.partition("/")[2], "--json").objects()
    assert [one["key"] for one in by_key] == [snapshot]
    assert digest in with_image("gc", "journal").out


def test_a_bare_file_has_no_journal(with_image: Orlop) -> None:
    result = with_image("gc", "journal", "--db", "meta.db", code=2)
    assert "needs its root directory" in result.err


def test_why_says_since_when_something_is_gone(with_image: Orlop) -> None:
    with_image("image", "rm", NAME)
    with_image("gc", "run")
    removed = next(
        one
        for one in with_image("gc", "journal", "--json").objects()
        if one["event"] == "removed" and one["type"] == "content"
    )

    answer = with_image("why", removed["key"][:20], "--json", code=1).document()

    assert answer["node"]["key"] == removed["key"]
    assert answer["exists"] is False
    assert answer["held"] is False
    assert answer["since"] == removed["at"]
    said = with_image("why", removed["key"], code=1).out
    assert "a collection removed it at" in said
    assert removed["reason"] in said
    with_image("why", "sha256:0000", code=3)
