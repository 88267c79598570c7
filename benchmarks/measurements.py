"""What is measured, and what each figure is held to: the goals are ratios to the peer."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Unit(Enum):
    """What a figure counts."""

    SECONDS = "s"
    BYTES = "B"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One row of the table.

    Attributes:
        title: what it is called there.
        goal: the highest ratio to the peer that is good enough; of a figure that the peer does
            not have, the highest value. `None`: for information.
        stricter: the same for the accelerated side; `None`: the goal is the same.
        unit: what it counts.
    """

    title: str
    goal: float | None = None
    stricter: float | None = None
    unit: Unit = Unit.SECONDS

    @property
    def accelerated_goal(self) -> float | None:
        """What the accelerated side is held to."""
        return self.goal if self.stricter is None else self.stricter


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One process of each side, which gives one figure or several.

    Attributes:
        name: what both sides call it.
        group: `engine`, `metadata`, `content`, `collection`, `image` or `start-up`.
        figures: by the name that both sides give them.
        count: how many operations; `None`: as many as the data set has objects, so that it is
            measured once for each size.
        makes: the measurement of the peer that makes what is worked on; `None`: nothing.
        then: a further one that changes it.
        copied: whether each side gets a copy; else both read the same file.
    """

    name: str
    group: str
    figures: Mapping[str, Figure]
    count: int | None = None
    makes: str | None = None
    then: str | None = None
    copied: bool = field(default=True)


def _synced(*names: str) -> dict[str, Figure]:
    return {
        name: Figure(title=f"{name}, one thread, synced", goal=1.5, stricter=1.2) for name in names
    }


MEASUREMENTS: Final = (
    Measurement(
        name="engine-sequential",
        group="engine",
        count=100_000,
        figures={"put": Figure(title="sequential put, one transaction", goal=2, stricter=1)},
    ),
    Measurement(
        name="engine-random",
        group="engine",
        count=100_000,
        figures={"put": Figure(title="random put, one transaction", goal=1 / 5)},
    ),
    Measurement(
        name="engine-read",
        group="engine",
        count=100_000,
        makes="make-pairs",
        copied=False,
        figures={
            "get": Figure(title="random get, warm", goal=3, stricter=1.5),
            "step": Figure(title="cursor step, warm", goal=10, stricter=4),
            "items": Figure(title="step of an iteration, warm"),
        },
    ),
    Measurement(
        name="engine-synced",
        group="engine",
        count=500,
        figures={"put": Figure(title="one put a transaction, synced", goal=1.5)},
    ),
    Measurement(
        name="mutate",
        group="metadata",
        count=200,
        figures=_synced(
            "image create",
            "image update",
            "image delete",
            "container create",
            "container delete",
            "lease create",
            "lease add",
            "lease delete",
            "snapshot prepare",
            "snapshot commit",
            "snapshot remove",
        ),
    ),
    Measurement(
        name="create-16",
        group="metadata",
        count=3200,
        figures={
            "create": Figure(title="image create, 16 threads, synced", goal=1 / 2, stricter=1 / 4)
        },
    ),
    Measurement(
        name="read-images",
        group="metadata",
        count=10_000,
        makes="make-images",
        copied=False,
        figures={
            "get": Figure(title="image get", goal=5, stricter=2),
            "list": Figure(title="list of 10,000 images", goal=6, stricter=3),
            "filtered": Figure(title="the same, half of them by a filter", goal=6, stricter=3),
        },
    ),
    Measurement(
        name="content-small",
        group="content",
        count=100,
        figures={"commit": Figure(title="content write and commit, 256 B", goal=1.2)},
    ),
    Measurement(
        name="content-large",
        group="content",
        count=4,
        figures={"commit": Figure(title="content write and commit, 64 MiB", goal=1.2)},
    ),
    Measurement(
        name="collect-garbage",
        group="collection",
        makes="make-objects",
        figures={
            "hold": Figure(title="longest hold of writers, 0.9 % garbage", goal=1 / 20),
            "wait": Figure(title="longest commit of a thread meanwhile"),
            "whole": Figure(title="that collection as a whole"),
        },
    ),
    Measurement(
        name="collect-again",
        group="collection",
        makes="make-objects",
        figures={
            "pause": Figure(title="pause, nothing to free", goal=1 / 200),
            "first": Figure(
                title="first collection of a process, nothing to free", goal=4, stricter=1.5
            ),
            "again": Figure(title="collection after 100 changes", goal=1 / 200),
            "memory": Figure(
                title="memory that the first one leaves in use", goal=400e6, unit=Unit.BYTES
            ),
        },
    ),
    Measurement(
        name="open",
        group="collection",
        makes="make-objects",
        then="drop-freelist",
        figures={"first write": Figure(title="open, no freelist, to the first write", goal=1)},
    ),
    Measurement(
        name="import",
        group="image",
        count=100,
        figures={"import": Figure(title="import and unpack an image of 100 MB", goal=1.5)},
    ),
    Measurement(
        name="start-up",
        group="start-up",
        count=11,
        figures={
            # A bare interpreter takes some 10 ms: these are 60 and 120 ms more than that.
            "import orlop": Figure(title="`import orlop`, beside `python -c pass`", goal=7),
            "version": Figure(title="`orlop --version`, beside `python -c pass`", goal=7),
            "help": Figure(title="`orlop --help`, beside `python -c pass`", goal=7),
            "image list": Figure(
                title="`orlop image ls` of 10 images, beside `python -c pass`", goal=13
            ),
        },
    ),
)
"""In the order of the table. The count of `import` is in megabytes, that of `start-up` in starts of
each command, whose processor time counts: the peer is the bare interpreter."""
