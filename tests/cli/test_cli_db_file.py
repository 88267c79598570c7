"""`orlop db`, on the pages of a file: pages, stats, compact, diff, salvage."""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING

import pytest

import orlop as library
from orlop.bolt.tools import compaction

if TYPE_CHECKING:
    from pathlib import Path

    from cli.players import Orlop

NAME = "v1.6-07-leases-ns2-ingest"


@pytest.fixture
def file(data: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy.db"
    shutil.copy(data / "meta-db" / f"{NAME}.db", copy)
    return copy


def test_pages_and_stats(orlop: Orlop, file: Path) -> None:
    pages = orlop("db", "pages", str(file), "--json").objects()
    assert len({page["page"] for page in pages}) == len(pages)
    assert {page["kind"] for page in pages} == {"meta", "freelist", "leaf", "free"}
    assert [
        page["kind"] for page in orlop("db", "pages", "--page", "0", str(file), "--json").objects()
    ] == ["meta"]
    text = orlop("db", "pages", str(file)).out
    assert "leaf" in text
    assert "in v1/default" in text
    stats = orlop("db", "stats", str(file), "--json").document()
    assert sum(stats["pages"].values()) == len(pages)
    assert stats["file_bytes"] == file.stat().st_size
    assert "deepest tree: 1 levels" in orlop("db", "stats", str(file)).out


def test_compact(orlop: Orlop, file: Path, tmp_path: Path) -> None:
    before = orlop("db", "dump", str(file)).out
    output = tmp_path / "small.db"
    made = orlop("db", "compact", str(file), "--output", str(output), "--json").document()
    assert made["path"] == str(output)
    assert made["after"] == output.stat().st_size < made["before"]
    assert orlop("db", "dump", str(output)).out == before
    orlop("db", "compact", str(file), "--output", str(output), code=4)
    assert "to" in orlop("db", "compact", str(file)).out
    assert orlop("db", "dump", str(file)).out == before
    with library.Database.open_file(file):
        refused = orlop("--timeout", "0", "db", "compact", str(file), code=6)
    assert "open for writing in this process already" in refused.err


def test_diff(orlop: Orlop, file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    shutil.copy(file, other)
    assert orlop("db", "diff", str(file), str(other)).out == ""
    orlop("--db", str(other), "db", "info")
    with library.Database.open_file(other) as database:
        database.namespaces.create("added", {"a": "b"})
        database.namespace("default").leases.delete("lease1")
    found = orlop("db", "diff", str(file), str(other), "--json", code=1).objects()
    assert [(one["kind"], one["path"]) for one in found] == [
        ("added", ["v1", "added"]),
        ("removed", ["v1", "default", "leases", "lease1"]),
    ]
    text = orlop("db", "diff", str(file), str(other), code=1).out
    assert "removed v1/default/leases/lease1/" in text
    orlop("db", "diff", str(file), str(tmp_path / "none.db"), code=3)


def test_check_of_either_meta(orlop: Orlop, file: Path) -> None:
    newest = orlop("db", "check", str(file), "--json").document()
    assert newest["sound_metas"] == [0, 1]
    seen = {
        orlop.ended("db", "check", str(file), "--meta", slot, "--json").document()["transaction"]
        for slot in ("0", "1")
    }
    assert seen == {newest["transaction"], newest["transaction"] - 1}


def test_salvage(orlop: Orlop, file: Path, tmp_path: Path) -> None:
    target = tmp_path / "new.db"
    whole = orlop("db", "salvage", str(file), str(target), "--json").document()
    assert whole["whole"]
    assert whole["lost"] == []
    assert orlop("db", "dump", str(target)).out == orlop("db", "dump", str(file)).out
    orlop("db", "salvage", str(file), str(target), code=4)
    data = bytearray(file.read_bytes())
    slot = 1 - whole["transaction"] % 2
    data[slot * 4096 : slot * 4096 + 4096] = bytes(4096)
    root = next(
        page["page"]
        for page in orlop("db", "pages", str(file), "--json").objects()
        if page["kind"] == "leaf" and page["buckets"] == ["v1", "ns2"]
    )
    data[root * 4096 : root * 4096 + 4096] = bytes(4096)
    file.write_bytes(bytes(data))
    target.unlink()
    done = orlop("db", "salvage", str(file), str(target), code=1)
    assert f"lost: page {root} of v1/ns2" in done.out
    orlop("db", "check", str(target))
    assert len(orlop("--db", str(target), "image", "ls", "-n", "default", "--json").objects()) == 2
    file.write_bytes(b"junk")
    refused = orlop("db", "salvage", str(file), str(tmp_path / "other.db"), code=7)
    assert "nothing that can be recognised" in refused.err


def test_a_database_is_compacted_on_opening_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "orlop.bolt.compact_if_worth", partial(compaction.compact_if_worth, least_bytes=1000)
    )
    root = tmp_path / "root"
    with library.open(root) as database:
        for number in range(30):
            database.namespaces.create(f"n{number}", {"label": "x" * 4000})
        for number in range(30):
            database.namespaces.delete(f"n{number}")
        path = database.path
    before = path.stat().st_size
    with library.open(root):
        assert path.stat().st_size == before
    with library.open(root, compact=True) as database:
        assert database.namespaces.list() == []
    assert path.stat().st_size < before
