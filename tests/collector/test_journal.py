"""The journal: a bounded file that survives damage and failed writes."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.making import make_blob, make_image, make_snapshot
from collector.settable import START
from collector.worlds import GC
from orlop import LeaseResource
from orlop.errors import FailedPreconditionError
from orlop.gc.journal import COLLECTED, DELETED, FAILED, REMOVED, Entry, Journal
from orlop.gc.node import Node
from orlop.schema.codec.timestamps import format_rfc3339

if TYPE_CHECKING:
    import orlop
    from collector.settable import SettableClock


def entry(key: str, reason: str = "nothing refers to it") -> Entry:
    return Entry(at=START, event=REMOVED, type="image", namespace="n", key=key, reason=reason)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "orlop" / "journal.jsonl"


def reasons(database: orlop.Database) -> dict[str, str]:
    assert database.gc.journal is not None
    found = database.gc.journal.entries()
    return {one.key: one.reason for one in found if one.event == REMOVED}


def test_a_journal_that_was_never_written_is_empty(file: Path) -> None:
    journal = Journal(file)
    assert list(journal.entries()) == []
    assert journal.last(Node("image", "n", "a")) is None
    assert journal.size == 0
    journal.add([])
    assert not file.parent.exists()


def test_entries_are_read_as_they_were_written(file: Path) -> None:
    journal = Journal(file)
    written = [entry("a"), entry('b "quoted"\n'), Entry(at=START, event=COLLECTED, bytes=7)]
    journal.add(written[:1])
    journal.add(written[1:])
    assert list(Journal(file).entries()) == written
    assert journal.size == file.stat().st_size


def test_the_last_removal_of_a_name_counts(file: Path) -> None:
    journal = Journal(file)
    journal.add([entry("a", "first"), entry("a", "second"), entry("ab", "another")])
    journal.add([Entry(at=START, event=DELETED, type="image", namespace="n", key="a")])
    found = journal.last(Node("image", "n", "a"))
    assert found is not None
    assert found.reason == "second"
    assert journal.last(Node("image", "other", "a")) is None
    assert journal.last(Node("lease", "n", "a")) is None


@given(st.data())
def test_a_file_that_was_cut_or_scribbled_on_keeps_its_other_lines(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "journal.jsonl")
        journal = Journal(file)
        journal.add([entry(str(number)) for number in range(5)])
        whole = file.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        scribble = data.draw(st.sampled_from([b"", b"\x00\xff{", b"[1]\n7"]))
        file.write_bytes(whole[:cut] + scribble)
        journal.add([entry("after")])
        # A line that lost its end only is whole, unless something else follows it.
        lines = whole[: cut if scribble else cut + 1].count(b"\n")
        keys = [one.key for one in Journal(file).entries()]
        assert keys == [*(str(number) for number in range(lines)), "after"]


def test_a_cut_line_that_is_whole_but_for_its_end_counts(file: Path) -> None:
    journal = Journal(file)
    journal.add([entry("a")])
    os.truncate(file, file.stat().st_size - 1)
    journal.add([entry("b")])
    assert [one.key for one in journal.entries()] == ["a", "b"]


def test_its_size_is_bounded_and_the_newest_stays(file: Path) -> None:
    journal = Journal(file, size_max=4000)
    for number in range(200):
        journal.add([entry(f"key-{number}")])
        assert journal.size <= 4000
    keys = [one.key for one in journal.entries()]
    assert keys == [f"key-{number}" for number in range(200 - len(keys), 200)]
    assert len(keys) > 10
    assert sorted(one.name for one in file.parent.iterdir()) == ["journal.jsonl", "journal.jsonl.1"]
    assert journal.last(Node("image", "n", keys[0])) is not None


def test_a_journal_that_cannot_be_written_stops_nothing(
    database: orlop.Database, caplog: pytest.LogCaptureFixture
) -> None:
    journal = database.gc.journal
    assert journal is not None
    place = database.path.parent / "orlop" / "journal.jsonl"
    place.mkdir()
    make_blob(database.namespace("n"), b"garbage")
    assert database.gc.run().deleted == 1
    assert journal.failures > 0
    assert "cannot be written" in caplog.text


def test_what_a_collection_removes_is_noted_with_the_reason(
    database: orlop.Database, clock: SettableClock
) -> None:
    namespace = database.namespace("n")
    soon = format_rfc3339(clock.now().add(hours=1))
    leased = make_blob(namespace, b"leased")
    namespace.leases.create("l", labels={f"{GC}expire": soon})
    namespace.leases.add_resource("l", LeaseResource(id=leased, type="content"))
    layer = make_blob(namespace, b"layer")
    manifest = make_blob(namespace, b"manifest", {f"{GC}ref.content.0": layer})
    make_image(namespace, "expires", manifest, **{f"{GC}expire": soon})
    behind = make_blob(namespace, b"behind")
    flat = make_blob(namespace, b"flat", {f"{GC}ref.content.0": behind})
    namespace.leases.create("flat", labels={f"{GC}flat": "x"})
    namespace.leases.add_resource("flat", LeaseResource(id=flat, type="content"))
    alone = make_blob(namespace, b"alone")
    make_snapshot(
        namespace, "unused", labels={f"{GC}cond.value-usedat": format_rfc3339(clock.now())}
    )
    condition = {f"{GC}cond.snapshot.native": "usedat<1h|unused", f"{GC}root": "x"}
    make_blob(namespace, b"conditional", condition)
    clock.advance(hours=2)

    statistics = database.gc.run()

    found = reasons(database)
    assert found["l"] == f"it expired at {soon}"
    assert found[leased] == f'lease "l", which held it, expired at {soon}'
    assert found["expires"] == f"it expired at {soon}, and nothing refers to it"
    assert found[manifest] == "only what goes too refers to it: image expires"
    assert found[layer] == f"only what goes too refers to it: content {manifest}"
    assert found[behind] == f"content {flat} refers to it, but is itself held flat"
    assert found[alone] == "nothing refers to it"
    assert found["native/unused"].startswith("the condition under which content sha256:")
    journal = database.gc.journal
    assert journal is not None
    entries = list(journal.entries())
    deleted = [one for one in entries if one.event == DELETED]
    assert sum(one.bytes for one in deleted) == statistics.freed_bytes
    assert {leased, manifest, layer, behind, alone} <= {one.key for one in deleted}
    assert entries[-1].event == COLLECTED
    assert entries[-1].bytes == statistics.freed_bytes
    last = journal.last(Node("content", "n", alone))
    assert last is not None
    assert last.at == clock.now()


def test_a_collection_that_does_nothing_leaves_no_line(database: orlop.Database) -> None:
    database.gc.run()
    assert database.gc.journal is not None
    assert database.gc.journal.size == 0


def test_a_failed_collection_leaves_a_line(database: orlop.Database) -> None:
    with database.update(), pytest.raises(FailedPreconditionError):
        database.gc.run()
    assert database.gc.journal is not None
    (line,) = database.gc.journal.entries()
    assert line.event == FAILED
    assert "end the update first" in line.reason


def test_a_bare_database_has_no_journal(bare: orlop.Database) -> None:
    bare.namespace("n").leases.create("l", labels={f"{GC}expire": "2000-01-01T00:00:00Z"})
    assert bare.gc.run().removed == {"lease": 1}
    assert bare.gc.journal is None
    assert not (bare.path.parent / "orlop").exists()


def test_a_line_is_an_object_of_json(file: Path) -> None:
    Journal(file).add([entry("a")])
    assert json.loads(file.read_text()) == {
        "at": "2026-11-24T22:00:00Z",
        "event": "removed",
        "type": "image",
        "namespace": "n",
        "key": "a",
        "reason": "nothing refers to it",
    }


def test_removals_are_found_by_what_people_write(file: Path) -> None:
    journal = Journal(file)
    digest = "sha256:" + "ab" * 32
    journal.add(
        [
            Entry(at=START, event=REMOVED, type="content", namespace="n", key=digest),
            Entry(at=START, event=REMOVED, type="snapshot", namespace="n", key="native/layer"),
            entry("image"),
        ]
    )
    for reference in (digest, digest[:12], "abab", f"content:{digest}"):
        assert list(journal.removed(reference)) == [Node("content", "n", digest)]
    for reference in ("layer", "native/layer", "snapshot:native/layer"):
        assert list(journal.removed(reference)) == [Node("snapshot", "n", "native/layer")]
    assert journal.removed("imag") == {}
    assert journal.removed("") == {}
    assert journal.removed("image", "other") == {}
    assert list(journal.removed("image", "n")) == [Node("image", "n", "image")]
