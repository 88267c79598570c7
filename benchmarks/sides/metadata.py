"""The stores: one mutation a transaction, synced; many threads at once; reading."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import orlop
from benchmarks.sides.objects import (
    METADATA,
    NAMESPACE,
    SNAPSHOTTER,
    blob_digest,
    container,
    image,
    image_name,
    snapshot_key,
)
from benchmarks.sides.timing import PASSES, STRIDE, each, timed
from orlop import LeaseResource

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orlop.namespace import Namespace

_THREADS: Final = 16


def mutate(folder: Path, count: int) -> dict[str, float]:
    """Do one thing after the other, each in transactions of its own."""
    with orlop.open(folder) as database:
        steps = _mutations(database.namespace(NAMESPACE))
        return {name: each(count, step) for name, step in steps.items()}


def create_from_threads(folder: Path, count: int) -> dict[str, float]:
    """Create images from many threads; the time is that of the clock on the wall."""
    with (
        orlop.open(folder) as database,
        ThreadPoolExecutor(_THREADS) as pool,
    ):
        images = database.namespace(NAMESPACE).images

        def create(thread: int) -> None:
            for number in range(thread, count, _THREADS):
                images.create(image(number))

        def create_all() -> None:
            for _ in pool.map(create, range(_THREADS)):
                pass

        return {"create": timed(count, create_all)}


def read_images(folder: Path, count: int) -> dict[str, float]:
    """Get and list images of a namespace that has `count` of them."""
    with orlop.Database.open_file(folder / METADATA) as database:
        images = database.namespace(NAMESPACE).images

        def get(number: int) -> None:
            images.get(image_name(number * STRIDE % count))

        def list_all(_: int) -> None:
            assert len(images.list()) == count

        def list_half(_: int) -> None:
            assert len(images.list('labels."team"==a')) == (count + 1) // 2

        for call in (get, list_all, list_half):
            call(0)
        return {
            "get": each(count, get),
            "list": each(PASSES, list_all),
            "filtered": each(PASSES, list_half),
        }


def _mutations(namespace: Namespace) -> dict[str, Callable[[int], object]]:
    images, containers, leases = namespace.images, namespace.containers, namespace.leases
    snapshots = namespace.snapshots(SNAPSHOTTER)
    return {
        "image create": lambda n: images.create(image(n)),
        "image update": lambda n: images.update(image(n), labels={"team": "c"}),
        "image delete": lambda n: images.delete(image_name(n)),
        "container create": lambda n: containers.create(container(n)),
        "container delete": lambda n: containers.delete(f"container-{n}"),
        "lease create": lambda n: leases.create(f"lease-{n}"),
        "lease add": lambda n: leases.add_resource(
            f"lease-{n}", LeaseResource(id=blob_digest(n, 0), type="content")
        ),
        "lease delete": lambda n: leases.delete(f"lease-{n}"),
        "snapshot prepare": lambda n: snapshots.prepare(f"active-{n}"),
        "snapshot commit": lambda n: snapshots.commit(snapshot_key(n, 0), f"active-{n}"),
        "snapshot remove": lambda n: snapshots.remove(snapshot_key(n, 0)),
    }
