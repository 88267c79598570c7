"""A failed write keeps a block from deleting its lease; closing the database makes up for it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

import orlop
from orlop.bolt.disk import FileDisk
from orlop.errors import ResourceExhaustedError

if TYPE_CHECKING:
    from pathlib import Path

    from orlop.namespace import Namespace


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def write_on_a_full_disk(namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    with namespace.lease("mine"):
        monkeypatch.setattr(FileDisk, "sync", full)
        namespace.leases.create("inside")


def leases(root: Path) -> list[str]:
    with orlop.open(root, read_only=True) as database:
        return [lease.id for lease in database.namespace("default").leases.list()]


def test_the_lease_of_a_block_whose_write_failed_is_deleted_at_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with orlop.open(tmp_path) as database:
        namespace = database.namespace("default")
        namespace.leases.create("before")
        with pytest.raises(ResourceExhaustedError):
            write_on_a_full_disk(namespace, monkeypatch)
        monkeypatch.undo()
        assert "mine" in leases(tmp_path)

    assert leases(tmp_path) == ["before"]


def test_where_it_cannot_be_deleted_then_either_it_expires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with orlop.open(tmp_path) as database:
        namespace = database.namespace("default")
        with pytest.raises(ResourceExhaustedError):
            write_on_a_full_disk(namespace, monkeypatch)
    monkeypatch.undo()

    assert "a lease stays until it expires" in caplog.text
    assert "mine" in leases(tmp_path)
