"""Databases of every older version, with all that the migrations change, brought to the present."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from orlop import Database
from orlop.bolt import open_engine
from orlop.errors import FailedPreconditionError
from schema.planting import Tree, branch, plant, tree
from storage.killing import steps

if TYPE_CHECKING:
    from pathlib import Path


VERSIONS = (0, 1, 2, 3)

BOX: Tree = {"sandboxer": b"s", "labels": {"a": b"b"}}


def old(number: int) -> Tree:
    """Return a database as a daemon of that version left it."""
    schema: Tree = {} if not number else {"version": bytes([number * 2])}
    base: Tree = {"name": b"one/1/base"}
    if number >= 1:
        base["children"] = {"top": b""}
    content: Tree = {"blob": {}}
    if number < 2:
        content["ingest"] = {"ref": b"one/1/ref", "empty": b""}
    else:
        content["ingests"] = {"ref": {"ref": b"one/1/ref"}, "empty": {"ref": b""}}
    schema["one"] = {
        "labels": {"l": b"v"},
        "snapshots": {
            "native": {
                "base": base,
                "top": {"name": b"one/2/top", "parent": b"base"},
                "orphan": {"name": b"one/3/orphan", "parent": b"gone"},
            }
        },
        "content": content,
    }
    return {
        "v1": schema,
        "one": {"sandboxes": {"box": BOX}},
        "left by others": {"x": b"y"},
    }


NEW: Tree = {
    "v1": {
        "version": b"\x08",
        "one": {
            **branch(old(3), "v1", "one"),
            "sandboxes": {"box": BOX},
        },
    }
}


def make(path: Path, number: int) -> Path:
    engine = open_engine(path)
    with engine.begin(writable=True) as transaction:
        plant(transaction.root, old(number))
    engine.close()
    return path


def held(path: Path) -> Tree:
    with Database.open_file(path, read_only=True) as db, db.view() as transaction:
        return tree(transaction.root)


@pytest.mark.parametrize("number", VERSIONS)
def test_every_version_comes_to_the_same(tmp_path: Path, number: int) -> None:
    path = make(tmp_path / "meta.db", number)
    with Database.open_file(path, migrate=True) as db:
        assert db.version == 4
        assert not db.migrate()
        assert [one.id for one in db.namespace("one").sandboxes.list()] == ["box"]
    assert held(path) == NEW


@pytest.mark.parametrize("number", VERSIONS)
def test_only_when_asked(tmp_path: Path, number: int) -> None:
    path = make(tmp_path / "meta.db", number)
    if number == 3:
        with Database.open_file(path) as db:
            assert db.version == 3
    else:
        with pytest.raises(FailedPreconditionError, match="orlop db migrate"):
            Database.open_file(path)
    assert held(path) == old(number)


@pytest.mark.parametrize("number", VERSIONS)
def test_all_or_nothing_when_killed(tmp_path: Path, number: int) -> None:
    begun = make(tmp_path / "old.db", number)
    path = tmp_path / "meta.db"
    shutil.copyfile(begun, path)

    def run() -> None:
        Database.open_file(path, migrate=True).close()

    outcomes = []
    for _ in steps(run):
        outcomes.append(held(path))
        shutil.copyfile(begun, path)
    assert outcomes[0] == old(number)
    assert outcomes[-1] == NEW
    assert all(one in (old(number), NEW) for one in outcomes)


@pytest.mark.parametrize("number", VERSIONS)
def test_all_or_nothing_on_an_error_at_any_write(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orlop.bolt.bucket import BoltBucket  # noqa: PLC0415 -- patched here

    original = BoltBucket.put
    for step in range(200):
        path = make(tmp_path / f"{step}.db", number)
        remaining = step

        def failing(bucket: BoltBucket, key: bytes, value: bytes) -> None:
            nonlocal remaining
            remaining -= 1
            if remaining == -1:
                raise ZeroDivisionError
            original(bucket, key, value)

        with monkeypatch.context() as patch:
            patch.setattr(BoltBucket, "put", failing)
            try:
                Database.open_file(path, migrate=True).close()
            except ZeroDivisionError:
                assert held(path) == old(number)
            else:
                assert held(path) == NEW
                assert step > 1
                return
    pytest.fail("the migration has no end")
