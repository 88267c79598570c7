"""What lies in the backends, for a plan: how much it is, and what of it nothing names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orlop.collect.cleanup import leaves_first
from orlop.collect.named import BLOB, FILES, UNFINISHED, Datum
from orlop.model.errors import NotFoundError, OrlopError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from orlop.collect.domain import Domain
    from orlop.model.records import SnapshotInfo


@dataclass(slots=True)
class Survey:
    """The data in the backends at one moment, each backend for itself.

    Attributes:
        domain: the database.
        content: sizes of blobs and of unfinished ones, in bytes.
        snapshots: by snapshotter.
        failures: which backends could not be read, and why; their data is not in the plan.
    """

    domain: Domain
    content: dict[Datum, int] = field(default_factory=dict)
    snapshots: dict[str, list[SnapshotInfo]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def data(self) -> Iterator[Datum]:
        """Iterate over all data."""
        yield from self.content
        for snapshotter, snapshots in self.snapshots.items():
            for one in snapshots:
                yield Datum(FILES, one.name, snapshotter)

    def deletable(self, named: Collection[Datum]) -> set[Datum]:
        """Return what a cleanup would delete if only `named` were named by the metadata."""
        deletable = {datum for datum in self.content if datum not in named}
        for snapshotter, snapshots in self.snapshots.items():
            data = {one.name: Datum(FILES, one.name, snapshotter) for one in snapshots}
            garbage = {name for name, datum in data.items() if datum not in named}
            deletable.update(data[name] for name in leaves_first(snapshots, garbage))
        return deletable

    def size(self, datum: Datum) -> int:
        """Return what a datum takes on disk, in bytes; 0 where it is not there."""
        if datum.kind != FILES:
            return self.content.get(datum, 0)
        backend = self.domain.snapshotters.get(datum.snapshotter)
        if backend is None or datum.snapshotter not in self.snapshots:
            return 0
        try:
            return backend.usage(datum.name).size
        except NotFoundError:
            return 0
        except (OrlopError, OSError) as error:
            self.failures.setdefault(datum.snapshotter, str(error))
            return 0


def survey(domain: Domain) -> Survey:
    """Look into all backends. One that cannot be read is noted, and left out."""
    found = Survey(domain)
    if domain.content is not None:
        try:
            content = {Datum(BLOB, blob.digest): blob.size for blob in domain.content.walk()}
            for ingest in domain.content.statuses():
                content[Datum(UNFINISHED, ingest.ref)] = ingest.offset
            found.content = content
        except (OrlopError, OSError) as error:
            found.failures["content"] = str(error)
    for name, backend in domain.snapshotters.items():
        try:
            found.snapshots[name] = list(backend.walk())
        except (OrlopError, OSError) as error:
            found.failures[name] = str(error)
    return found
