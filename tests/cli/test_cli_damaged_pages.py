"""Damage that a command meets: it is named, nothing is written, and the way out is said."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bolt.nested_inline import nested_inline
from cli.players import METADATA, OVERLAY
from orlop import Database
from orlop.bolt import open_engine
from orlop.bolt.disk import FileDisk
from orlop.bolt.meta import META_SIZE, NO_FREELIST, newest_meta, read_metas
from orlop.bolt.provenance import STAMP_SIZE
from orlop.bolt.reachable import Reachable
from orlop.cli.exit_codes import CORRUPT, EXISTS, NEGATIVE, PRECONDITION

if TYPE_CHECKING:
    from pathlib import Path

    from cli.players import Orlop

PAGE = 1272
"""The page of `zero-leaf.db` that holds zeros."""


@pytest.fixture
def damaged(orlop: Orlop, data: Path) -> Orlop:
    """Return the command line, on a root with a leaf of zeros in its database."""
    file = orlop.root / METADATA
    file.parent.mkdir(parents=True)
    packed = (data / "cases" / "files" / "zero-leaf.db.gz").read_bytes()
    file.write_bytes(gzip.decompress(packed))
    return orlop


def test_a_page_of_zeros_is_named(damaged: Orlop, tmp_path: Path) -> None:
    found = damaged("db", "check", "--json", code=NEGATIVE).document()
    assert [fault["page"] for fault in found["faults"]] == [PAGE]
    file = damaged.root / METADATA
    report = damaged("db", "salvage", file, tmp_path / "new.db", "--json", code=NEGATIVE)
    assert [loss["page"] for loss in report.document()["lost"]] == [PAGE]
    assert report.document()["writers"] == []


WRITES = [("lease", "create"), ("namespace", "create", "new"), ("gc", "run")]


@pytest.mark.parametrize("command", WRITES, ids=" ".join)
def test_a_damaged_file_is_not_written(damaged: Orlop, command: tuple[str, ...]) -> None:
    for _ in range(2):
        answer = damaged(*command, code=CORRUPT)
        assert f"page {PAGE} carries the id 0" in answer.err
        assert "orlop db salvage" in answer.err


def keep_freelist(path: Path, *, keeps_list: bool) -> None:
    """Let a database keep a list of its free pages from now on, or none."""
    engine = open_engine(path, freelist_sync=keeps_list)
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket_if_absent(b"v1").create_bucket_if_absent(b"spare")
    engine.close()


@pytest.mark.parametrize("keeps_list", [False, True])
@pytest.mark.parametrize("seed_number", range(8))
def test_pages_that_are_overwritten_anywhere(
    orlop: Orlop, data: Path, seed_number: int, *, keeps_list: bool
) -> None:
    """In both forms, whichever page of the tree it is, each first write is refused."""
    seed = random.Random(seed_number)
    file = orlop.root / METADATA
    file.parent.mkdir(parents=True)
    shutil.copy(data / "meta-db" / "v1.6-07-leases-ns2-ingest.db", file)
    with Database.open_file(file, migrate=True):
        pass
    keep_freelist(file, keeps_list=keeps_list)
    disk = FileDisk.for_reading(file)
    meta = newest_meta(read_metas(disk.read))
    assert (meta.freelist != NO_FREELIST) == keeps_list
    walk = Reachable(disk, meta)
    while walk.step():
        pass
    used = [page for page in range(3, meta.high_water) if walk.is_used(page) and page != meta.root]
    chosen = seed.sample(used, min(3, len(used)))
    disk.close()
    with file.open("r+b") as written:
        for page in chosen:
            written.seek(page * meta.page_size)
            written.write(seed.choice((bytes(meta.page_size), seed.randbytes(meta.page_size))))
    before = file.read_bytes()
    for _ in range(2):
        assert "orlop db salvage" in orlop("lease", "create", code=CORRUPT).err
    # Only the newest meta is written again, as it is but for the stamp behind it.
    length = meta.high_water * meta.page_size
    after = bytearray(file.read_bytes()[:length])
    stamp = meta.transaction % 2 * meta.page_size + META_SIZE
    after[stamp : stamp + STAMP_SIZE] = before[stamp : stamp + STAMP_SIZE]
    assert after == before[:length]


@pytest.mark.parametrize("depth", [3, 2_000, 60_000])
def test_inline_buckets_in_each_other(orlop: Orlop, tmp_path: Path, depth: int) -> None:
    file = tmp_path / "nested.db"
    file.write_bytes(nested_inline(depth))
    orlop("db", "check", file, code=NEGATIVE)
    if depth > 256:
        assert "lie more than 256 deep" in orlop("db", "stats", file, code=CORRUPT).err
    else:
        assert orlop("db", "stats", file, "--json").document()["nesting"] == depth + 1
    for command in (("db", "dump"), ("db", "tree"), ("db", "compact")):
        assert "an inline bucket holds" in orlop(*command, file, code=CORRUPT).err
    report = orlop("db", "salvage", file, tmp_path / "new.db", "--json", code=NEGATIVE).document()
    assert report["entries"] == min(depth + 1, 256)
    assert bool(report["lost"]) == (depth > 256)
    assert orlop("db", "check", tmp_path / "new.db").err == ""


@pytest.mark.parametrize(
    "command",
    [("db", "migrate"), ("image", "ls"), ("gc", "plan"), ("roots",), ("lease", "ls", "--json")],
    ids=" ".join,
)
def test_a_snapshotters_database_is_no_metadata(
    with_image: Orlop, command: tuple[str, ...]
) -> None:
    file = with_image.root / "io.containerd.snapshotter.v1.native" / "metadata.db"
    before = file.read_bytes()
    refused = with_image("--db", file, *command, code=PRECONDITION)
    assert "a snapshotter's metadata.db" in refused.err
    assert file.read_bytes() == before
    assert with_image("db", "tree", file).lines


@pytest.mark.parametrize("stage", ["v1.6-07-leases-ns2-ingest"])
def test_containerds_own_snapshotter_database_is_known(
    orlop: Orlop, data: Path, tmp_path: Path, stage: str
) -> None:
    file = tmp_path / OVERLAY.name
    shutil.copy(data / "meta-db" / f"{stage}.snapshotter-overlayfs.db", file)
    assert "a snapshotter's" in orlop("db", "migrate", file, code=PRECONDITION).err
    assert list(tmp_path.glob("*.version-*")) == []


def test_salvage_of_a_file_that_is_open_says_so(with_image: Orlop, tmp_path: Path) -> None:
    file = with_image.root / METADATA
    script = "import sys; f = open(sys.argv[1], 'r+b'); print('open', flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", script, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        answer = with_image("db", "salvage", file, tmp_path / "new.db", "--json")
    finally:
        process.communicate(b"\n")
    assert f"is open for writing in process {process.pid}" in answer.err
    assert [one["process"] for one in answer.document()["writers"]] == [process.pid]


def test_a_file_with_two_names_is_not_compacted(with_image: Orlop, tmp_path: Path) -> None:
    file = with_image.root / METADATA
    other = file.with_name("other.db")
    os.link(file, other)
    answer = with_image("db", "compact", code=PRECONDITION)
    assert "has 2 names" in answer.err
    assert "--output" in answer.err
    assert os.path.samefile(file, other)  # noqa: PTH121 (both names)
    with_image("db", "compact", "--output", tmp_path / "new.db")


@pytest.mark.parametrize("command", [("db", "backup"), ("db", "compact", "--output")])
def test_a_link_that_leads_nowhere_is_a_name_that_is_taken(
    with_image: Orlop, tmp_path: Path, command: tuple[str, ...]
) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "nowhere")
    assert "a link that leads nowhere" in with_image(*command, link, code=EXISTS).err
    assert not (tmp_path / "nowhere").exists()
    assert link.is_symlink()
