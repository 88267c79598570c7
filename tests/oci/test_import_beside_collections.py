"""A pull beside a prune: a collection after every commit, and around every call of a backend."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Any

import pytest

from oci.stored import assert_nothing_is_left, build
from orlop import oci
from orlop.storage.content import LocalContent
from orlop.storage.content_writer import ContentWriter
from orlop.storage.snapshotter import DirectorySnapshotter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orlop.database import Database
    from orlop.namespace import Namespace

CALLS = {
    LocalContent: ("writer", "info", "open", "abort", "status"),
    ContentWriter: ("write", "commit", "close"),
    DirectorySnapshotter: ("prepare", "view", "commit", "mounts", "remove", "stat"),
}


class Prune:
    """Collects on each call, unless a run or an update is active."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.runs = 0
        self._is_running = False

    def __call__(self, *_: object) -> None:
        if self._is_running or self.database.gate.is_shared:
            return
        self._is_running = True
        try:
            statistics = contextvars.Context().run(self.database.gc.run)
        finally:
            self._is_running = False
        assert statistics.failures == {}
        self.runs += 1

    def around(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self()
            result = method(*arguments, **options)
            self()
            return result

        return call


@pytest.mark.parametrize("snapshotter", ["native", "overlayfs"])
def test_an_image_ends_complete_whatever_is_collected_meanwhile(
    tmp_path: Path,
    database: Database,
    namespace: Namespace,
    monkeypatch: pytest.MonkeyPatch,
    snapshotter: str,
) -> None:
    built = build()
    archive = built.archive(tmp_path / "archive")
    prune = Prune(database)
    with monkeypatch.context() as patched:
        for kind, calls in CALLS.items():
            for name in calls:
                patched.setattr(kind, name, prune.around(getattr(kind, name)))
        stop = database.follow(prune)
        (image,) = oci.import_image(namespace, archive, unpack=snapshotter)
        stop()
    assert prune.runs > 40

    database.gc.run()
    for info in namespace.content.walk():
        with namespace.content.open(info.digest) as blob:
            assert blob.read() == built.blobs[info.digest]
    assert len(list(namespace.content.walk())) == 4
    assert len(list(namespace.snapshots(snapshotter).walk())) == 2
    top = list(namespace.snapshots(snapshotter).walk())[-1]
    namespace.snapshots(snapshotter).view("look", top.name)
    namespace.snapshots(snapshotter).remove("look")
    namespace.images.delete(image.name)
    assert_nothing_is_left(database, namespace)
