"""The collector: what writers have to wait for, what a collection takes, and its memory."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Final

from benchmarks.sides.objects import METADATA, NAMESPACE, groups_of, image, image_name
from orlop import Database

if TYPE_CHECKING:
    from typing import Self

    from orlop.stores.images import ImageStore

_GARBAGE_EVERY: Final = 100
"""One image in so many is deleted: 0.9 % of all objects."""
_CHANGES: Final = 100
_SETTLE_SECONDS: Final = 0.05
_NANOSECONDS: Final = 10**9


def collect_garbage(folder: Path, count: int) -> dict[str, float]:
    """Collect while a thread commits one image after the other."""
    with Database.open_file(folder / METADATA) as database:
        images = database.namespace(NAMESPACE).images
        with database.update():
            for group in range(0, groups_of(count), _GARBAGE_EVERY):
                images.delete(image_name(group))
        with _Writer(images, groups_of(count)) as writer:
            sleep(_SETTLE_SECONDS)
            begun = perf_counter()
            statistics = database.gc.run()
            whole = perf_counter() - begun
    return {
        "hold": statistics.longest_pause_nanoseconds / _NANOSECONDS,
        "whole": whole,
        "wait": writer.longest_seconds,
    }


def collect_again(folder: Path, count: int) -> dict[str, float]:
    """Collect where nothing is to be freed, and again after some changes."""
    with Database.open_file(folder / METADATA) as database:
        before = _resident_bytes()
        begun = perf_counter()
        statistics = database.gc.run()
        first = perf_counter() - begun
        memory = _resident_bytes() - before
        _change(database.namespace(NAMESPACE).images, groups_of(count))
        begun = perf_counter()
        database.gc.run()
        again = perf_counter() - begun
    return {
        "first": first,
        "pause": statistics.longest_pause_nanoseconds / _NANOSECONDS,
        "again": again,
        "memory": memory,
    }


def open_to_write(folder: Path, _: int) -> dict[str, float]:
    """Open a file without a freelist, until the first commit is durable."""
    begun = perf_counter()
    with Database.open_file(folder / METADATA) as database:
        database.namespace(NAMESPACE).images.create(image(1 << 30, 1))
        return {"first write": perf_counter() - begun}


def _change(images: ImageStore, groups: int) -> None:
    """Make, relabel and delete images: two, one and one of every four changes."""
    for number in range(_CHANGES):
        group = number % groups
        match number % 4:
            case 0 | 1:
                images.create(image(groups + number, group))
            case 2:
                images.update(image(group), labels={"team": "c"})
            case _:
                images.delete(image_name(group))


def _resident_bytes() -> float:
    """Return the memory that this process has in use."""
    gc.collect()
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    [kibibytes] = (line.split()[1] for line in lines if line.startswith("VmRSS:"))
    return int(kibibytes) * 1024.0


class _Writer:
    """A thread that creates images, and notes how long the longest commit took."""

    def __init__(self, images: ImageStore, first: int) -> None:
        self.longest_seconds = 0.0
        self._images = images
        self._number = first
        self._stopped = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _write(self) -> None:
        try:
            while not self._stopped.is_set():
                begun = perf_counter()
                self._images.create(image(self._number, 1))
                self.longest_seconds = max(self.longest_seconds, perf_counter() - begun)
                self._number += 1
        except BaseException as error:  # noqa: BLE001 -- raised again where the block ends
            self._failure = error
