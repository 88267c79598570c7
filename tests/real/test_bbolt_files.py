"""Files of real daemons, read and changed by Orlop; files of Orlop's own: bbolt is the judge."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orlop.bolt import open_engine
from real.pages import Pages
from real.players import canonical, check, dump, make_empty

if TYPE_CHECKING:
    from oracle.client import Oracle
    from orlop import kv

pytestmark = pytest.mark.real("bbolt", "go")

DATA = Path(__file__).resolve().parents[1] / "data"
DATABASES = sorted(DATA.rglob("*.db"), key=lambda path: path.name)
DUMPED = [path for path in (DATA / "meta-db").glob("*.db") if path.with_suffix(".json").exists()]


def name_of(path: Path) -> str:
    return path.stem


def long_names(bucket: dict[str, Any]) -> dict[str, Any]:
    """Return a golden dump under the names of the canonical one."""
    items = [
        {"key": item["k"], "bucket": long_names(item["b"])}
        if "b" in item
        else {"key": item["k"], "value": item["v"]}
        for item in bucket["items"]
    ]
    return {"sequence": bucket["seq"], "items": items}


def change_everything(bucket: kv.Bucket, depth: int = 0) -> None:
    """Touch each bucket of a tree: rewrite its values, add, delete, count."""
    for place, (key, value) in enumerate(list(bucket.items())):
        if value is None:
            inner = bucket.bucket(key)
            assert inner is not None
            change_everything(inner, depth + 1)
        elif place % 3 == 0:
            bucket.delete(key)
        elif place % 3 == 1:
            bucket.put(key, value * 2 + key)
    if depth:
        bucket.next_sequence()
        bucket.put(b"added", b"")
        added = bucket.create_bucket(b"added bucket")
        for number in range(40):
            added.put(b"key %04d" % number, bytes([number]) * number * 7)


def test_there_are_fixtures() -> None:
    assert len(DATABASES) >= 20
    assert len(DUMPED) == 3


@pytest.mark.parametrize("path", DUMPED, ids=name_of)
def test_a_golden_dump_is_what_both_engines_read(bbolt: Oracle, path: Path) -> None:
    golden = long_names(json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))

    assert dump(path) == golden
    assert bbolt.dump(path) == golden


@pytest.mark.parametrize("path", DATABASES, ids=name_of)
def test_a_daemons_file_reads_the_same(bbolt: Oracle, path: Path) -> None:
    assert dump(path) == bbolt.dump(path)


@pytest.mark.parametrize("path", DATABASES, ids=name_of)
def test_opening_for_writing_changes_nothing_that_is_stored(
    bbolt: Oracle, tmp_path: Path, path: Path
) -> None:
    copy = Path(shutil.copy(path, tmp_path))

    open_engine(copy).close()

    assert bbolt.check(copy) == check(copy) == []
    assert Pages(copy).lean_pages() == []
    assert bbolt.dump(copy) == bbolt.dump(path)
    assert Pages(copy).keeps_freelist == Pages(path).keeps_freelist


@pytest.mark.parametrize("path", DATABASES, ids=name_of)
def test_a_daemons_file_changed_by_orlop_is_sound(
    bbolt: Oracle, tmp_path: Path, path: Path
) -> None:
    copy = Path(shutil.copy(path, tmp_path))

    engine = open_engine(copy)
    try:
        with engine.begin(writable=True) as transaction:
            change_everything(transaction.root)
            written = canonical(transaction)
    finally:
        engine.close()

    assert bbolt.check(copy) == check(copy) == []
    assert Pages(copy).lean_pages() == []
    assert bbolt.dump(copy) == written == dump(copy)
    assert Pages(copy).keeps_freelist == Pages(path).keeps_freelist


@pytest.mark.parametrize("path", DATABASES, ids=name_of)
def test_a_daemons_file_emptied_by_orlop_is_sound(
    bbolt: Oracle, tmp_path: Path, path: Path
) -> None:
    copy = Path(shutil.copy(path, tmp_path))

    engine = open_engine(copy)
    try:
        with engine.begin(writable=True) as transaction:
            for name, _ in list(transaction.root.items()):
                transaction.root.delete_bucket(name)
    finally:
        engine.close()

    assert bbolt.check(copy) == check(copy) == []
    assert Pages(copy).lean_pages() == []
    assert bbolt.dump(copy) == {"sequence": 0, "items": []} == dump(copy)


def test_a_file_from_nothing(bbolt: Oracle, tmp_path: Path) -> None:
    path = tmp_path / "new.db"

    open_engine(path).close()

    assert bbolt.check(path) == check(path) == []
    assert bbolt.dump(path) == {"sequence": 0, "items": []}
    # As containerd's main makes it.
    assert not Pages(path).keeps_freelist
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("after", [None, True, False])
def test_the_form_of_the_freelist_is_the_files_own_or_the_one_asked_for(
    bbolt: Oracle, tmp_path: Path, *, before: bool, after: bool | None
) -> None:
    path = tmp_path / "formed.db"
    make_empty(bbolt.with_options(freelist_sync=before, sync=False), path)
    assert Pages(path).keeps_freelist is before

    engine = open_engine(path, freelist_sync=after)
    try:
        with engine.begin(writable=True) as transaction:
            transaction.root.create_bucket(b"bucket")
    finally:
        engine.close()

    assert bbolt.check(path) == check(path) == []
    assert Pages(path).keeps_freelist is (before if after is None else after)
