"""Records built in bulk equal those built by their classes."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest
from whenever import Instant

from orlop.records import (
    Container,
    ContentInfo,
    Descriptor,
    Image,
    ProtoAny,
    Runtime,
    SnapshotInfo,
    SnapshotKind,
)
from orlop.schema import drafts

MOMENT, LATER = Instant.from_utc(2026, 1, 1), Instant.from_utc(2026, 1, 2)
DESCRIPTOR = Descriptor(media_type="type", digest="digest", size=7, annotations={"a": "1"})
OPTIONS = ProtoAny("type", b"value", b"unknown")
RUNTIME = Runtime(name="runtime", options=OPTIONS)
PAIRS = {
    "envelope": (drafts.envelope("type", b"value", b"unknown"), OPTIONS),
    "runtime": (drafts.runtime("runtime", OPTIONS), RUNTIME),
    "container": (
        drafts.container(
            "id",
            labels={"b": "2"},
            image_name="image",
            runtime_used=RUNTIME,
            spec=OPTIONS,
            snapshot=("snapshotter", "key"),
            sandbox_id="sandbox",
            extensions={"e": OPTIONS},
            times=(MOMENT, LATER),
        ),
        Container(
            id="id",
            labels={"b": "2"},
            image="image",
            runtime=RUNTIME,
            spec=OPTIONS,
            snapshotter="snapshotter",
            snapshot_key="key",
            sandbox_id="sandbox",
            extensions={"e": OPTIONS},
            created_at=MOMENT,
            updated_at=LATER,
        ),
    ),
    "snapshot": (
        drafts.snapshot_info(SnapshotKind.VIEW, "name", "parent", {"b": "2"}, (MOMENT, LATER)),
        SnapshotInfo(
            kind=SnapshotKind.VIEW,
            name="name",
            parent="parent",
            labels={"b": "2"},
            created_at=MOMENT,
            updated_at=LATER,
        ),
    ),
    "descriptor": (drafts.descriptor("type", "digest", 7, {"a": "1"}), DESCRIPTOR),
    "image": (
        drafts.image("name", DESCRIPTOR, {"b": "2"}, (MOMENT, LATER)),
        Image(
            name="name",
            target=DESCRIPTOR,
            labels={"b": "2"},
            created_at=MOMENT,
            updated_at=LATER,
        ),
    ),
    "content": (
        drafts.content_info("digest", 7, {"b": "2"}, (MOMENT, LATER)),
        ContentInfo(
            digest="digest", size=7, labels={"b": "2"}, created_at=MOMENT, updated_at=LATER
        ),
    ),
}


@pytest.mark.parametrize(("made", "usual"), PAIRS.values(), ids=PAIRS)
def test_what_is_made_in_bulk_is_a_record_like_any_other(made: Any, usual: Any) -> None:
    assert type(made) is type(usual)
    assert made == usual
    assert repr(made) == repr(usual)
    assert dataclasses.asdict(made) == dataclasses.asdict(usual)
    assert not hasattr(made, "__dict__")
    assert pickle.loads(pickle.dumps(made)) == copy.deepcopy(made) == usual  # noqa: S301
    for field in dataclasses.fields(made):
        value = getattr(usual, field.name)
        assert dataclasses.replace(made, **{field.name: value}) == usual
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, field.name, value)
