"""The cache of decoded pages: requested pages stay, and memory is bounded."""

from __future__ import annotations

import pytest

from bolt.crafted_files import PAGE_SIZE, crafted, leaf
from orlop.bolt import pager as pager_module
from orlop.bolt.pager import Pager

PAGES_KEPT = 4

pytestmark = pytest.mark.interpreted("lowers a limit, which compiled code has built in")


@pytest.fixture(autouse=True)
def _small_generations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pager_module, "_GENERATION_BYTES", PAGES_KEPT * PAGE_SIZE)


def test_what_is_asked_for_again_and_again_is_read_once() -> None:
    disk = crafted({page: leaf(page, {b"key": b"%d" % page}) for page in range(2, 60)})
    pager = Pager(disk, PAGE_SIZE)
    first = pager.load(2)
    for page in range(3, 60):
        pager.load(page)
        assert pager.load(2) is first
        assert len(pager.young) + len(pager._old) <= 2 * PAGES_KEPT + 2
    assert disk.log.count("read") == 58


def test_what_is_not_asked_for_is_read_again() -> None:
    disk = crafted({page: leaf(page, {b"key": b"%d" % page}) for page in range(2, 60)})
    pager = Pager(disk, PAGE_SIZE)
    first = pager.load(2)
    for page in range(3, 60):
        pager.load(page)
    again = pager.load(2)
    assert again is not first
    assert again.keys == first.keys
