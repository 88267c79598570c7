"""Records as the scripts write them: JSON in, JSON out, the same that tests/metadata_driver has."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from orlop import Container, Descriptor, Image, ProtoAny, Runtime

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from whenever import Instant

    from orlop import ContentInfo, IngestStatus, Lease, LeaseResource, Mount, SnapshotInfo


def times(created: Instant | None, updated: Instant | None) -> str:
    """Return all of two moments that two implementations can have in common."""
    if created is None or updated is None:
        return "none"
    if created == updated:
        return "equal"
    return "later" if updated > created else "earlier"


def image_given(given: Mapping[str, Any]) -> Image:
    return Image(
        name=given["name"],
        labels=given.get("labels") or {},
        target=Descriptor(
            media_type=given["media_type"],
            digest=given["digest"],
            size=given["size"],
            annotations=given.get("annotations") or {},
        ),
    )


def image_result(image: Image) -> dict[str, Any]:
    return {
        "name": image.name,
        "media_type": image.target.media_type,
        "digest": image.target.digest,
        "size": image.target.size,
        "annotations": dict(image.target.annotations),
        "labels": dict(image.labels),
        "times": times(image.created_at, image.updated_at),
    }


def any_given(given: Mapping[str, Any] | None) -> ProtoAny | None:
    if given is None:
        return None
    return ProtoAny(given["type_url"], base64.b64decode(given["value"]))


def any_result(value: ProtoAny | None) -> dict[str, Any] | None:
    if value is None:
        return None
    return {"type_url": value.type_url, "value": base64.b64encode(value.value).decode()}


def container_given(given: Mapping[str, Any]) -> Container:
    return Container(
        id=given["id"],
        labels=given.get("labels") or {},
        image=given.get("image", ""),
        runtime=Runtime(name=given.get("runtime", ""), options=any_given(given.get("options"))),
        spec=any_given(given.get("spec")),
        snapshot_key=given.get("snapshot_key", ""),
        snapshotter=given.get("snapshotter", ""),
        extensions={
            name: any_given(value) or ProtoAny()
            for name, value in (given.get("extensions") or {}).items()
        },
    )


def container_result(container: Container) -> dict[str, Any]:
    return {
        "id": container.id,
        "labels": dict(container.labels),
        "image": container.image,
        "runtime": container.runtime.name,
        "options": any_result(container.runtime.options),
        "spec": any_result(container.spec),
        "snapshot_key": container.snapshot_key,
        "snapshotter": container.snapshotter,
        "extensions": {name: any_result(value) for name, value in container.extensions.items()},
        "times": times(container.created_at, container.updated_at),
    }


def lease_result(lease: Lease) -> dict[str, Any]:
    return {
        "id": lease.id,
        "labels": dict(lease.labels),
        "times": times(lease.created_at, lease.created_at),
    }


def resource_result(resource: LeaseResource) -> dict[str, Any]:
    return {"id": resource.id, "type": resource.type}


def blob_result(info: ContentInfo) -> dict[str, Any]:
    return {
        "digest": info.digest,
        "size": info.size,
        "labels": dict(info.labels),
        "times": times(info.created_at, info.updated_at),
    }


def status_result(status: IngestStatus) -> dict[str, Any]:
    return {
        "ref": status.ref,
        "offset": status.offset,
        "total": status.total,
        "expected": status.expected,
    }


def snapshot_result(info: SnapshotInfo) -> dict[str, Any]:
    return {
        "kind": info.kind.name.lower(),
        "name": info.name,
        "parent": info.parent,
        "labels": dict(info.labels),
        "times": times(info.created_at, info.updated_at),
    }


def mount_results(mounts: Iterable[Mount], root: Path) -> list[dict[str, Any]]:
    return [
        {
            "type": one.type,
            "source": one.source.removeprefix(str(root)),
            "options": list(one.options),
        }
        for one in mounts
    ]
