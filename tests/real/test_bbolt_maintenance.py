"""Files written by compaction and salvage are sound for bbolt, with the same contents."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bolt import broken_files
from bolt.broken_files import IN_THE_TREE, Victim
from orlop.maintenance import compact, file_info, pages, salvage
from real.players import dump, play
from real.scripts import Script

if TYPE_CHECKING:
    from oracle.client import Oracle

pytestmark = pytest.mark.real("bbolt", "go")

DATABASES = sorted((Path(__file__).resolve().parents[1] / "data").rglob("*.db"))


@pytest.mark.parametrize("golden", DATABASES, ids=lambda path: path.stem)
def test_a_compacted_file_is_the_same_database(bbolt: Oracle, tmp_path: Path, golden: Path) -> None:
    path = tmp_path / "meta.db"
    shutil.copy(golden, path)
    compact(path)
    assert bbolt.check(path) == []
    assert bbolt.dump(path) == bbolt.dump(golden)
    assert file_info(path).freelist_kept is file_info(golden).freelist_kept


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("freelist_sync", [False, True])
def test_work_goes_on_after_a_compaction(
    bbolt: Oracle, tmp_path: Path, seed: int, *, freelist_sync: bool
) -> None:
    path = tmp_path / "meta.db"
    script = Script(seed, 600)
    play(path, script, freelist_sync=freelist_sync)
    compact(path)
    assert bbolt.check(path) == []
    assert bbolt.dump(path) == dump(path) == script.contents.dump()
    bbolt.run(
        path,
        [
            {"op": "begin"},
            {"op": "create_bucket", "path": [], "key": b"made by bbolt".hex()},
            {"op": "commit"},
        ],
    )
    compact(path)
    assert bbolt.check(path) == []
    assert bbolt.dump(path) == dump(path)


@pytest.mark.parametrize("break_it", [*IN_THE_TREE], ids=lambda value: value.__name__)
def test_what_was_salvaged_is_sound(bbolt: Oracle, tmp_path: Path, break_it: object) -> None:
    path, target = tmp_path / "meta.db", tmp_path / "salvaged.db"
    broken_files.make_sound(path)
    victim = Victim(path)
    assert callable(break_it)
    break_it(victim)
    victim.save()
    salvage(path, target)
    assert bbolt.check(target) == []
    assert bbolt.dump(target) == dump(target)


@pytest.mark.parametrize("stem", ["v1.6-07-leases-ns2-ingest", "v2-08b-sandbox"])
def test_what_is_left_of_a_real_file_is_sound(bbolt: Oracle, tmp_path: Path, stem: str) -> None:
    [golden] = [path for path in DATABASES if path.stem == stem]
    path, target = tmp_path / "meta.db", tmp_path / "salvaged.db"
    for page in [page for page in pages(golden) if page.kind == "leaf"][::4]:
        data = bytearray(golden.read_bytes())
        slot = 1 - file_info(golden).transaction % 2
        for number in (page.id, slot):
            data[number * 4096 : (number + 1) * 4096] = bytes(4096)
        path.write_bytes(data)
        salvage(path, target)
        assert bbolt.check(target) == []
        assert bbolt.dump(target) == dump(target)
        target.unlink()
