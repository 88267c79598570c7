"""Records read in bulk equal records read field by field from their buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from whenever import Instant

from orlop.errors import DataLossError
from orlop.kv import PlainBucket
from orlop.schema import fields, names
from orlop.schema.codec.encoding import encode_time, encode_varint

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.kv import Tree

KEYS = [names.LABELS, names.TARGET, names.SIZE, names.CREATED_AT, names.UPDATED_AT, b"\xff"]
MOMENTS = st.sampled_from([Instant.MIN, Instant.from_utc(2026, 1, 1), Instant.MAX])
VALUES = st.one_of(
    st.binary(max_size=16),
    MOMENTS.map(encode_time),
    st.integers(-(2**63), 2**63 - 1).map(encode_varint),
)
TREES: st.SearchStrategy[Tree] = st.recursive(
    st.dictionaries(st.sampled_from(KEYS), VALUES),
    lambda inner: st.dictionaries(st.sampled_from(KEYS), VALUES | inner),
    max_leaves=12,
)


def outcome(call: Callable[[], object]) -> object:
    """Return the result of a call, or the message of its DataLossError."""
    try:
        return call()
    except DataLossError as error:
        return str(error)


@given(tree=TREES, key=st.sampled_from(KEYS))
def test_each_field_reads_as_from_a_bucket(tree: Tree, key: bytes) -> None:
    bucket = PlainBucket(tree)

    assert fields.text(tree, key) == fields.read_text(bucket, key)
    assert fields.size(tree, key) == fields.read_size(bucket, key)
    assert fields.texts(tree, key) == fields.read_map(bucket, key)
    nested = bucket.bucket(key)
    assert list(fields.nested(tree, key)) == ([] if nested is None else [*dict(nested.items())])


@given(tree=TREES)
def test_times_read_as_from_a_bucket(tree: Tree) -> None:
    bucket = PlainBucket(tree)

    assert outcome(lambda: fields.times(tree)) == outcome(
        lambda: tuple(fields.read_time(bucket, key) for key in (b"createdat", b"updatedat"))
    )


def test_a_record_of_nothing_has_no_fields() -> None:
    assert fields.times({}) == (None, None)
    assert fields.texts({}, names.LABELS) == {}
    assert fields.envelopes({}, names.EXTENSIONS) == {}
    assert fields.record(None, "missing") is None


def test_maps_are_never_shared() -> None:
    assert fields.texts({}, names.LABELS) is not fields.texts({}, names.LABELS)
