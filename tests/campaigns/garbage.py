"""Random databases of thousands of records, by the rules that every collector knows.

Labels are well-formed and malformed; references dangle, cross and go round in circles. Types
and rules that containerd 1.6 does not know are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from whenever import TimeDelta

from collector.records import Records, digest_of
from orlop.schema.codec.timestamps import format_rfc3339

if TYPE_CHECKING:
    import random

    from whenever import Instant

    from orlop.kv import Transaction

GC: Final = "containerd.io/gc."
NAMESPACES: Final = ("default", "k8s.io", "moby")
SNAPSHOTTERS: Final = ("native", "overlayfs")
_SHARES: Final = {
    "blob": 40,
    "snapshot": 30,
    "image": 8,
    "container": 5,
    "lease": 8,
    "ingest": 9,
}
_MALFORMED: Final = (
    ("ref.contentbad", "{digest}"),
    ("ref.content.0", "no digest"),
    ("ref.content", ""),
    ("ref.snapshot", "{key}"),
    ("ref.snapshot.", "{key}"),
    ("ref.snapshot.unknown", "{key}"),
    ("ref.snapshots.native", "{key}"),
    ("rot", "x"),
    ("expire", "tomorrow"),
)


@dataclass
class Garbage:
    """Writes random records.

    Attributes:
        random: what decides.
        size: how many records each namespace gets.
        now: the present.
    """

    random: random.Random
    size: int
    now: Instant

    def write(self, transaction: Transaction) -> int:
        """Write them; return how many there are."""
        records = Records(transaction, self.now)
        kinds = self.random.choices(list(_SHARES), list(_SHARES.values()), k=self.size)
        for namespace in NAMESPACES:
            for number, kind in enumerate(kinds):
                getattr(self, f"_{kind}")(records, namespace, number)
        return self.size * len(NAMESPACES)

    def _blob(self, records: Records, namespace: str, number: int) -> None:
        records.blob(namespace, digest_of(number), self._labels(root=0.02))

    def _snapshot(self, records: Records, namespace: str, number: int) -> None:
        parent = self._key() if self.random.random() < 0.7 else ""
        snapshotter = SNAPSHOTTERS[number % len(SNAPSHOTTERS)]
        labels = self._labels(root=0.02)
        records.snapshot(namespace, snapshotter, f"snapshot-{number}", parent, labels)

    def _image(self, records: Records, namespace: str, number: int) -> None:
        name = f"example.com/image-{number}:latest"
        records.image(namespace, name, self._digest(), self._labels(root=0.1))

    def _container(self, records: Records, namespace: str, number: int) -> None:
        snapshotter = self.random.choice(("", *SNAPSHOTTERS))
        labels = self._labels(root=0.1)
        records.container(namespace, f"container-{number}", snapshotter, self._key(), labels)

    def _lease(self, records: Records, namespace: str, number: int) -> None:
        labels = {}
        if self.random.random() < 0.3:
            labels[f"{GC}flat"] = self.random.choice(("", "x"))
        if self.random.random() < 0.6:
            hours = self.random.choice((-48, -1, 1, 48))
            labels[f"{GC}expire"] = format_rfc3339(self.now + TimeDelta(hours=hours))
        elif self.random.random() < 0.2:
            labels[f"{GC}expire"] = self.random.choice(("", "soon", "2020-01-01"))
        held = [self._resource() for _ in range(self.random.randrange(4))]
        records.lease(namespace, f"lease-{number}", *held, labels=labels)

    def _ingest(self, records: Records, namespace: str, number: int) -> None:
        hours = self.random.choice((None, -30, -1, 1, 24))
        records.ingest(
            namespace,
            f"ingest-{number}",
            expected=self._digest() if self.random.random() < 0.4 else "",
            expires=None if hours is None else self.now + TimeDelta(hours=hours),
        )

    def _resource(self) -> tuple[str, str]:
        kind = self.random.choice(("content", "content", "snapshots", "ingests"))
        if kind == "content":
            return kind, self._digest()
        if kind == "ingests":
            return kind, f"ingest-{self.random.randrange(self.size)}"
        return f"snapshots/{self.random.choice(SNAPSHOTTERS)}", self._key()

    def _labels(self, *, root: float) -> dict[str, str]:
        labels = {}
        if self.random.random() < root:
            labels[f"{GC}root"] = self.random.choice(("", "x"))
        for number in range(self.random.choice((0, 0, 1, 1, 2, 4))):
            if self.random.random() < 0.5:
                suffix = self.random.choice((f".{number}", f"/{number}", f".l.{number}"))
                labels[f"{GC}ref.content{suffix}"] = self._digest()
            else:
                suffix = self.random.choice(("", f"/{number}"))
                snapshotter = self.random.choice(SNAPSHOTTERS)
                labels[f"{GC}ref.snapshot.{snapshotter}{suffix}"] = self._key()
        if self.random.random() < 0.15:
            name, value = self.random.choice(_MALFORMED)
            labels[GC + name] = value.format(digest=self._digest(), key=self._key())
        if self.random.random() < 0.2:
            labels["example.com/owner"] = "somebody"
        return labels

    def _digest(self) -> str:
        return digest_of(self.random.randrange(self.size))

    def _key(self) -> str:
        return f"snapshot-{self.random.randrange(self.size)}"
