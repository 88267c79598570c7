"""Ingests with a damaged reference: their data is found, set aside and deleted like other data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import orlop
from collector.settable import SettableClock
from orlop.storage.contract import ingest_directory
from safety.roots import CONTENT, METADATA

if TYPE_CHECKING:
    from pathlib import Path

    from orlop import Database

DATA = b"x" * 100_000
NAME = ingest_directory("default/1/ref")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def open_root(root: Path, hours: int = 0) -> Database:
    clock = SettableClock()
    clock.advance(hours=hours)
    return orlop.open(root, clock=clock)


def interrupt(root: Path) -> Path:
    """Write half a blob, and damage its reference; return its directory."""
    with open_root(root) as database:
        writer = database.namespace("default").content.writer("ref")
        writer.write(DATA)
        writer.close()
    directory = root / CONTENT / "ingest" / NAME
    (directory / "ref").write_bytes(b"")
    return directory


def lose_power(root: Path) -> None:
    """Make the last writer's session look like one that a power loss ended."""
    path = root / METADATA / "orlop/period.json"
    found = json.loads(path.read_text())
    found["period"]["boot"] = "another"
    path.write_text(json.dumps(found))


@pytest.mark.parametrize("name", ["ref", "startedat", "updatedat"])
def test_after_a_power_loss_an_interrupted_blob_is_written_on_to(root: Path, name: str) -> None:
    directory = interrupt(root)
    (directory / "ref").write_text("default/1/ref")
    (directory / name).write_bytes(b"")
    lose_power(root)
    with open_root(root) as database:
        ns = database.namespace("default")
        assert database.gc.plan().doubt
        result = database.gc.run()
        assert (result.deleted, result.set_aside, result.failures) == (0, 0, {})
        assert [status.offset for status in ns.content.statuses()] == [len(DATA)]
        with ns.content.writer("ref", resume=True) as writer:
            assert writer.status().offset == len(DATA)
            writer.write(b"y")
            writer.commit(size=len(DATA) + 1)


def test_one_that_a_record_names_stays_until_the_record_goes(root: Path) -> None:
    directory = interrupt(root)
    with open_root(root, hours=23) as database:
        plan = database.gc.plan()
        assert not plan.nodes
        assert database.gc.run().deleted == 0
        assert (directory / "data").read_bytes() == DATA
    with open_root(root, hours=25) as database:
        plan = database.gc.plan()
        assert [one.type for one in plan.nodes] == ["ingest"]
        assert plan.freed_bytes >= len(DATA)
        result = plan.apply()
        assert (result.removed, result.deleted, result.failures) == ({"ingest": 1}, 1, {})
        assert result.freed_bytes >= len(DATA)
    assert list((root / CONTENT / "ingest").iterdir()) == []


def test_one_that_no_record_names_is_planned_deleted_counted_and_journalled(root: Path) -> None:
    directory = interrupt(root)
    unknown = directory.with_name("0" * 64)
    directory.rename(unknown)
    key = f"ingest/{unknown.name}"
    with open_root(root) as database:
        (removal,) = database.gc.plan().nodes
        assert (removal.type, removal.key) == ("orphan", key)
        assert removal.reason == "its reference cannot be read, and no metadata names it"
        result = database.gc.run()
        assert (result.deleted, result.failures) == (1, {})
        assert result.freed_bytes == removal.bytes >= len(DATA)
        assert database.gc.journal is not None
        journal = list(database.gc.journal.entries())
        assert [(one.event, one.key) for one in journal if one.key == key] == [("deleted", key)]
    assert not unknown.exists()


def test_one_that_no_record_names_is_set_aside_in_doubt(root: Path) -> None:
    directory = interrupt(root)
    directory = directory.rename(directory.with_name("0" * 64))
    lose_power(root)
    with open_root(root) as database:
        for _ in range(2):
            result = database.gc.run()
            assert (result.deleted, result.set_aside) == (0, 1)
            assert result.set_aside_bytes >= len(DATA)
        assert [one.item.key for one in database.gc.quarantine()] == [f"ingest/{directory.name}"]
    assert (directory / "data").read_bytes() == DATA
    with open_root(root) as database:
        result = database.gc.run(release=True, confirmed=True)
        assert (result.deleted, result.set_aside) == (1, 0)
    assert not directory.exists()


@pytest.mark.parametrize("breaks_first", [True, False])
def test_one_stays_set_aside_when_its_reference_comes_and_goes(
    root: Path,
    breaks_first: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    """It is a suspect under its reference and under the name of its directory."""
    directory = interrupt(root)
    texts = (b"", b"default/1/ref") if breaks_first else (b"default/1/ref", b"")
    lose_power(root)
    (directory / "ref").write_bytes(texts[0])
    with open_root(root) as database:
        database.gc.run()
    (directory / "ref").write_bytes(texts[1])
    with open_root(root, hours=25) as database:
        result = database.gc.run()
        assert (result.removed, result.deleted, result.set_aside) == ({"ingest": 1}, 0, 1)
    assert (directory / "data").read_bytes() == DATA
