"""Salvage: the sources of missing records, and their lines in the report."""

from __future__ import annotations

import errno
import json
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bolt import broken_files
from bolt.broken_files import Victim
from orlop.bolt import FileDisk, open_engine
from orlop.bolt.tools.dump import dump
from orlop.kv import CorruptError, EnginePoisonedError
from orlop.maintenance import Salvaged, check_file, file_info, pages, salvage

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLDEN = Path(__file__).resolve().parents[1] / "data" / "meta-db"
PAGE_SIZE = 4096

Values = dict[tuple[bytes, ...], bytes]


def values(path: Path) -> Values:
    """Every value of a file under the keys that lead to it."""
    engine = open_engine(path, read_only=True)
    with engine.begin() as transaction:
        tree = json.loads("".join(dump(transaction)))
    engine.close()
    return dict(_below(tree, ()))


def _below(bucket: Any, path: tuple[bytes, ...]) -> Iterator[tuple[tuple[bytes, ...], bytes]]:
    for item in bucket["items"]:
        here = (*path, bytes.fromhex(item["key"]))
        if "value" in item:
            yield here, bytes.fromhex(item["value"])
        else:
            yield from _below(item["bucket"], here)


def zero(path: Path, *numbers: int) -> None:
    data = bytearray(path.read_bytes())
    for number in numbers:
        data[number * PAGE_SIZE : (number + 1) * PAGE_SIZE] = bytes(PAGE_SIZE)
    path.write_bytes(data)


def older_slot(path: Path) -> int:
    return 1 - file_info(path).transaction % 2


def saved(source: Path) -> tuple[Salvaged, Values]:
    target = source.with_name("salvaged.db")
    report = salvage(source, target)
    assert check_file(target).faults == []
    assert [each.name for each in source.parent.iterdir() if each.name.startswith(".")] == []
    return report, values(target)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "meta.db"


def test_a_large_last_transaction_is_not_given_up_for_one_page(path: Path) -> None:
    engine = open_engine(path)
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"v1")
    with engine.begin(writable=True) as transaction:
        top = transaction.root.bucket(b"v1")
        assert top is not None
        for number in range(500):
            top.put(b"%04d" % number, b"x" * 100)
    engine.close()
    assert check_file(path, meta=older_slot(path)).is_tree_sound
    leaf = [page for page in pages(path) if page.kind == "leaf" and page.bucket_path][3]
    zero(path, leaf.id)

    report, found = saved(path)

    assert not report.is_whole
    assert [(loss.page, loss.bucket_path) for loss in report.losses] == [(leaf.id, (b"v1",))]
    assert len(found) == 500 - leaf.elements
    first, last = report.losses[0].least, report.losses[0].below
    assert first is not None
    assert last is not None
    lost = {b"%04d" % number for number in range(500)} - {key for _, key in found}
    assert min(lost) == first
    assert max(lost) < last


def test_the_gaps_of_the_newest_are_filled_from_the_version_before(path: Path) -> None:
    engine = open_engine(path, freelist_sync=True)
    for value in (b"old", b"new"):
        with engine.begin(writable=True) as transaction:
            top = transaction.root.create_bucket_if_absent(b"v1")
            if value == b"new":
                for number in range(5000, 5400):
                    top.put(b"%04d" % number, value * 30)
            for number in range(0, 400, 1 if value == b"old" else 7):
                top.put(b"%04d" % number, value * 30)
    engine.close()
    whole = values(path)
    leaf = next(page for page in pages(path) if page.kind == "leaf" and page.bucket_path)
    zero(path, leaf.id)

    report, found = saved(path)

    assert [loss.page for loss in report.losses] == [leaf.id]
    assert report.older_entries == leaf.elements
    assert found.keys() == whole.keys()
    differing = {key for key in whole if found[key] != whole[key]}
    assert {found[key] for key in differing} == {b"old" * 30}
    assert len(differing) == sum(int(key) % 7 == 0 for key in (key for _, key in differing)) > 0


def test_what_the_newest_has_deleted_does_not_come_back_beside_a_gap(path: Path) -> None:
    engine = open_engine(path, freelist_sync=True)
    with engine.begin(writable=True) as transaction:
        top = transaction.root.create_bucket(b"v1")
        for number in range(400):
            top.put(b"%04d" % number, b"x" * 100)
    with engine.begin(writable=True) as transaction:
        stored = transaction.root.bucket(b"v1")
        assert stored is not None
        for number in range(0, 400, 2):
            stored.delete(b"%04d" % number)
        for number in range(2000, 2600):
            stored.put(b"%04d" % number, b"x" * 100)
    engine.close()
    leaf = next(page for page in pages(path) if page.kind == "leaf" and page.bucket_path)
    zero(path, leaf.id)

    report, found = saved(path)

    below = report.losses[0].below
    assert below is not None
    beside = {key for _, key in found if below <= key < b"2000"}
    assert beside
    assert all(int(key) % 2 for key in beside)


@pytest.mark.parametrize("flip", [72, 60, 16])
def test_metas_with_a_wrong_checksum_still_say_where_the_tree_is(path: Path, flip: int) -> None:
    data = bytearray((GOLDEN / "v2-08b-sandbox.db").read_bytes())
    for slot in (0, 1):
        data[slot * PAGE_SIZE + flip] ^= 0xFF
    path.write_bytes(data)

    report, found = saved(path)

    assert found == values(GOLDEN / "v2-08b-sandbox.db")
    assert not report.is_lossless
    assert [loss.page for loss in report.losses] == [0, 1]


def test_without_metas_the_outermost_bucket_is_recognised(path: Path) -> None:
    golden = GOLDEN / "v2-08b-sandbox.db"
    path.write_bytes(golden.read_bytes())
    zero(path, 0, 1)
    report, found = saved(path)
    assert report.transaction is None
    whole = values(golden)
    assert {key: found[key] for key in whole} == whole


@pytest.mark.parametrize(
    "lost_path",
    [
        (),
        (b"v1",),
        (b"v1", b"default"),
        (b"v1", b"default", b"content"),
        (b"v1", b"default", b"images"),
    ],
)
def test_what_lay_below_a_lost_bucket_is_known_by_its_contents(
    path: Path, lost_path: tuple[bytes, ...]
) -> None:
    golden = GOLDEN / "v1.6-07-leases-ns2-ingest.db"
    path.write_bytes(golden.read_bytes())
    page = next(
        page.id for page in pages(path) if page.bucket_path == lost_path and page.kind == "leaf"
    )
    zero(path, page, older_slot(path))

    report, found = saved(path)

    whole = values(golden)
    missing = {key for key in whole if found.get(key) != whole[key]}
    assert [loss.page for loss in report.losses] == [page]
    assert all(key[: len(lost_path)] == lost_path for key in missing)
    content = {key for key in whole if key[1:4] == (b"default", b"content", b"blob")}
    assert content
    assert not content & missing


def test_bad_sectors_are_losses_and_not_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = GOLDEN / "v2-08b-sandbox.db"
    path.write_bytes(golden.read_bytes())
    leaf = next(page for page in pages(path) if page.bucket_path[-1:] == (b"images",))
    bad = (older_slot(path), leaf.id)
    real = FileDisk.read

    def read(disk: FileDisk, offset: int, length: int) -> bytes:
        if disk._path == path and any(
            offset < (page + 1) * PAGE_SIZE and page * PAGE_SIZE < offset + length for page in bad
        ):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(disk, offset, length)

    monkeypatch.setattr(FileDisk, "read", read)
    report, found = saved(path)
    [loss] = report.losses
    assert (loss.page, loss.bucket_path) == (leaf.id, leaf.bucket_path)
    assert "Input/output error" in loss.why
    whole = values(golden)
    assert all(found.get(key) == whole[key] or b"images" in key for key in whole)


@pytest.mark.parametrize(
    ("break_it", "bucket_path", "why"),
    [
        (broken_files.bucket_too_short, (b"v1", b"small"), "too short"),
        (broken_files.inline_without_a_leaf, (b"v1", b"small"), "holds no leaf"),
        (broken_files.key_twice, (b"v1", b"tree", b"key-"), "there twice"),
        (broken_files.value_outermost, (b"v1",), "buckets only"),
        (broken_files.bucket_in_itself, (b"v1", b"other"), "referred to twice"),
        (broken_files.bucket_twice, (b"v1", b"tree"), "referred to twice"),
        (broken_files.child_twice, (b"v1", b"tree"), "referred to twice"),
        (broken_files.wrong_number, (b"v1", b"tree"), "carries the id"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_cannot_be_taken_is_told(
    path: Path, break_it: Any, bucket_path: tuple[bytes, ...], why: str
) -> None:
    broken_files.make_sound(path)
    victim = Victim(path)
    break_it(victim)
    victim.save()
    zero(path, older_slot(path))

    report, _ = saved(path)

    [loss] = [each for each in report.losses if why in each.why]
    *outer, last = loss.bucket_path
    assert (*outer, last[: len(bucket_path[-1])]) == bucket_path


@pytest.mark.parametrize(
    "break_it",
    [*broken_files.IN_THE_FREELIST, *broken_files.IN_THE_TREE, *broken_files.OF_THE_FILE],
    ids=lambda value: value.__name__,
)
def test_no_fault_of_any_kind_costs_more_than_its_page(path: Path, break_it: Any) -> None:
    broken_files.make_sound(path)
    whole = values(path)
    victim = Victim(path)
    break_it(victim)
    victim.save()

    report, found = saved(path)

    old = {key: value.replace(b"1", b"0") for key, value in whole.items()}
    kept = sum(found.get(key) in {whole[key], old[key]} for key in whole)
    assert kept > len(whole) - 100
    if break_it in {*broken_files.IN_THE_FREELIST, broken_files.high_water_too_high}:
        assert (report.is_lossless, found) == (True, whole)


@pytest.mark.parametrize("keeps", [False, True])
def test_the_form_of_the_freelist_and_the_mode_are_kept(path: Path, *, keeps: bool) -> None:
    engine = open_engine(path, freelist_sync=keeps, mode=0o600)
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"v1").set_sequence(12)
        transaction.root.set_sequence(7)
    engine.close()
    saved(path)
    target = path.with_name("salvaged.db")
    assert file_info(target).freelist_kept is keeps
    assert target.stat().st_mode & 0o777 == 0o600
    engine = open_engine(target, read_only=True)
    with engine.begin() as transaction:
        top = transaction.root.bucket(b"v1")
        assert top is not None
        assert (transaction.root.sequence, top.sequence) == (7, 12)
    engine.close()


def test_a_failure_on_the_way_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes((GOLDEN / "v2-08b-sandbox.db").read_bytes())
    for name in ("link", "fdatasync", "posix_fallocate", "pwritev"):
        with monkeypatch.context() as patch:

            def fail(*_: object, **__: object) -> None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            patch.setattr(os, name, fail)
            with pytest.raises((OSError, EnginePoisonedError)):
                salvage(path, path.with_name("salvaged.db"))
        assert [each.name for each in path.parent.iterdir()] == ["meta.db"]


trees = st.dictionaries(
    st.binary(min_size=1, max_size=8),
    st.dictionaries(
        st.binary(min_size=1, max_size=40), st.binary(max_size=600), min_size=0, max_size=60
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=25, deadline=None)
@given(trees, st.booleans(), st.integers(0, 2**32))
def test_whatever_page_is_damaged_the_rest_is_there(
    tmp_path_factory: pytest.TempPathFactory,
    tree: dict[bytes, dict[bytes, bytes]],
    keeps: bool,  # noqa: FBT001 (drawn)
    seed: int,
) -> None:
    path = tmp_path_factory.mktemp("salvage") / "meta.db"
    engine = open_engine(path, freelist_sync=keeps)
    for name, inside in tree.items():
        with engine.begin(writable=True) as transaction:
            bucket = transaction.root.create_bucket(name)
            for key, value in inside.items():
                bucket.put(key, value)
    engine.close()
    whole = values(path)
    chance = random.Random(seed)
    page = chance.choice([page for page in pages(path) if page.kind in {"leaf", "branch"}])
    data = bytearray(path.read_bytes())
    start = page.id * PAGE_SIZE
    data[start : start + PAGE_SIZE] = chance.choice([bytes(PAGE_SIZE), chance.randbytes(PAGE_SIZE)])
    slot = older_slot(path)
    data[slot * PAGE_SIZE : (slot + 1) * PAGE_SIZE] = bytes(PAGE_SIZE)
    path.write_bytes(data)
    target = path.with_name("salvaged.db")
    try:
        salvage(path, target)
    except CorruptError:
        assert not page.bucket_path  # with the outermost bucket, all that it held inside is gone
        return
    found = values(target)
    assert check_file(target).faults == []
    outside = {way for way in whole if way[: len(page.bucket_path)] != page.bucket_path}
    assert {way: found[way] for way in outside} == {way: whole[way] for way in outside}
