"""Helpers for tests of import: an image, and the database records that it creates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oci.builder import Built, directory, entry, hardlink, layer

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.database import Database
    from orlop.namespace import Namespace
    from orlop.oci import Work

NAME = "example.com/built:v1"
FIRST = layer(directory("d"), entry("d/one", data=b"1" * 3000), entry("two"))
SECOND = layer(entry("d/.wh.one"), entry("three"), hardlink("four", "three"))


def build(**options: object) -> Built:
    built = Built()
    built.image([FIRST, SECOND], **options)  # type: ignore[arg-type]
    return built


def everything(namespace: Namespace) -> dict[str, object]:
    """Return all that is in a namespace, but for times of change."""
    return {
        "images": {image.name: image for image in namespace.images.list()},
        "content": {info.digest: dict(info.labels) for info in namespace.content.walk()},
        "snapshots": [
            (info.name, info.parent, info.kind)
            for name in ("native", "overlayfs")
            for info in namespace.snapshots(name).walk()
        ],
        "leases": namespace.leases.list(),
        "ingests": namespace.content.statuses(),
    }


def files_on_disk(database: Database) -> list[str]:
    """Return the names of blobs, ingests and snapshots on disk."""
    assert database.root is not None
    patterns = ("*content*/blobs/*/*", "*content*/ingest/*", "*snapshotter*/snapshots/*")
    return sorted(str(path) for pattern in patterns for path in database.root.glob(pattern))


def assert_nothing_is_left(database: Database, namespace: Namespace) -> None:
    database.gc.run()
    found = everything(namespace)
    assert not any(found.values()), found
    assert files_on_disk(database) == []


class Meddler:
    """Progress that does something else at every step."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        self.meddle = meddle
        self.steps: list[tuple[str, str, int]] = []

    def started(self, work: Work) -> None:
        self.steps.append(("started", work.stage.value, work.total))
        self.meddle()

    def advanced(self, work: Work, done: int) -> None:
        assert 0 <= done <= work.total
        self.meddle()

    def finished(self, work: Work, *, reused: bool) -> None:
        self.steps.append(("reused" if reused else "finished", work.stage.value, work.total))
        self.meddle()
