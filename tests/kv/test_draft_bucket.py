"""A bucket in memory is written like one of a database, and becomes the same one."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from bolt.simulated_disk import SimulatedDisk
from orlop.bolt.engine import BoltEngine
from orlop.bolt.initialization import empty_database
from orlop.kv import DraftBucket, EngineError

if TYPE_CHECKING:
    from orlop.kv import RecordBucket

Step: TypeAlias = "tuple[str, list[bytes], bytes, bytes]"

NAMES = st.sampled_from([b"a", b"b", b"c", b"d"])
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "bucket",
                "create_bucket",
                "create_bucket_if_absent",
                "create_tree",
                "delete",
                "delete_bucket",
                "get",
                "items",
                "put",
            ]
        ),
        st.lists(NAMES, max_size=2),
        NAMES,
        st.binary(max_size=4),
    ),
    max_size=30,
)


@given(steps=STEPS)
def test_a_draft_answers_and_ends_like_a_bucket_of_the_database(steps: list[Step]) -> None:
    engine = BoltEngine(SimulatedDisk(empty_database(1024)))
    with engine.begin(writable=True) as transaction:
        outer = transaction.root.create_bucket(b"outer")
        bucket = outer.create_bucket(b"record")
        draft = DraftBucket()
        for step in steps:
            assert answer(draft, step) == answer(bucket, step), step
        outer.create_tree(b"draft", draft.tree)
        assert outer.tree(b"draft") == outer.tree(b"record")


def answer(bucket: RecordBucket, step: Step) -> object:
    """Run one step; return its result in a comparable form, or the error."""
    what, path, name, value = step
    try:
        for part in path:
            bucket = bucket.create_bucket_if_absent(part)
        match what:
            case "put":
                bucket.put(name, value)
            case "items":
                return list(bucket.items(name))
            case "create_tree":
                bucket.create_tree(name, {b"key": value, b"nested": {b"key": value}})
            case "get" | "delete" | "delete_bucket":
                return getattr(bucket, what)(name)
            case _:
                found = getattr(bucket, what)(name)
                return None if found is None else list(found.items())
    except EngineError as error:
        return type(error)
    return None
