"""The native snapshotter: every snapshot is a whole copy of its parent.

It needs nothing of the file system, and mounts are plain bind mounts. Where the file system
can share blocks (btrfs, xfs), a copy takes no space.

Source: containerd, plugins/snapshots/native.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from orlop.records import Mount, SnapshotKind
from orlop.storage import files
from orlop.storage.copying import copy_tree
from orlop.storage.snapshotter import DirectorySnapshotter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from orlop.storage.snapshots import Snapshot

_ROOT_MODE: Final = 0o755


class NativeSnapshotter(DirectorySnapshotter):
    """Snapshots as copies, in `<root>/snapshots/<id>/`."""

    _moves: ClassVar = False

    def _has_directory(self, kind: SnapshotKind, parent_id: str | None) -> bool:
        # A view shows the directory of its parent, which nobody changes.
        return kind is SnapshotKind.ACTIVE or parent_id is None

    def _fill(
        self,
        directory: Path,
        kind: SnapshotKind,  # noqa: ARG002 -- both kinds begin alike
        parent_id: str | None,
        labels: Mapping[str, str],  # noqa: ARG002 -- as containerd's, which maps no owners
    ) -> None:
        if parent_id is None:
            directory.chmod(_ROOT_MODE)
        else:
            copy_tree(self._data(parent_id), directory)
            files.sync_tree(directory)

    def _own(self, number: str, kind: SnapshotKind, *, has_parent: bool) -> tuple[Path, ...]:
        is_shown_parent = kind is SnapshotKind.VIEW and has_parent
        return () if is_shown_parent else (self._data(number),)

    def _lower(self, kind: SnapshotKind, parent_ids: Sequence[str]) -> Sequence[str]:
        return parent_ids[:1] if kind is SnapshotKind.VIEW else ()

    def _data(self, number: str) -> Path:
        return self._directory / number

    def _mounts(self, snapshot: Snapshot) -> tuple[Mount, ...]:
        is_view = snapshot.kind is SnapshotKind.VIEW
        number = snapshot.parent_ids[0] if is_view and snapshot.parent_ids else snapshot.id
        options = ("rbind", "ro" if is_view else "rw")
        return (Mount(type="bind", source=str(self._data(number)), options=options),)
