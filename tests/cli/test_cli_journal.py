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
