"""Databases of older and newer schemas: the commands that work, and those refused."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

import orlop as library
from cli.players import METADATA, Orlop, root_of
from orlop.cli.exit_codes import PRECONDITION
from orlop.schema.codec.encoding import encode_varint

if TYPE_CHECKING:
    from pathlib import Path

VERSION = b"version".hex()


@pytest.fixture
def old(data: Path, tmp_path: Path) -> Orlop:
    """Return the command line on the root of a daemon that wrote version 3."""
    return Orlop(root_of(data, "v1.6-07-leases-ns2-ingest", tmp_path / "old"))


def set_version(orlop: Orlop, number: int) -> None:
    with library.open(orlop.root, force=True) as database, database.update() as update:
        schema = update.transaction.root.bucket(b"v1")
        assert schema is not None
        schema.put(b"version", encode_varint(number))


def version_of(orlop: Orlop) -> int:
    return int(orlop("db", "info", "--json").document()["schema_version"])


def without_version(dump: dict[str, Any]) -> dict[str, Any]:
    """Return a dump but for the schema's version."""
    (schema,) = dump["items"]
    items = [item for item in schema["bucket"]["items"] if item["key"] != VERSION]
    return {**dump, "items": [{**schema, "bucket": {**schema["bucket"], "items": items}}]}


def test_version_3_is_worked_on_as_it_is(old: Orlop) -> None:
    old("lease", "create", "mine")
    old("sandbox", "create", "pod")
    old("image", "tag", old("image", "ls", "--json").objects()[0]["name"], "copy")
    old("gc", "run", "--yes")

    assert version_of(old) == 3
    old("lease", "inspect", "mine")
    assert old("db", "check", "--json").document()["sound"] is True


def test_migrate_changes_nothing_but_the_version(old: Orlop) -> None:
    before, file = old("db", "dump").document(), old.root / METADATA
    listings = [
        old(group, "ls", "--json").raw for group in ("image", "content", "snapshot", "lease")
    ]
    whole = file.read_bytes()

    answer = old("db", "migrate", "--json").document()

    assert (answer["from"], answer["to"]) == (3, 4)
    after = old("db", "dump").document()
    assert after != before
    assert without_version(after) == without_version(before)
    assert [
        old(group, "ls", "--json").raw for group in ("image", "content", "snapshot", "lease")
    ] == listings
    copy = file.with_name("meta.db.version-3")
    assert answer["copy"] == str(copy)
    assert old("db", "dump", copy).document() == before
    assert copy.stat().st_size <= len(whole)
    assert copy.stat().st_mode == file.stat().st_mode
    old("lease", "create", "mine")


def test_migrate_does_not_replace_an_earlier_copy(old: Orlop) -> None:
    file = old.root / METADATA
    earlier = file.with_name("meta.db.version-3")
    earlier.write_bytes(b"earlier")
    before = file.read_bytes()

    answer = old("db", "migrate", code=4)

    assert "meta.db.version-3" in answer.err
    assert earlier.read_bytes() == b"earlier"
    assert file.read_bytes() == before


@pytest.mark.parametrize("number", [1, 2])
def test_older_than_3_is_read_and_must_be_migrated_first(old: Orlop, number: int) -> None:
    set_version(old, number)
    assert old("image", "ls", "--json").objects()

    answer = old("lease", "create", "mine", code=PRECONDITION)

    assert f"version {number}, older than 3" in answer.err
    assert "migrate" in answer.err
    assert "mine" not in old("lease", "ls").out
    old("db", "migrate")
    assert version_of(old) == 4
    old("lease", "create", "mine")


def test_newer_than_ours_is_read_and_not_written(old: Orlop) -> None:
    set_version(old, 5)
    before = (old.root / METADATA).read_bytes()
    for group in ("image", "content", "snapshot", "container", "lease", "sandbox", "namespace"):
        old(group, "ls", "--json")
    old("gc", "plan")
    old("db", "check")

    for command in (
        ("lease", "create", "mine"),
        ("image", "rm", "x"),
        ("gc", "run"),
        ("db", "migrate"),
        ("content", "ingest", "ref", "-"),
    ):
        answer = old(*command, code=PRECONDITION)
        assert "version 5, newer than 4" in answer.err
        assert answer.err.count("\n") == 1
    assert (old.root / METADATA).read_bytes() == before
    assert version_of(old) == 5
    beside = {path.name for path in (old.root / METADATA).parent.iterdir()}
    assert beside == {"meta.db", "orlop"}


def test_a_database_of_another_program(orlop: Orlop, tmp_path: Path) -> None:
    """A file of bbolt's that is not containerd's must not become one by accident."""
    with library.open(tmp_path / "made") as database, database.update() as update:
        update.transaction.root.create_bucket(b"mine").put(b"key", b"value")
        update.transaction.root.delete_bucket(b"v1")
    (orlop.root / METADATA).parent.mkdir(parents=True)
    shutil.copy(tmp_path / "made" / METADATA, orlop.root / METADATA)

    assert "none of containerd's" in orlop("lease", "create", code=PRECONDITION).err
    assert "none of containerd's" in orlop("image", "ls", "--json", code=PRECONDITION).err
    assert "none of containerd's" in orlop("db", "migrate", code=PRECONDITION).err
    assert orlop("db", "info", "--json").document()["schema_version"] is None
