"""Backends with the methods and signatures of earlier versions take part in collections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import orlop
from orlop import opening
from orlop.errors import UnimplementedError
from orlop.explain import owner
from orlop.gc import Node
from orlop.gc.node import CONTENT

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from orlop.storage.contract import ContentBackend, SnapshotBackend


class Few:
    """Hands on some methods of another backend."""

    names: frozenset[str]

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.cleanups = 0

    def __getattr__(self, name: str) -> Any:
        if name not in self.names:
            raise AttributeError(name)
        return getattr(self.inner, name)

    def cleanup(self) -> None:
        """Clean, as it was before it took arguments."""
        self.cleanups += 1
        self.inner.cleanup()


class EarlierContent(Few):
    names = frozenset(
        [
            "info",
            "walk",
            "open",
            "delete",
            "discard",
            "writer",
            "status",
            "statuses",
            "abort",
            "discard_ingest",
            "ingest_size",
        ]
    )


class EarlierSnapshots(Few):
    names = frozenset(
        [
            "stat",
            "update",
            "usage",
            "mounts",
            "prepare",
            "view",
            "commit",
            "remove",
            "discard",
            "size_on_disk",
            "walk",
            "close",
        ]
    )


class KeepingSnapshots(EarlierSnapshots):
    names = EarlierSnapshots.names | {"leftovers"}

    def cleanup(self, keep: Collection[str] = ()) -> None:
        self.cleanups += 1
        self.inner.cleanup(keep)


class ForgettingSnapshots(EarlierSnapshots):
    """Snapshots with leftovers, but with a cleanup that takes no `keep` argument."""

    names = EarlierSnapshots.names | {"leftovers"}


class Earlier:
    """The backends of a root, wrapped."""

    def __init__(self, patch: pytest.MonkeyPatch, kind: type[Few]) -> None:
        make = opening.make_backends

        def made(*arguments: Any, **options: Any) -> opening.Backends:
            real = make(*arguments, **options)
            self.content: ContentBackend = EarlierContent(real.content)
            self.snapshotters: dict[str, SnapshotBackend] = {
                name: kind(one) for name, one in real.snapshotters.items()
            }
            return opening.Backends(self.content, self.snapshotters)

        patch.setattr(opening, "make_backends", made)


def make_garbage(database: orlop.Database) -> Node:
    """Create an unreachable ingest, blob and snapshot; return the blob."""
    namespace = database.namespace("default")
    with namespace.content.writer("ref") as writer:
        writer.write(b"garbage")
        writer.commit()
        digest = writer.digest()
    with namespace.content.writer("left") as writer:
        writer.write(b"half")
    namespace.content.abort("left")
    snapshots = namespace.snapshots("native")
    snapshots.prepare("active")
    snapshots.remove("active")
    return Node(CONTENT, "default", digest)


def numbers(root: Path) -> set[str]:
    path = root / "io.containerd.snapshotter.v1.native" / "snapshots"
    return {one.name for one in path.iterdir()}


@pytest.mark.parametrize("kind", [EarlierSnapshots, KeepingSnapshots, ForgettingSnapshots])
def test_a_collection_needs_no_more_than_the_earlier_methods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Few]
) -> None:
    earlier = Earlier(monkeypatch, kind)
    with orlop.open(tmp_path) as database:
        node = make_garbage(database)
        plan = database.gc.plan()
        assert (plan.failures, plan.freed_bytes > 0) == ({}, True)
        blob = f"io.containerd.content.v1.content/blobs/{node.key.replace(':', '/')}"
        assert owner(database, str(tmp_path / blob)).nodes == (node,)

        statistics = database.gc.run()

        assert statistics.failures == {}
        assert statistics.deleted >= 2
        assert [one.cleanups for one in earlier.snapshotters.values()] == [1, 1]  # type: ignore[attr-defined]
        assert numbers(tmp_path) == set()
        assert database.faults() == {}
        assert list(database.content_backend.walk()) == []


def test_a_backend_that_cannot_keep_what_is_set_aside_is_not_cleaned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with orlop.open(tmp_path) as database:
        database.namespace("default").snapshots("native").prepare("kept")
    (tmp_path / "io.containerd.snapshotter.v1.native" / "snapshots" / "77").mkdir()
    (tmp_path / "io.containerd.metadata.v1.bolt" / "orlop" / "period.json").unlink()
    earlier = Earlier(monkeypatch, ForgettingSnapshots)
    with orlop.open(tmp_path) as database:
        failures = database.gc.run(confirmed=True).failures

        assert set(failures) <= {"native"}
        assert "keep" in failures.get("native", "keep")
        assert earlier.snapshotters["native"].cleanups == 0  # type: ignore[attr-defined]
    assert "77" in numbers(tmp_path)


def test_a_cleanup_without_steps_does_not_begin_once_the_database_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = Earlier(monkeypatch, EarlierSnapshots)
    with orlop.open(tmp_path) as database:
        make_garbage(database)
        content = earlier.content
        walk = content.walk

        def closing() -> Any:
            database.gc.close()
            return walk()

        monkeypatch.setattr(content, "walk", closing, raising=False)
        assert "closed" in database.gc.run().failures["content"]
        assert content.cleanups == 0  # type: ignore[attr-defined]


def test_a_writer_that_replaces_nothing_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class EarlierWriter(Few):
        names = frozenset({"write", "status", "digest", "truncate", "sync", "close"})

        def commit(self, *, size: int = 0, expected: str = "") -> None:
            self.inner.commit(size=size, expected=expected)

    earlier = Earlier(monkeypatch, EarlierSnapshots)
    with orlop.open(tmp_path) as database:
        node = make_garbage(database)
        opened = earlier.content.writer
        monkeypatch.setattr(
            earlier.content,
            "writer",
            lambda ref, **options: EarlierWriter(opened(ref, **options)),
            raising=False,
        )
        content = database.namespace("default").content
        earlier.content.delete(node.key)
        with content.writer("again", expected=node.key) as writer:
            writer.write(b"garbage")
            writer.commit()
        path = tmp_path / "io.containerd.content.v1.content/blobs" / node.key.replace(":", "/")
        path.chmod(0o600)
        path.write_bytes(b"GARBAGE")
        with content.writer("third", expected=node.key, verify=True) as writer:
            writer.write(b"garbage")
            with pytest.raises(UnimplementedError, match="EarlierWriter"):
                writer.commit()
