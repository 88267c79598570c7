"""What a collection did, and how long each part of it took."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """One collection. All durations are in nanoseconds, all sizes in bytes.

    Attributes:
        pause_nanoseconds: how long updates had to wait, all pauses together.
        longest_pause_nanoseconds: the longest of these pauses.
        mark_nanoseconds: how long it took to read the graph and to mark it.
        sweep_nanoseconds: how long it took to remove the records, durably.
        content_nanoseconds: how long the cleanup of the content backend took; 0 for none.
        snapshot_nanoseconds: the same for each snapshotter that was cleaned.
        removed: how many records were removed, by type.
        kept: how many records of those types were held.
        deleted: how many blobs, ingests and snapshots were deleted from backends.
        freed_bytes: what those took on disk.
        set_aside: how much in backends no metadata names and was left all the same, because the
            metadata is or was in doubt.
        set_aside_bytes: what that takes on disk.
        failures: which cleanups (`content`, or a snapshotter) and which kinds of other resources
            failed, and why; what they left goes with the next collection.
    """

    pause_nanoseconds: int = 0
    longest_pause_nanoseconds: int = 0
    mark_nanoseconds: int = 0
    sweep_nanoseconds: int = 0
    content_nanoseconds: int = 0
    snapshot_nanoseconds: Mapping[str, int] = field(default_factory=dict)
    removed: Mapping[str, int] = field(default_factory=dict)
    kept: int = 0
    deleted: int = 0
    freed_bytes: int = 0
    set_aside: int = 0
    set_aside_bytes: int = 0
    failures: Mapping[str, str] = field(default_factory=dict)
