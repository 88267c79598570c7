"""Differences of two files, by bucket and key, held to their dumps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from bolt.simulated_disk import SimulatedDisk
from orlop.bolt import BoltEngine, open_engine
from orlop.bolt.tools.diff import Difference, Kind
from orlop.maintenance import diff, pages, statistics

if TYPE_CHECKING:
    from pathlib import Path

Tree = dict[bytes, dict[bytes, bytes]]
names = st.sampled_from([b"a", b"b", b"c", b"d"])
trees = st.dictionaries(names, st.dictionaries(names, st.sampled_from([b"", b"1", b"2" * 3000])))


def written(tree: Tree) -> BoltEngine:
    engine = BoltEngine(SimulatedDisk())
    with engine.begin(writable=True) as transaction:
        for name, inside in tree.items():
            bucket = transaction.root.create_bucket(name)
            for key, value in inside.items():
                bucket.put(key, value)
    return engine


@given(trees, trees)
def test_differences_lead_from_one_to_the_other(one: Tree, other: Tree) -> None:
    with written(one).begin() as before, written(other).begin() as after:
        found = list(diff(before, after))
    result = {name: dict(inside) for name, inside in one.items()}
    for difference in found:
        name, *rest = difference.path
        if not rest:
            assert difference.kind in {Kind.ADDED, Kind.REMOVED}
            if difference.kind is Kind.ADDED:
                result[name] = other[name]
            else:
                del result[name]
        elif difference.kind is Kind.REMOVED:
            assert result[name].pop(rest[0]) == difference.before
        else:
            assert result[name].get(rest[0]) == difference.before
            assert isinstance(difference.after, bytes)
            result[name][rest[0]] = difference.after
    assert result == other
    assert (found == []) == (one == other)


def test_a_counter_and_a_change_of_form_are_differences() -> None:
    one, other = written({b"a": {}, b"b": {}}), written({b"a": {}, b"b": {}})
    with one.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"c").put(b"key", b"value")
    with other.begin(writable=True) as transaction:
        bucket = transaction.root.bucket(b"a")
        assert bucket is not None
        bucket.set_sequence(7)
        transaction.root.create_bucket(b"c").create_bucket(b"key")
    with one.begin() as before, other.begin() as after:
        assert sorted(diff(before, after), key=lambda each: each.path) == [
            Difference(Kind.SEQUENCE, (b"a",), 0, 7),
            Difference(Kind.CHANGED, (b"c", b"key"), b"value", None),
        ]


def test_every_page_is_named_once_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "meta.db"
    engine = open_engine(path, freelist_sync=True)
    for number in range(3):
        with engine.begin(writable=True) as transaction:
            bucket = transaction.root.create_bucket_if_absent(b"v1")
            for key in range(200):
                bucket.put(b"key-%d" % key, b"%d" % number * 30)
            bucket.put(b"large", b"x" * 9000)
            bucket.create_bucket_if_absent(b"inline").put(b"key", b"value")
    engine.close()
    found = list(pages(path))
    assert sorted(page.id for page in found) == list(range(len(found)))
    kinds = [page.kind for page in found]
    assert kinds.count("meta") == 2
    assert kinds.count("freelist") == 1
    assert kinds.count("overflow") >= 2
    assert "free" in kinds
    assert "branch" in kinds
    counted = statistics(path)
    assert counted.pages == {kind: kinds.count(kind) for kind in set(kinds)}
    assert counted.keys == 202
    assert (counted.buckets, counted.inline_buckets, counted.depth) == (1, 1, 2)
    assert {page.bucket_path for page in found if page.kind == "branch"} == {(b"v1",)}
