"""Records made in bulk are what their classes make."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest
from whenever import Instant

from orlop.model import drafts
from orlop.model.records import ContentInfo, Descriptor, Image

MOMENT, LATER = Instant.from_utc(2026, 1, 1), Instant.from_utc(2026, 1, 2)
DESCRIPTOR = Descriptor(media_type="type", digest="digest", size=7, annotations={"a": "1"})
PAIRS = {
    "descriptor": (drafts.descriptor("type", "digest", 7, {"a": "1"}), DESCRIPTOR),
    "image": (
        drafts.image("name", DESCRIPTOR, {"b": "2"}, MOMENT, LATER),
        Image(
            name="name",
            target=DESCRIPTOR,
            labels={"b": "2"},
            created_at=MOMENT,
            updated_at=LATER,
        ),
    ),
    "content": (
        drafts.content_info("digest", 7, {"b": "2"}, MOMENT, LATER),
        ContentInfo(
            digest="digest", size=7, labels={"b": "2"}, created_at=MOMENT, updated_at=LATER
        ),
    ),
}


@pytest.mark.parametrize(("made", "usual"), PAIRS.values(), ids=PAIRS)
def test_what_is_made_in_bulk_is_a_record_like_any_other(
    made: Descriptor | Image | ContentInfo, usual: Descriptor | Image | ContentInfo
) -> None:
    assert type(made) is type(usual)
    assert made == usual
    assert repr(made) == repr(usual)
    assert dataclasses.asdict(made) == dataclasses.asdict(usual)
    assert pickle.loads(pickle.dumps(made)) == copy.deepcopy(made) == usual  # noqa: S301
    for field in dataclasses.fields(made):
        value = getattr(usual, field.name)
        assert dataclasses.replace(made, **{field.name: value}) == usual
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, field.name, value)
