"""Files of real daemons, read and changed by Orlop; files of Orlop's own: bbolt is the judge."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orlop.bolt import open_engine
from real.players import dump, dump_bucket

if TYPE_CHECKING:
    from oracle.client import Oracle
    from orlop import kv

pytestmark = pytest.mark.real("bbolt", "go")

DATA = Path(__file__).resolve().parents[1] / "data"
DATABASES = sorted(DATA.rglob("*.db"), key=lambda path: path.name)
DUMPED = [path for path in (DATA / "meta-db").glob("*.db") if path.with_suffix(".json").exists()]

FREELIST_ABSENT = b"\xff" * 8
"""What stands in a meta page for the freelist's page where the file keeps none."""


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


def keeps_freelist(path: Path) -> bool:
    """Tell from the newest meta page whether the file keeps its freelist in a page."""
    content = path.read_bytes()
    page_size = int.from_bytes(content[24:28], "little")
    metas = [content[start + 16 : start + 80] for start in (0, page_size)]
    newest = max(metas, key=lambda meta: int.from_bytes(meta[48:56], "little"))
    return newest[32:40] != FREELIST_ABSENT


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

    assert bbolt.check(copy) == []
    assert bbolt.dump(copy) == bbolt.dump(path)
    assert keeps_freelist(copy) == keeps_freelist(path)


@pytest.mark.parametrize("path", DATABASES, ids=name_of)
def test_a_daemons_file_changed_by_orlop_is_sound(
    bbolt: Oracle, tmp_path: Path, path: Path
) -> None:
    copy = Path(shutil.copy(path, tmp_path))

    engine = open_engine(copy)
    try:
        with engine.begin(writable=True) as transaction:
            change_everything(transaction.root)
            written = dump_bucket(transaction.root)
    finally:
        engine.close()

    assert bbolt.check(copy) == []
    assert bbolt.dump(copy) == written == dump(copy)
    assert keeps_freelist(copy) == keeps_freelist(path)


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

    assert bbolt.check(copy) == []
    assert bbolt.dump(copy) == {"sequence": 0, "items": []} == dump(copy)


@pytest.mark.parametrize("freelist_sync", [None, True, False])
def test_a_file_from_nothing(bbolt: Oracle, tmp_path: Path, *, freelist_sync: bool | None) -> None:
    path = tmp_path / "new.db"

    open_engine(path, freelist_sync=freelist_sync).close()

    assert bbolt.check(path) == []
    assert bbolt.dump(path) == {"sequence": 0, "items": []}
    # Left to itself a new file is as containerd's main makes it.
    assert keeps_freelist(path) is bool(freelist_sync)
    assert path.stat().st_mode & 0o777 == 0o644
