"""The table of record types: each type is in it, and paths, groups and nodes agree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orlop.gc.node import BUILT_IN, ORPHAN, SNAPSHOT, SWEPT, Node
from orlop.gc.record_types import RECORD_TYPES, RecordGroup, group_at, locate
from orlop.schema import names
from orlop.schema.record_paths import record_path

TEXTS = st.text(min_size=1, max_size=5)
SNAPSHOTTERS = TEXTS.filter(lambda text: "/" not in text)


@st.composite
def groups(draw: st.DrawFn) -> RecordGroup:
    kind = draw(st.sampled_from([*RECORD_TYPES]))
    return RecordGroup(kind, draw(TEXTS), draw(SNAPSHOTTERS) if kind == SNAPSHOT else "")


def path_of(group: RecordGroup) -> tuple[bytes, ...]:
    """Return the path of the bucket of a group."""
    within = (group.snapshotter,) if group.type == SNAPSHOT else ()
    return (
        names.SCHEMA,
        names.to_bytes(group.namespace),
        *RECORD_TYPES[group.type].table.path,
        *map(names.to_bytes, within),
    )


def test_all_types_of_the_database_are_there() -> None:
    assert set(RECORD_TYPES) == BUILT_IN - {ORPHAN}


def test_types_with_data_note_their_deletion() -> None:
    with_data = {kind for kind, one in RECORD_TYPES.items() if one.items is not None}
    noted = {kind for kind, one in RECORD_TYPES.items() if one.note_deletion is not None}

    assert with_data <= noted <= SWEPT


@given(group=groups(), key=TEXTS)
def test_a_node_is_located_in_its_group(group: RecordGroup, key: str) -> None:
    node = group.node(key)

    assert locate(node) == (group, key)
    assert group.contains(node)
    assert not group._replace(namespace=group.namespace + "x").contains(node)


@given(group=groups(), key=TEXTS, inner=st.lists(st.binary(min_size=1, max_size=3), max_size=2))
def test_the_path_of_a_record_leads_to_its_group(
    group: RecordGroup, key: str, inner: list[bytes]
) -> None:
    path = record_path((*path_of(group), names.to_bytes(key), *inner))

    assert path is not None
    assert (group_at(path), path.key) == (group, key)


@given(group=groups())
def test_the_path_of_a_group_leads_to_it_and_to_no_record(group: RecordGroup) -> None:
    path = record_path(path_of(group))

    assert path is not None
    assert (group_at(path), path.key) == (group, None)


@pytest.mark.parametrize("within", [(), (b"ns",), (b"ns", b"snapshots"), (b"ns", b"content")])
def test_a_path_above_several_groups_leads_to_none(within: tuple[bytes, ...]) -> None:
    path = record_path((names.SCHEMA, *within))

    assert path is not None
    assert group_at(path) is None


def test_a_snapshot_belongs_to_its_snapshotter_alone() -> None:
    node = Node(SNAPSHOT, "ns", "native/key/with/slashes")

    assert locate(node) == (RecordGroup(SNAPSHOT, "ns", "native"), "key/with/slashes")
    assert not RecordGroup(SNAPSHOT, "ns", "overlayfs").contains(node)
