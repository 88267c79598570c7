"""The records that the stores keep, one class an object, as containerd's API has them.

All are frozen: an update is a new record, made with `dataclasses.replace`. Times are
instants in UTC to the nanosecond; `None` stands for a time that is not set (Go's zero
time). Mappings are never changed in place.

Source: github.com/containerd/containerd, core/{images,containers,content,snapshots,leases,
sandbox,mount}.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from whenever import Instant


@dataclass(frozen=True, slots=True)
class ProtoAny:
    """A google.protobuf.Any: an opaque value with the name of its type. Both may be empty.

    `unknown` holds fields that the message has but this version of its definition does not,
    as encoded: they are kept, so that a record survives being read and written. Specs, runtime
    options and extensions are such values (google/protobuf/any.proto).
    """

    type_url: str = ""
    value: bytes = b""
    unknown: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A pointer to a blob (OCI image spec, descriptor.md). `size` is in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A name for a blob that describes an image."""

    name: str
    target: Descriptor
    labels: Mapping[str, str] = field(default_factory=dict)
    created_at: Instant | None = None
    updated_at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Which runtime runs a container or sandbox, with options that only it understands."""

    name: str
    options: ProtoAny | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """The description of a container; `spec` is usually an OCI runtime spec in JSON."""

    id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    runtime: Runtime
    spec: ProtoAny | None
    snapshot_key: str = ""
    snapshotter: str = ""
    sandbox_id: str = ""
    extensions: Mapping[str, ProtoAny] = field(default_factory=dict)
    created_at: Instant | None = None
    updated_at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """The description of a sandbox (a group of containers with one environment)."""

    id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    runtime: Runtime
    spec: ProtoAny | None = None
    sandboxer: str = ""
    extensions: Mapping[str, ProtoAny] = field(default_factory=dict)
    created_at: Instant | None = None
    updated_at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentInfo:
    """A blob as the metadata knows it. `size` is in bytes."""

    digest: str
    size: int
    labels: Mapping[str, str] = field(default_factory=dict)
    created_at: Instant | None = None
    updated_at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestStatus:
    """The progress of an ingest. `offset` and `total` are in bytes; 0: not known."""

    ref: str
    offset: int
    total: int = 0
    expected: str = ""
    started_at: Instant | None = None
    updated_at: Instant | None = None


class SnapshotKind(enum.Enum):
    """The kind of a snapshot; the values are those of containerd's metastore."""

    UNKNOWN = 0
    VIEW = 1
    ACTIVE = 2
    COMMITTED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotInfo:
    """A snapshot; `parent` is empty where it has none."""

    kind: SnapshotKind
    name: str
    parent: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    created_at: Instant | None = None
    updated_at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotUsage:
    """The disk usage of a snapshot beyond its parent. `size` is in bytes."""

    inodes: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """How to mount a snapshot, in the words of mount(8)."""

    type: str
    source: str
    target: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A lease: it keeps resources until it is deleted or, with the label gc.expire, expires."""

    id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    created_at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseResource:
    """A resource of a lease: `content`, `ingests`, `images` or `snapshots/<snapshotter>`."""

    id: str
    type: str
