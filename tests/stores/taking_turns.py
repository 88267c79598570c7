"""A process that opens a root, adds to a counter and to every store, and closes, in turns.

    taking_turns.py ROOT NAME TURNS SECONDS

SECONDS is how long to wait for the lock. A line on stdout acknowledges each turn.
"""

from __future__ import annotations

import sys

import orlop
from orlop import Container, Descriptor, Image, ProtoAny, Runtime

COUNTER = "counter"


def add_one(ns: orlop.Namespace) -> None:
    """Increment a stored number; the update is lost if another one interleaves."""
    with ns.environment.transactions.update():
        image = ns.images.get(COUNTER)
        ns.images.update(image, labels={"n": str(int(image.labels["n"]) + 1)})


def begin(ns: orlop.Namespace) -> None:
    target = Descriptor(media_type="m", digest=f"sha256:{'0' * 64}", size=1)
    ns.images.create(Image(name=COUNTER, target=target, labels={"n": "0"}))


def count(ns: orlop.Namespace) -> int:
    return int(ns.images.get(COUNTER).labels["n"])


def take_turn(ns: orlop.Namespace, key: str) -> None:
    """Create one record of each type, kept by a lease, and count."""
    lease = ns.leases.create(key)
    with ns.using_lease(lease.id):
        with ns.content.writer(key) as writer:
            writer.write(key.encode())
            writer.commit(labels={"by": key})
        snapshots = ns.snapshots("native")
        snapshots.prepare(f"{key}-active", labels={"by": key})
        snapshots.commit(key, f"{key}-active", labels={"by": key})
        ns.snapshots("overlayfs").view(key)
    ns.containers.create(
        Container(id=key, runtime=Runtime(name="runc"), spec=ProtoAny(type_url="t", value=b"s"))
    )
    add_one(ns)


def found(ns: orlop.Namespace) -> list[set[str]]:
    """Return the creators of the records, store by store."""
    return [
        {one.id for one in ns.leases.list()},
        {one.labels["by"] for one in ns.content.walk()},
        {one.name for one in ns.snapshots("native").walk()},
        {one.name for one in ns.snapshots("overlayfs").walk()},
        {one.id for one in ns.containers.list()},
    ]


def main(root: str, name: str, turns: int, seconds: float) -> None:
    for turn in range(turns):
        with orlop.open(root, timeout=seconds, sync=False) as db:
            take_turn(db.namespace("testing"), f"{name}-{turn}")
        sys.stdout.write(f"{turn}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
