"""Whole records for operations, valid or with one flaw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from differential import inputs
from differential.inputs import Inputs

if TYPE_CHECKING:
    from differential.world import Known


class RecordInputs(Inputs):
    """Draws records, and the values of their fields."""

    def image(self, name: str, *, flaw: bool) -> dict[str, Any]:
        image: dict[str, Any] = {
            "name": name,
            "media_type": self.one_of(inputs.MEDIA_TYPES),
            "digest": self.one_of((*inputs.DIGESTS, *inputs.DIGESTS, *inputs.OTHER_DIGESTS)),
            "size": self.one_of((1, 77, 2**31, 2**63 - 1)),
            "labels": self.labels(),
            "annotations": self.annotations(),
        }
        if flaw:
            image |= self.one_of(
                (
                    {"name": ""},
                    {"media_type": ""},
                    {"digest": self.one_of(inputs.BAD_DIGESTS)},
                    {"size": self.one_of((0, -1, -(2**63)))},
                    {"labels": self.labels(flaw=True)},
                    {"annotations": self.annotations(flaw=True)},
                )
            )
        return image

    def container(self, name: str, *, flaw: bool) -> dict[str, Any]:
        snapshotter = self.one_of(("", *inputs.SNAPSHOTTERS))
        container: dict[str, Any] = {
            "id": name,
            "labels": self.labels(),
            "image": self.one_of(("", *inputs.IMAGES)),
            "runtime": self.one_of(("io.containerd.runc.v2", "io.containerd.runtime.v1.linux")),
            "options": self.envelope() if self.chance(0.5) else None,
            "spec": self.envelope(),
            "snapshotter": snapshotter,
            "snapshot_key": self.one_of(inputs.KEYS) if snapshotter and self.chance(0.7) else "",
            "extensions": {
                self.one_of(inputs.NAMES): self.envelope() for _ in range(self.random.randrange(3))
            },
        }
        if flaw:
            container |= self.one_of(
                (
                    {"id": self.one_of(inputs.BAD_IDENTIFIERS)},
                    {"runtime": ""},
                    {"spec": None},
                    {"snapshotter": "", "snapshot_key": "a"},
                    {"labels": self.labels(flaw=True)},
                    {"extensions": {"": self.envelope()}},
                )
            )
        return container

    def resource(self, here: Known, *, flaw: bool) -> dict[str, str]:
        snapshotter = self.one_of(inputs.SNAPSHOTTERS)
        if flaw:
            return self.one_of(
                (
                    {"type": "content", "id": self.one_of(inputs.BAD_DIGESTS)},
                    {"type": "content/x", "id": inputs.DIGESTS[0]},
                    {"type": "ingests/x", "id": "r1"},
                    {"type": "snapshots", "id": "a"},
                    {"type": "snapshots/native/x", "id": "a"},
                    {
                        "type": self.one_of(("", "blobs", "containers", "snapshot/native")),
                        "id": "a",
                    },
                )
            )
        return self.one_of(
            (
                {"type": "content", "id": self.known(here.blobs, inputs.DIGESTS)},
                {"type": "ingests", "id": self.known(here.refs, inputs.REFS)},
                {
                    "type": f"snapshots/{snapshotter}",
                    "id": self.known([*here.snapshots[snapshotter]], inputs.KEYS),
                },
                {"type": "snapshots/unknown", "id": "a"},
            )
        )
