"""The same long random script through Orlop's engine and through bbolt: the same database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from real.duels import OPERATIONS, Form, in_turns, shifts, side_by_side
from real.pages import Pages
from real.players import check, dump, make_empty, play
from real.scripts import Operation, Script

if TYPE_CHECKING:
    from pathlib import Path

    from oracle.client import Oracle

pytestmark = pytest.mark.real("bbolt", "go")


GROWTH_BYTES_MAX = 16 << 20
"""A file grows in steps of this size: one step more is no leak."""

FORMS = [
    pytest.param(0, False, 1, id="no-freelist"),
    pytest.param(0, True, 2, id="freelist"),
    pytest.param(1024, True, 3, id="freelist-1KiB-pages"),
    pytest.param(1024, False, 4, id="no-freelist-1KiB-pages"),
    pytest.param(16_384, False, 5, id="no-freelist-16KiB-pages"),
    pytest.param(65_536, True, 6, id="freelist-64KiB-pages"),
]


@pytest.mark.parametrize(("page_size", "freelist_sync", "seed"), FORMS)
def test_both_engines_make_the_same_database(
    bbolt: Oracle, tmp_path: Path, *, page_size: int, freelist_sync: bool, seed: int
) -> None:
    side_by_side(bbolt, tmp_path, Form(page_size, freelist_sync=freelist_sync), seed)


@pytest.mark.parametrize(("page_size", "freelist_sync", "seed"), FORMS)
def test_both_engines_work_on_one_file_in_turns(
    bbolt: Oracle, tmp_path: Path, *, page_size: int, freelist_sync: bool, seed: int
) -> None:
    in_turns(bbolt, tmp_path, Form(page_size, freelist_sync=freelist_sync), seed + 100)


def test_the_form_of_the_freelist_may_change_hands(bbolt: Oracle, tmp_path: Path) -> None:
    path = tmp_path / "shared.db"
    script = Script(301, OPERATIONS)

    for turn, piece in enumerate(shifts(list(script))):
        synced = turn % 4 < 2
        if turn % 2:
            oracle = bbolt.with_options(freelist_sync=synced, sync=False)
            oracle.run(path, [operation.as_json() for operation in piece])
        else:
            play(path, piece, freelist_sync=synced)
        assert bbolt.check(path) == check(path) == [], f"turn {turn}"
        assert Pages(path).lean_pages() == [], f"turn {turn}"

    assert bbolt.dump(path) == script.contents.dump()
    assert dump(path) == script.contents.dump()


@pytest.mark.parametrize("freelist_sync", [True, False])
def test_a_freelist_of_more_than_65535_pages(
    bbolt: Oracle, tmp_path: Path, *, freelist_sync: bool
) -> None:
    # The page header counts to 65,534; above that the count moves into the page's body.
    page_size, blobs, blob_bytes = 1024, 70, 1 << 20
    path = tmp_path / "wide.db"
    oracle = bbolt.with_options(page_size=page_size, freelist_sync=freelist_sync, sync=False)
    bucket = (b"wide",)
    keys = [place.to_bytes(2, "big") for place in range(blobs)]
    fill = [
        Operation("begin"),
        Operation("create_bucket", (), *bucket),
        *(Operation("put", bucket, key, bytes(blob_bytes)) for key in keys),
        Operation("commit"),
    ]
    empty = [
        Operation("begin"),
        *(Operation("delete", bucket, key) for key in keys),
        Operation("commit"),
    ]
    small = [Operation("begin"), Operation("put", bucket, b"k", b"v"), Operation("commit")]
    assert blobs * blob_bytes // page_size > 0xFFFF
    make_empty(oracle, path)

    play(path, [*fill, *empty])
    assert oracle.check(path) == check(path) == []
    size = path.stat().st_size
    oracle.run(path, [operation.as_json() for operation in small])
    play(path, [Operation("begin"), *fill[2:]])

    assert oracle.check(path) == check(path) == []
    assert path.stat().st_size <= size + GROWTH_BYTES_MAX, "the free pages were not used again"
    assert dump(path) == oracle.dump(path)
