"""The migrations; the first four are upstream's cases (TestMigrations), in our own data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orlop.errors import DataLossError
from orlop.schema import migrations
from schema.planting import Tree, branch, plant, tree

if TYPE_CHECKING:
    from orlop.kv import Transaction

V1, V2, V3, V4, V9 = b"\x02", b"\x04", b"\x06", b"\x08", b"\x12"


def migrated(transaction: Transaction, contents: Tree) -> Tree:
    plant(transaction.root, contents)
    assert migrations.migrate(transaction)
    return tree(transaction.root)


def test_children_key(transaction: Transaction) -> None:
    snapshots: Tree = {
        "base": {"name": b"one/1/base"},
        "left": {"name": b"one/2/left", "parent": b"base"},
        "right": {"name": b"one/3/right", "parent": b"base"},
        "top": {"name": b"one/4/top", "parent": b"left"},
        "orphan": {"name": b"one/5/orphan", "parent": b"gone"},
    }

    after = migrated(transaction, {"v1": {"one": {"snapshots": {"overlayfs": snapshots}}}})

    assert after["v1"] == {
        "version": V4,
        "one": {
            "snapshots": {
                "overlayfs": {
                    "base": {
                        "name": b"one/1/base",
                        "children": {"left": b"", "right": b""},
                    },
                    "left": {
                        "name": b"one/2/left",
                        "parent": b"base",
                        "children": {"top": b""},
                    },
                    "right": {"name": b"one/3/right", "parent": b"base"},
                    "top": {"name": b"one/4/top", "parent": b"left"},
                    "orphan": {"name": b"one/5/orphan", "parent": b"gone"},
                }
            }
        },
    }


def test_ingest_update(transaction: Transaction) -> None:
    flat: Tree = {"short": b"one/1/short", "r" * 270: b"x" * 270, "empty": b""}

    after = migrated(
        transaction, {"v1": {"version": V1, "one": {"content": {"ingest": flat, "blob": {}}}}}
    )

    assert branch(after, "v1", "one", "content") == {
        "blob": {},
        "ingests": {
            "short": {"ref": b"one/1/short"},
            "r" * 270: {"ref": b"x" * 270},
            "empty": {"ref": b""},
        },
    }


def test_no_op(transaction: Transaction) -> None:
    contents: Tree = {"one": {"images": {"a": {"labels": {"b": b"c"}}}}}

    assert migrated(transaction, {"v1": {"version": V2, **contents}}) == {
        "v1": {"version": V4, **contents}
    }


def test_migrate_sandboxes(transaction: Transaction) -> None:
    sandbox: Tree = {"createdat": b"t", "runtime": {"name": b"runc"}, "labels": {"a": b"b"}}

    after = migrated(
        transaction,
        {
            "v1": {"version": V3, "one": {"images": {}}},
            "one": {"sandboxes": {"box": sandbox, "empty": {}}},
            "two": {"sandboxes": {"box": sandbox}},
            "three": {"other": {"a": b"b"}},
        },
    )

    assert after == {
        "v1": {
            "version": V4,
            "one": {"images": {}, "sandboxes": {"box": sandbox, "empty": {}}},
            "two": {"sandboxes": {"box": sandbox}},
        }
    }


def test_each_migration_runs_only_on_what_is_older(transaction: Transaction) -> None:
    after = migrated(
        transaction,
        {
            "v1": {
                "version": V2,
                "one": {
                    "content": {"ingest": {"ref": b"kept"}},
                    "snapshots": {"s": {"a": {}, "b": {"parent": b"a"}}},
                },
            }
        },
    )

    assert branch(after, "v1", "one") == {
        "content": {"ingest": {"ref": b"kept"}},
        "snapshots": {"s": {"a": {}, "b": {"parent": b"a"}}},
    }


def test_a_file_without_a_schema_gets_one_and_keeps_the_rest(transaction: Transaction) -> None:
    after = migrated(transaction, {"one": {"sandboxes": {"box": {}}}})

    assert after == {"v1": {"version": V4}, "one": {"sandboxes": {"box": {}}}}


@pytest.mark.parametrize("stored", [V4, V9])
def test_the_current_and_newer_versions_are_left_alone(
    transaction: Transaction, stored: bytes
) -> None:
    contents: Tree = {"v1": {"version": stored}, "one": {"sandboxes": {"box": {}}}}
    plant(transaction.root, contents)

    assert not migrations.migrate(transaction)
    assert tree(transaction.root) == contents


@pytest.mark.parametrize(
    "contents",
    [
        {"v1": {"version": V3}, "one": {"sandboxes": {"box": {"a": {"deep": {}}}}}},
        {"v1": {"version": V3}, "version": {"sandboxes": {"box": {}}}},
        {"v1": {"version": V1, "one": {"content": {"ingest": {"a": b""}, "ingests": b"plain"}}}},
        {"v1": {"one": {"snapshots": {"s": {"a": {"children": b"x"}, "b": {"parent": b"a"}}}}}},
    ],
    ids=["nested too deep", "a namespace called version", "no bucket of ingests", "no children"],
)
def test_what_cannot_be_migrated_is_a_typed_error(transaction: Transaction, contents: Tree) -> None:
    plant(transaction.root, contents)

    with pytest.raises(DataLossError, match=r"failed to migrate to v1\.[124]"):
        migrations.migrate(transaction)


def test_versions_are_read(transaction: Transaction) -> None:
    assert migrations.read_version(transaction) is None
    schema = transaction.root.create_bucket(b"v1")
    assert migrations.read_version(transaction) == 0
    schema.put(b"version", b"\x06")
    assert migrations.read_version(transaction) == 3
    schema.put(b"version", b"\xff")
    assert migrations.read_version(transaction) == 0
    migrations.write_version(transaction, migrations.CURRENT_VERSION)
    assert schema.get(b"version") == V4
