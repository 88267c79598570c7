"""Values for the fields of operations: valid ones, and one in four that is not.

What is left out on purpose, because docs/differences.md says that Orlop answers otherwise, or
because containerd 1.6.20 does not have it, is named in `LEFT_OUT`.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

_T = TypeVar("_T")

LEFT_OUT: Final = {
    "containerd.io/gc.expire on images, images in leases, sandboxes, rebase": (
        "containerd 1.6.20 does not know them"
    ),
    "a lease in force where a snapshot exists already": (
        "the newer containerd, and Orlop, let the lease hold it; 1.6.20 does not"
    ),
    "a lease that does not exist, in prepare, view and the commit of a blob": (
        "Orlop finds it before it touches the backend, where 1.6.20 uses up a number or a blob"
    ),
    "empty keys where nothing would be written": (
        "Orlop refuses an empty key before it looks; 1.6.20 only when it puts it"
    ),
    "a label on a namespace that is no identifier": (
        "Orlop refuses it; 1.6.20 makes a namespace that it cannot enter"
    ),
    "an ingest that is aborted or collected under its writer": (
        "the files go in another order; tests/storage covers it"
    ),
    "more data for a shared ingest that has data of its own": (
        "Orlop goes on where it had stopped; 1.6.20 reads beyond the end of the blob"
    ),
    "another size for an ingest that was begun for one": (
        "the ingest begins again, and then keeps its old bytes in containerd"
    ),
    "a rollback after a backend has acted": (
        "Orlop lets the same be done again; tests/stores/test_failures_at_each_step.py covers it"
    ),
    "the same path twice in an update": (
        "in containerd an entry between the two changes the map that it was given"
    ),
    "the namespace version": "it stands in the way of the schema's version",
}
"""What scripts never do, each with its reason."""

INVALID: Final = 0.25
NAMESPACES: Final = ("default", "k8s.io", "team-a")
BAD_IDENTIFIERS: Final = ("", "bad name", "-a", "a..b", "a-", "é", "x" * 77, "a/b")
IMAGES: Final = (
    *tuple(f"docker.io/library/{name}:latest" for name in "abcdef"),
    "x",
    "b@c d",
    "牛",
)
CONTAINERS: Final = ("c1", "c2", "web.1", "db_1", "x-y", "z" * 76)
LEASES: Final = ("l1", "l2", "l 3", "sha256:4", "l/5")
REFS: Final = ("r1", "layer-sha256:2", "r/3", "r 4", "manifest")
KEYS: Final = (*"abcdefghij", "sha256:k", "l m", "n/o")
SNAPSHOTTERS: Final = ("native", "second")
MEDIA_TYPES: Final = ("application/vnd.oci.image.manifest.v1+json", "text/plain")
BLOBS: Final = tuple(f"blob {number}".encode() * number for number in range(12))
VALUES: Final = ("", "1", "true", "a b", "é", "x" * 200)
NAMES: Final = ("a", "b.c", "containerd.io/x", "containerd.io/snapshot/y", "é", "team")
BAD_PATHS: Final = (
    "name",
    "foo",
    "target.digest",
    "Labels",
    "labels/a",
    "",
    "runtime",
    "createdat",
)
LONG: Final = 4096


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


DIGESTS: Final = tuple(digest_of(blob) for blob in BLOBS)
BAD_DIGESTS: Final = (
    "",
    "sha256:abc",
    "sha256:" + "g" * 64,
    "sha256:" + "A" * 64,
    "md5:" + "a" * 32,
    "sha256",
    "a" * 64,
    "sha384:" + "a" * 64,
)
OTHER_DIGESTS: Final = ("sha384:" + "a" * 96, "sha512:" + "b" * 128)

_ENVELOPES: Final[tuple[dict[str, Any], ...]] = tuple(
    {"type_url": url, "value": base64.b64encode(value).decode()}
    for url, value in (
        ("types.containerd.io/opencontainers/runtime-spec/1/Spec", b'{"ociVersion":"1.0.2"}'),
        ("", b""),
        ("x", b""),
        ("", b"\x00\xff"),
        ("y/z", bytes(300)),
    )
)

FILTERS: Final = (
    "name==x",
    "labels.a",
    "labels.a==1",
    'labels."b.c"!=1',
    "labels.team~=^t",
    "id==c1",
    "runtime.name==io.containerd.runc.v2",
    "image~=docker",
    "target.mediatype==text/plain",
    "target.digest~=sha256:[0-7]",
    "annotations.a",
    "ref==r1",
    "kind==active",
    "kind~=comm,parent==a",
    "parent==a,name~=[b-e]",
    "digest~=[0-9]$",
    "",
    "nothing.here==1",
    "name!=x,labels.a!=1",
)
BAD_FILTERS: Final = (
    "name==",
    "==x",
    "name=x",
    'name=="x',
    "a b",
    ",",
    "name~=/x",
    "labels..a",
    "(",
)


@dataclass(slots=True)
class Inputs:
    """Draws values for fields."""

    random: random.Random

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def one_of(self, values: Sequence[_T]) -> _T:
        return self.random.choice(values)

    def known(self, existing: Sequence[str], pool: Sequence[str], share: float = 0.8) -> str:
        """Return a name that exists, most of the time."""
        return self.one_of(existing if existing and self.chance(share) else pool)

    def labels(self, *, flaw: bool = False) -> dict[str, str] | None:
        """Return labels; with a `flaw`, one that no store takes."""
        kind = self.random.random()
        if kind < 0.1 and not flaw:
            return None
        labels = {self.one_of(NAMES): self.one_of(VALUES) for _ in range(self.random.randrange(4))}
        if self.chance(0.25):
            labels |= self.references()
        if self.chance(0.03):
            labels["l" * 96] = "v" * (LONG - 96)
        if flaw:
            labels |= self.one_of(({"": "x"}, {"k" * 97: "v" * (LONG - 96)}, {"k" * 5000: ""}))
        return labels

    def references(self) -> dict[str, str]:
        """Return labels that the collector reads."""
        return self.one_of(
            (
                {"containerd.io/gc.root": "2026-11-24T00:00:00Z"},
                {f"containerd.io/gc.ref.content.{self.one_of('01')}": self.one_of(DIGESTS)},
                {"containerd.io/gc.ref.content": self.one_of(DIGESTS)},
                {f"containerd.io/gc.ref.snapshot.{self.one_of(SNAPSHOTTERS)}": self.one_of(KEYS)},
                {f"containerd.io/gc.ref.snapshot.{self.one_of(SNAPSHOTTERS)}/0": self.one_of(KEYS)},
            )
        )

    def lease_labels(self, *, flaw: bool = False) -> dict[str, str] | None:
        labels = self.labels()
        if labels is not None:
            labels.pop("l" * 96, None)
            if self.chance(0.3):
                labels["containerd.io/gc.expire"] = self.one_of(
                    ("2001-02-03T04:05:06Z", "2999-01-01T00:00:00+01:00", "tomorrow")
                )
            if self.chance(0.2):
                labels["containerd.io/gc.flat"] = "1"
        return {**(labels or {}), "": "x"} if flaw else labels

    def annotations(self, *, flaw: bool = False) -> dict[str, str] | None:
        if flaw:
            return self.one_of(({"": "x"}, {"k" * 32_769: "v"}))
        if self.chance(0.4):
            return None
        # No limit of length holds for annotations.
        values = (*VALUES, "v" * 5000) if self.chance(0.05) else VALUES
        return {self.one_of(NAMES): self.one_of(values) for _ in range(self.random.randrange(3))}

    def envelope(self) -> dict[str, Any]:
        return self.one_of(_ENVELOPES)

    def paths(self, fields: Sequence[str], maps: Sequence[str], *, flaw: bool = False) -> list[str]:
        """Return the field paths of an update; with a `flaw`, perhaps an invalid one."""
        paths = []
        for _ in range(self.one_of((0, 1, 1, 1, 2, 3))):
            field = self.one_of((*fields, *maps, *maps))
            if field in maps and self.chance(0.7):
                field = f"{field}.{self.one_of(NAMES)}"
            if field not in paths:
                paths.append(field)
        if flaw:
            paths.insert(self.random.randrange(len(paths) + 1), self.one_of(BAD_PATHS))
        return paths

    def filters(self, *, flaw: bool = False) -> list[str]:
        if flaw:
            return [self.one_of(FILTERS), self.one_of(BAD_FILTERS)][self.random.randrange(2) :]
        return [self.one_of(FILTERS) for _ in range(self.one_of((0, 0, 1, 1, 2)))]
