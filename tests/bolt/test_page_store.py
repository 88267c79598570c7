"""Pages lie in memory as long as there is some to spare, then in a spool file without a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orlop.bolt import page_store
from orlop.bolt.page_store import PageStore
from orlop.kv import FileBusyError

if TYPE_CHECKING:
    from pathlib import Path

PAGE_SIZE = 1024


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(page_store, "CHUNK_BYTES", 4 * PAGE_SIZE)
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def page(number: int) -> bytes:
    return bytes([number]) * PAGE_SIZE


@pytest.mark.parametrize("memory_bytes_max", [0, 8 * PAGE_SIZE, None])
def test_pages_come_back_as_they_were(memory_bytes_max: int | None, tmp_path: Path) -> None:
    store = PageStore(PAGE_SIZE, memory_bytes_max=memory_bytes_max)
    for _ in range(2):
        assert store.add(b"".join(page(number) for number in range(7))) == 1
        assert store.add(page(7)) == 8
        assert store.add(b"".join(page(number) for number in range(8, 19))) == 9
        assert [store.read(number + 1) for number in range(19)] == [*map(page, range(19))]
        store.clear()
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_half_of_the_free_memory_is_taken_at_most() -> None:
    free = [16 * PAGE_SIZE]

    def available() -> int:
        return free[0]

    store = PageStore(PAGE_SIZE, available=available)
    for number in range(20):
        store.add(page(number))
        free[0] = 16 * PAGE_SIZE - min(number + 1, 8) * PAGE_SIZE
    assert len(store._chunks) == 2
    assert [store.read(number + 1) for number in range(20)] == [*map(page, range(20))]
    store.close()


def test_no_room_anywhere_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_store, "_DISK_SPARED_BYTES", 1 << 60)
    store = PageStore(PAGE_SIZE, memory_bytes_max=0)
    with pytest.raises(FileBusyError, match="TMPDIR"):
        store.add(page(1))
    store.close()


def test_the_limit_of_a_control_group_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tmp_path / "cgroup"
    group = top / "outer" / "inner"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (group.parent / "memory.max").write_text("10000000\n")
    (group.parent / "memory.current").write_text("7000000\n")
    (group.parent / "memory.stat").write_text("anon 1\ninactive_file 2000000\n")
    own = tmp_path / "own"
    own.write_text("0::/outer/inner\n")
    monkeypatch.setattr(page_store, "_GROUPS", top)
    monkeypatch.setattr(page_store, "_OWN_GROUP", own)
    assert page_store.available_bytes() == 5_000_000
    own.write_text("")
    assert page_store.available_bytes() > 5_000_000
    monkeypatch.setattr(page_store, "_MEMINFO", tmp_path / "missing")
    assert page_store.available_bytes() == 256 * 1024 * 1024
