"""Where the files of a prepared snapshot lie, from its mounts: nothing has to be mounted.

Source: behaviour of containerd's diff/apply package; mount(8).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orlop.model.errors import UnimplementedError
from orlop.oci.safe_path import SnapshotTree
from orlop.storage.overlay_options import directory_of, lowers_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orlop.model.records import Mount


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The directory that is written, over those of the parents, nearest first.

    `user` is whether overlay keeps its marks in the attributes that any user may set.
    """

    root: Path
    lowers: tuple[Path, ...] = ()
    user: bool = False

    def open(self) -> SnapshotTree:
        """Open the directories; the caller closes them."""
        space = "user" if self.user else "trusted"
        return SnapshotTree(self.root, self.lowers, opaque=f"{space}.overlay.opaque")


def target_of(mounts: Sequence[Mount]) -> Target:
    """Return where to write, for mounts of the kinds `bind` and `overlay`.

    Raises:
        UnimplementedError: the snapshotter wants something else to be mounted.
    """
    if len(mounts) == 1 and mounts[0].type in {"bind", "rbind"}:
        return Target(root=Path(mounts[0].source))
    if len(mounts) == 1 and mounts[0].type == "overlay":
        options = dict(option.partition("=")[::2] for option in mounts[0].options)
        if "upperdir" in options:
            return Target(
                root=directory_of(options["upperdir"]),
                lowers=lowers_of(options.get("lowerdir", "")),
                user="userxattr" in options,
            )
    kinds = ", ".join(mount.type for mount in mounts) or "none"
    raise UnimplementedError(f"unpacking into mounts of the kind {kinds}: only bind and overlay")
