"""Interrupts one operation at points of it, one after the other, in a process of its own.

usage: interrupt_worker.py ROOT OPERATION KIND FIRST STEP

It prints what went wrong, one line each, and at last how many points it has tried, and how many
there are.
"""

from __future__ import annotations

import faulthandler
import logging
import sys
import time
import traceback
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orlop
from campaigns.interrupt_points import CALLS, KINDS, LINES, Points
from orlop import digests
from orlop.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
    OrlopError,
    UnavailableError,
)
from orlop.gc.schedule_policy import Settings
from orlop.records import Descriptor, Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop import Namespace

BOUND_SECONDS: Final = 20
"""After so long without a step the process says where it hangs, and ends."""

OPENING_SECONDS: Final = 10

SETTINGS: Final = Settings(startup_delay=timedelta(0), confirm=True)

GC_ROOT: Final = {"containerd.io/gc.root": "x"}


class World:
    """A root that operations are interrupted on.

    Attributes:
        db: its handle.
        number: which try this is: names are made of it.
        live: what was acknowledged, and must be there: images with the data of their target.
        snapshots: the same for snapshots, each with a file of its name.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.db = orlop.open(root)
        self.number = 0
        self.points = Points(LINES, 0)
        self.live: dict[str, bytes] = {}
        self.snapshots: set[str] = set()

    @property
    def namespace(self) -> Namespace:
        return self.db.namespace("default")

    @property
    def data(self) -> bytes:
        return b"precious %d" % self.number

    def put(self, data: bytes) -> Descriptor:
        digest = digests.from_bytes(data)
        with (
            suppress(AlreadyExistsError),
            self.namespace.content.writer(f"w-{digest}", size=len(data), expected=digest) as writer,
        ):
            if not writer.status().offset:
                writer.write(data)
            writer.commit(size=len(data), expected=digest)
        return Descriptor(media_type="application/octet-stream", digest=digest, size=len(data))

    def image(self, name: str, target: Descriptor) -> None:
        self.namespace.images.create(Image(name=name, target=target))

    def snapshot(self, name: str) -> None:
        store = self.namespace.snapshots("native")
        (mount,) = store.prepare(f"{name}-active", "", labels=GC_ROOT)
        Path(mount.source, "name").write_text(name)
        store.commit(name, f"{name}-active", labels=GC_ROOT)

    def check(self, where: str) -> None:
        """Raise AssertionError unless all that is live is there, and all that is there is sound."""
        names = set()
        for image in self.namespace.images.list():
            names.add(image.name)
            with self.namespace.content.open(image.target.digest) as blob:
                assert digests.from_bytes(blob.read()) == image.target.digest, (where, image)
        assert names >= set(self.live), f"{where}: {set(self.live) - names} is gone"
        store = self.namespace.snapshots("native")
        for name in self.snapshots:
            (mount,) = store.view(f"{where}-{name}", name)
            assert Path(mount.source, "name").read_text() == name, where
            store.remove(f"{where}-{name}")


def prepare_image(world: World) -> None:
    target = world.put(world.data)
    world.image(f"a{world.number}", target)
    world.live[f"a{world.number}"] = world.data
    world.db.gc.run(confirmed=True)


def _target(world: World) -> Descriptor:
    return Descriptor(
        media_type="application/octet-stream",
        digest=digests.from_bytes(world.data),
        size=len(world.data),
    )


def update(world: World) -> None:
    name = f"c{world.number}"
    world.image(name, _target(world))
    world.live[name] = world.data


def update_block(world: World) -> None:
    names = [f"c{world.number}", f"d{world.number}"]
    with world.db.update():
        for name in names:
            world.image(name, _target(world))
    world.live.update(dict.fromkeys(names, world.data))


def view(world: World) -> None:
    with world.db.view():
        world.namespace.images.get(f"a{world.number}")


def read(world: World) -> None:
    world.namespace.images.get(f"a{world.number}")


def prepare_garbage(world: World) -> None:
    prepare_image(world)
    target = world.put(b"garbage %d" % world.number)
    world.image("garbage", target)
    world.namespace.images.delete("garbage")


def collect(world: World) -> None:
    world.db.gc.run(confirmed=True)


def make_snapshot(world: World) -> None:
    name = f"s{world.number}"
    world.snapshot(name)
    world.snapshots.add(name)


def prepare_snapshot(world: World) -> None:
    prepare_image(world)
    name = f"s{world.number}"
    world.snapshot(name)
    world.snapshots.add(name)


def remove_snapshot(world: World) -> None:
    name = f"s{world.number}"
    world.snapshots.discard(name)
    world.namespace.snapshots("native").remove(name)


def write_content(world: World) -> None:
    # Under a lease that was there before, as an importer does it.
    with world.namespace.using_lease("writing"):
        target = world.put(b"written %d" % world.number)
        name = f"w{world.number}"
        world.image(name, target)
    world.live[name] = b"written %d" % world.number


def prepare_lease(world: World) -> None:
    prepare_image(world)
    with suppress(AlreadyExistsError):
        world.namespace.leases.create("writing")


def lease_block(world: World) -> None:
    with world.namespace.lease():
        target = world.put(b"leased %d" % world.number)
        name = f"l{world.number}"
        world.image(name, target)
    world.live[name] = b"leased %d" % world.number


def schedule(world: World) -> None:
    world.db.gc.schedule(SETTINGS)
    collect_in_thread(world)


def prepare_schedule(world: World) -> None:
    prepare_garbage(world)
    world.db.gc.schedule(SETTINGS)


def note(world: World) -> None:
    """Change a record, which the scheduler is told of, and ask for a collection."""
    update(world)
    collect_in_thread(world)


def collect_in_thread(world: World) -> None:
    scheduler = world.db.gc.scheduler
    if scheduler is not None:
        scheduler.request().wait(BOUND_SECONDS / 2)


def close(world: World) -> None:
    world.db.close()


def open_again(world: World) -> None:
    world.db = orlop.open(world.root, timeout=5)


OPERATIONS: Final[dict[str, tuple[Callable[[World], None], Callable[[World], None]]]] = {
    "update": (prepare_image, update),
    "update_block": (prepare_image, update_block),
    "view": (prepare_image, view),
    "read": (prepare_image, read),
    "collect": (prepare_garbage, collect),
    "make_snapshot": (prepare_image, make_snapshot),
    "remove_snapshot": (prepare_snapshot, remove_snapshot),
    "write_content": (prepare_lease, write_content),
    "lease_block": (prepare_image, lease_block),
    "schedule": (prepare_garbage, schedule),
    "note": (prepare_schedule, note),
    "close": (prepare_image, close),
    "open": (lambda world: world.db.close(), open_again),
}


def try_point(world: World, operation: str, kind: str, target: int) -> Points:
    """Interrupt an operation at one point, and check the state after it."""
    prepare, act = OPERATIONS[operation]
    prepare(world)
    points = world.points = Points(kind, target)
    kept: BaseException | None = None
    came_out = True
    try:
        with points.raising():
            act(world)
        came_out = False
    except (KeyboardInterrupt, TimeoutError, MemoryError, OrlopError) as error:
        # Its traceback keeps what the calls had that it has ended: half of the time.
        kept = error if target // len(KINDS) % 2 else None
    except RuntimeError as error:  # a generator that was interrupted while it stopped
        if "generator" not in str(error):
            raise
    # Elsewhere plug-ins and subscribers are called, whose exceptions are contained.
    is_heard = came_out or points.exception is MemoryError
    if points.where and operation == "close" and not is_heard and "/orlop/" in points.where:
        raise AssertionError(f"{points.exception.__name__} was swallowed: {points.where}")
    if operation not in ("close", "open"):
        use(world)
    # Whatever happened, it can be closed, and opened again at once.
    world.db.close()
    del kept
    begun = time.monotonic()
    world.db = orlop.open(world.root, timeout=OPENING_SECONDS)
    assert time.monotonic() < begun + OPENING_SECONDS / 2, "the opening waited"
    world.check("opened")
    world.db.gc.run(confirmed=True)
    world.check("collected")
    tidy(world)
    return points


def use(world: World) -> None:
    """Go on with the handle, as far as it goes; it says so where it does not."""
    try:
        world.image(f"u{world.number}", _target(world))
        world.live[f"u{world.number}"] = world.data
        world.check("used")
        with suppress(NotFoundError):
            world.namespace.images.delete(f"a{world.number}")
        world.live.pop(f"a{world.number}", None)
        with suppress(NotFoundError):
            world.namespace.images.delete(f"u{world.number}")
        world.live.pop(f"u{world.number}", None)
        world.db.gc.run(confirmed=True)
        collect_in_thread(world)
        world.check("used and collected")
    except UnavailableError as error:
        if "a commit failed" not in str(error):
            raise
    except NotFoundError as error:
        # Without any image the blob of this try is gone: then nothing was acknowledged.
        if "content" not in str(error):
            raise


def tidy(world: World) -> None:
    """Delete the records of this try, so that the next one has as little to do."""
    world.live.clear()
    for image in world.namespace.images.list():
        world.namespace.images.delete(image.name)
    store = world.namespace.snapshots("native")
    for _ in range(2):
        for info in list(store.walk()):
            with suppress(FailedPreconditionError):
                store.remove(info.name)
    world.snapshots.clear()


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(root: str, operation: str, kind: str, first: int, step: int) -> None:
    logging.disable()
    world = World(Path(root))
    target, tried, total = first, 0, 0
    while True:
        faulthandler.dump_traceback_later(BOUND_SECONDS, exit=True)
        world.number += 1
        try:
            points = try_point(world, operation, kind, target)
        except BaseException:  # noqa: BLE001 (told, with the point)
            where = world.points.where
            say(f"FAILED {operation} {kind} {target} at {where}\n{traceback.format_exc()}")
            with suppress(BaseException):
                world.db.close()
            world = World(Path(root, "..", f"{Path(root).name}-{target}"))
        else:
            if not points.where:
                total = points.passed
                break
        tried += 1
        target += step
    faulthandler.cancel_dump_traceback_later()
    world.db.close()
    say(f"TRIED {tried} of {total}")


if __name__ == "__main__":
    main(
        sys.argv[1],
        sys.argv[2],
        {"lines": LINES, "calls": CALLS}[sys.argv[3]],
        int(sys.argv[4]),
        int(sys.argv[5]),
    )
