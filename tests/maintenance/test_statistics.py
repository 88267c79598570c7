"""Statistics of a file, checked against the data written and the compacted file."""

from __future__ import annotations

from pathlib import Path

import pytest

from bolt import broken_files
from bolt.broken_files import Victim
from orlop.bolt import open_engine
from orlop.maintenance import check_file, compact, pages, statistics
from orlop.maintenance.stats import MAX_BUCKET_SIZES, BucketSize

GOLDEN = sorted((Path(__file__).resolve().parents[1] / "data").rglob("*.db"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "meta.db"


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
def test_the_numbers_of_real_files_add_up(golden: Path) -> None:
    counted = statistics(golden)
    found = list(pages(golden))
    assert sum(counted.pages.values()) == len(found) == check_file(golden).pages
    assert counted.pages.keys() <= {"meta", "freelist", "branch", "leaf", "overflow", "free"}
    assert counted.used_bytes == sum(p.used_bytes for p in found if p.kind in {"leaf", "branch"})
    assert 0 < counted.used_bytes < counted.node_bytes
    assert counted.fill == counted.used_bytes / counted.node_bytes
    busy = sum(count for kind, count in counted.pages.items() if kind != "free")
    assert counted.free_bytes == counted.file_bytes - busy * counted.page_size
    assert counted.pending_pages <= counted.pages["free"]
    assert counted.sizes[b"v1",].keys == counted.keys


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
def test_compaction_saves_about_what_was_foretold(golden: Path, path: Path) -> None:
    path.write_bytes(golden.read_bytes())
    foretold = statistics(path).compaction_saves
    done = compact(path)
    assert foretold == pytest.approx(done.before - done.after, abs=0.1 * done.before)


def test_shares_large_values_and_pending_pages(path: Path) -> None:
    engine = open_engine(path, freelist_sync=True)
    with engine.begin(writable=True) as transaction:
        top = transaction.root.create_bucket(b"v1")
        for name, count in ((b"small", 3), (b"wide", 200)):
            namespace = top.create_bucket(name)
            images = namespace.create_bucket(b"images")
            for number in range(count):
                images.put(b"%04d" % number, b"x" * 50)
        top.put(b"version", b"\x08")
        transaction.root.create_bucket(b"other").put(b"large", b"x" * 20_000)
    before = statistics(path)
    assert before.pending_pages == 1  # the empty outermost bucket that a new file begins with
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"tiny").put(b"key", b"value")
    engine.close()

    found = statistics(path)

    assert list(found.sizes) == [
        (b"other",),
        (b"v1",),
        (b"v1", b"wide"),
        (b"v1", b"small"),
        (b"tiny",),
    ]
    assert found.sizes[b"v1",].keys == 204
    assert found.sizes[b"v1", b"wide"].keys == 200
    assert found.sizes[b"other",] == BucketSize(pages=5, used_bytes=20_037, keys=1)
    assert found.sizes[b"tiny",] == BucketSize(pages=0, used_bytes=40, keys=1)
    assert (found.largest[0].size, found.largest[0].path) == (20_000, (b"other", b"large"))
    assert len(found.largest) == 5
    assert found.pending_pages == 1  # the old outermost bucket
    assert (found.nesting, found.depth, found.inline_buckets) == (3, 2, 2)


def test_pages_that_nobody_owns_are_not_called_free(path: Path) -> None:
    broken_files.make_sound(path)
    victim = Victim(path)
    broken_files.neither(victim)
    victim.save()
    [lost] = [page.id for page in pages(path) if page.kind == "unreachable"]
    assert any(fault.page == lost for fault in check_file(path).faults)
    assert statistics(path).pages["unreachable"] == 1


def test_damaged_pages_are_named_with_their_bucket(path: Path) -> None:
    broken_files.make_sound(path)
    victim = Victim(path)
    leaf = victim.leaf
    broken_files.wrong_kind(victim)
    victim.save()
    [damaged] = [page for page in pages(path) if page.kind == "damaged"]
    assert (damaged.id, damaged.bucket_path) == (leaf, broken_files.TREE)
    assert statistics(path).pages["damaged"] == 1


def test_of_very_many_buckets_the_largest_are_told(path: Path) -> None:
    engine = open_engine(path)
    with engine.begin(writable=True) as transaction:
        for number in range(MAX_BUCKET_SIZES + 20):
            transaction.root.create_bucket(b"%03d" % number).put(b"key", b"x" * number)
    engine.close()
    sizes = statistics(path).sizes
    assert len(sizes) == MAX_BUCKET_SIZES
    assert next(iter(sizes)) == (b"%03d" % (MAX_BUCKET_SIZES + 19),)
