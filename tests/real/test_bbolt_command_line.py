"""`orlop db` on the files of real daemons, beside bbolt itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from real.command_line import orlop

if TYPE_CHECKING:
    from oracle.client import Oracle

pytestmark = pytest.mark.real("bbolt", "go")

DATABASES = sorted((Path(__file__).resolve().parents[1] / "data/meta-db").glob("*.db"))


@pytest.mark.parametrize("path", DATABASES, ids=lambda path: path.stem)
def test_dump_is_bbolts_dump(bbolt: Oracle, path: Path) -> None:
    done = orlop("db", "dump", path, "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == bbolt.dump(path)


def test_check_agrees_with_bbolt(bbolt: Oracle, tmp_path: Path) -> None:
    [golden] = [path for path in DATABASES if path.stem == "v1.6-07-leases-ns2-ingest"]
    broken = tmp_path / "broken.db"
    content = bytearray(golden.read_bytes())
    page_size = int.from_bytes(content[24:28], "little")
    # The free page that the freelist names first is named a second time, by no one's right.
    metas = [content[start + 16 : start + 80] for start in (0, page_size)]
    newest = max(metas, key=lambda meta: int.from_bytes(meta[48:56], "little"))
    freelist = int.from_bytes(newest[32:40], "little") * page_size
    assert int.from_bytes(content[freelist + 10 : freelist + 12], "little") >= 2
    content[freelist + 24 : freelist + 32] = content[freelist + 16 : freelist + 24]
    broken.write_bytes(content)

    assert bbolt.check(golden) == []
    assert orlop("db", "check", golden).returncode == 0
    assert bbolt.check(broken)
    assert orlop("db", "check", broken).returncode == 1


@pytest.mark.parametrize("name", ["v1.6-07-leases-ns2-ingest.db", "v2-08b-sandbox.db"])
def test_backup_is_the_same_database(bbolt: Oracle, data: Path, tmp_path: Path, name: str) -> None:
    path, copy = data / "meta-db" / name, tmp_path / name

    done = orlop("--db", path, "db", "backup", copy)

    assert done.returncode == 0, done.stderr
    assert bbolt.check(copy) == []
    assert bbolt.dump(copy) == bbolt.dump(path)
