"""Salvage: all records outside of the damage are kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import orlop
from orlop.bolt import open_engine
from orlop.bolt.tools.dump import dump
from orlop.kv import CorruptError
from orlop.maintenance import check_file, file_info, pages, salvage

if TYPE_CHECKING:
    from collections.abc import Iterator

FIXTURES = Path(__file__).resolve().parents[1] / "data" / "meta-db"
GOLDEN = sorted(FIXTURES.glob("*.db"))


def flattened(path: Path) -> dict[tuple[str, ...], str]:
    """Every value of a file under the keys that lead to it."""
    engine = open_engine(path, read_only=True)
    with engine.begin() as transaction:
        tree = json.loads("".join(dump(transaction)))
    engine.close()
    return dict(_values(tree, ()))


def _values(
    bucket: dict[str, list[dict[str, str]]], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str]]:
    for item in bucket["items"]:
        here = (*path, item["key"])
        if "value" in item:
            yield here, item["value"]
        else:
            yield from _values(item["bucket"], here)  # type: ignore[arg-type]


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
def test_a_sound_file_is_copied_whole(golden: Path, tmp_path: Path) -> None:
    target = tmp_path / "new.db"
    report = salvage(golden, target)
    assert report.is_whole
    assert report.losses == []
    assert flattened(target) == flattened(golden)
    assert check_file(target).faults == []
    with pytest.raises(FileExistsError):
        salvage(golden, target)


@pytest.mark.parametrize("garble", ["zeros", "noise"])
@pytest.mark.parametrize("name", ["v1.6-07-leases-ns2-ingest", "v2-08b-sandbox"])
def test_any_single_damaged_page_costs_only_what_was_on_it(
    name: str, garble: str, tmp_path: Path
) -> None:
    golden = FIXTURES / f"{name}.db"
    whole = flattened(golden)
    page_size = file_info(golden).page_size
    kept_of_all = 0
    damaged = [page for page in pages(golden) if page.kind in {"branch", "leaf"}]
    for page in damaged:
        source, target = tmp_path / "damaged.db", tmp_path / "new.db"
        data = bytearray(golden.read_bytes())
        junk = bytes(page_size) if garble == "zeros" else b"\xa5" * page_size
        data[page.id * page_size : (page.id + 1) * page_size] = junk
        # The version before may not have the page: then it would be taken, whole.
        slot = 1 - file_info(golden).transaction % 2
        data[slot * page_size : (slot + 1) * page_size] = bytes(page_size)
        source.write_bytes(bytes(data))
        report = salvage(source, target)
        found = flattened(target)
        lost_path = tuple(key.hex() for key in page.bucket_path)
        for path, value in whole.items():
            if path[: len(lost_path)] != lost_path:
                assert found[path] == value, f"page {page.id} cost {path}"
        assert [loss.page for loss in report.losses] == [page.id]
        assert not report.is_whole
        assert check_file(target).faults == []
        kept_of_all += sum(found.get(path) == value for path, value in whole.items())
        target.unlink()
    share = kept_of_all / (len(whole) * len(damaged))
    # The root of everything is one of those pages; without it all is in lost+found.
    assert share > 0.8, f"only {share:.1%} of all values were kept"


def test_the_previous_version_is_taken_where_the_newest_is_damaged(tmp_path: Path) -> None:
    source, target = tmp_path / "meta.db", tmp_path / "new.db"
    engine = open_engine(source)
    for number in range(3):
        with engine.begin(writable=True) as transaction:
            bucket = transaction.root.create_bucket_if_absent(b"v1")
            bucket.put(b"number", b"%d" % number)
            bucket.put(b"filler", b"x" * 3000)
    engine.close()
    newest = file_info(source)
    used_now = {page.id for page in pages(source) if page.kind in {"branch", "leaf"}}
    data = bytearray(source.read_bytes())
    for page in used_now:
        data[page * 4096 : (page + 1) * 4096] = bytes(4096)
    source.write_bytes(bytes(data))
    report = salvage(source, target)
    assert report.is_whole
    assert report.transaction == newest.transaction - 1
    assert flattened(target)[(b"v1".hex(), b"number".hex())] == b"1".hex()


def test_leaves_below_a_damaged_branch_find_their_way_back(tmp_path: Path) -> None:
    source, target = tmp_path / "meta.db", tmp_path / "new.db"
    with orlop.Database.open_file(source) as database:
        ns = database.namespace("default")
        descriptor = orlop.Descriptor(
            media_type="application/vnd.oci.image.manifest.v1+json",
            digest=f"sha256:{'a' * 64}",
            size=1,
        )
        with database.update():
            for number in range(120):
                ns.images.create(orlop.Image(name=f"example.com/{number:04}", target=descriptor))
    branch = next(page for page in pages(source) if page.kind == "branch")
    assert branch.bucket_path == (b"v1", b"default", b"images")
    whole = flattened(source)
    data = bytearray(source.read_bytes())
    data[branch.id * 4096 : (branch.id + 1) * 4096] = bytes(4096)
    slot = 1 - file_info(source).transaction % 2
    data[slot * 4096 : (slot + 1) * 4096] = bytes(4096)
    source.write_bytes(bytes(data))

    report = salvage(source, target)

    assert [loss.page for loss in report.losses] == [branch.id]
    # Older copies of pages, which nothing had freed in the file, go to lost+found.
    homes = {
        path for path in (leaf.bucket_path for leaf in report.recovered) if path[0] != b"lost+found"
    }
    assert homes == {branch.bucket_path}
    found = flattened(target)
    assert {path: found[path] for path in found if path[0] == b"v1".hex()} == whole
    with orlop.Database.open_file(target) as database:
        assert len(database.namespace("default").images.list()) == 120


def test_without_metas_leaves_are_found_by_their_own_numbers(tmp_path: Path) -> None:
    source, target = tmp_path / "damaged.db", tmp_path / "new.db"
    data = bytearray((FIXTURES / "v2-08b-sandbox.db").read_bytes())
    data[:8192] = bytes(8192)
    source.write_bytes(bytes(data))
    report = salvage(source, target)
    assert report.transaction is None
    assert report.recovered
    assert {path[0] for path in (leaf.bucket_path for leaf in report.recovered)} == {b"lost+found"}
    assert check_file(target).faults == []


def test_a_damaged_freelist_costs_nothing(tmp_path: Path) -> None:
    golden = FIXTURES / "v1.6-07-leases-ns2-ingest.db"
    source, target = tmp_path / "damaged.db", tmp_path / "new.db"
    freelist = next(page.id for page in pages(golden) if page.kind == "freelist")
    data = bytearray(golden.read_bytes())
    data[freelist * 4096 : (freelist + 1) * 4096] = bytes(4096)
    source.write_bytes(bytes(data))
    report = salvage(source, target)
    assert report.is_whole
    assert report.transaction == file_info(golden).transaction
    assert flattened(target) == flattened(golden)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_file_cut_short_gives_what_is_left(share: float, tmp_path: Path) -> None:
    golden = FIXTURES / "v2-08b-sandbox.db"
    source, target = tmp_path / "damaged.db", tmp_path / "new.db"
    in_use = file_info(golden).pages * 4096
    source.write_bytes(golden.read_bytes()[: int(in_use * share)])
    try:
        report = salvage(source, target)
    except CorruptError:
        assert share < 0.5
        assert [each.name for each in tmp_path.iterdir()] == ["damaged.db"]
        return
    assert report.entries or report.recovered
    assert check_file(target).faults == []
    whole = flattened(golden)
    found = flattened(target)
    assert all(
        whole.get(path, value) == value or path[0] != b"v1".hex() for path, value in found.items()
    )


@pytest.mark.parametrize("contents", [b"", b"junk", bytes(65536), b"\xff" * 65536])
def test_a_file_without_anything_is_refused(contents: bytes, tmp_path: Path) -> None:
    source = tmp_path / "damaged.db"
    source.write_bytes(contents)
    with pytest.raises(CorruptError):
        salvage(source, tmp_path / "new.db")
    assert [each.name for each in tmp_path.iterdir()] == ["damaged.db"]


def test_the_source_is_never_written(tmp_path: Path) -> None:
    source = tmp_path / "meta.db"
    shutil.copy(GOLDEN[0], source)
    source.chmod(0o400)
    before = source.read_bytes()
    salvage(source, tmp_path / "new.db")
    assert source.read_bytes() == before
