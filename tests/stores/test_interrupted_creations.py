"""A creation of a snapshot that is interrupted before its record leaves garbage for a cleanup."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import orlop
from orlop.stores.snapshot_creation import Creation

if TYPE_CHECKING:
    from pathlib import Path


def test_the_same_handle_collects_it(
    tmp_path: Path, snapshotter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with orlop.open(tmp_path, sync=False) as database:
        store = database.namespace("default").snapshots(snapshotter)
        store.prepare("kept", "", {"containerd.io/gc.root": "x"})
        database.gc.run()
        with monkeypatch.context() as patched:
            patched.setattr(Creation, "_note", interrupt)
            with pytest.raises(KeyboardInterrupt):
                store.prepare("interrupted", "")
        assert len(list(database.snapshot_backends[snapshotter].walk())) == 2

        database.gc.run()

        assert len(list(database.snapshot_backends[snapshotter].walk())) == 1
