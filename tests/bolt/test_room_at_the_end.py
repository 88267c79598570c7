"""Space at the end of a file: repeated openings find it, and the file does not grow."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from bolt.crafted_files import buckets, crafted, leaf
from bolt.gappy_files import (
    BY_HAND,
    PAGE_BY_PAGE,
    PAGE_SIZE,
    free_pages,
    gappy,
    meta_of,
    used_pages,
)
from bolt.model_bucket import Model, assert_sound_trees, contents
from bolt.simulated_disk import SimulatedDisk, apply_write, power_losses
from orlop.bolt import BoltEngine
from orlop.bolt.dirty import DirtyNodes
from orlop.bolt.node import BucketState, Leaf
from orlop.bolt.page import BUCKET_HEADER, HEADER_SIZE, LEAF_PAGE
from orlop.bolt.pager import Pager
from orlop.bolt.reachable import Reachable
from orlop.bolt.relocate import Tail, find_tail, relocate_nodes
from orlop.bolt.tools.check import check_disk
from orlop.kv import EnginePoisonedError

if TYPE_CHECKING:
    from collections.abc import Sequence

OPENINGS = 400


def with_room(disk: SimulatedDisk, pages: int) -> SimulatedDisk:
    meta = meta_of(disk)
    end = meta.high_water * meta.page_size
    data = bytearray(disk.durable[:end])
    apply_write(data, end + pages * meta.page_size, None)
    return SimulatedDisk(bytes(data))


def command(disk: SimulatedDisk, model: Model, seed: random.Random, *, keys: int) -> bool:
    """One short command: open, change a thing, close; return whether it waited for a search."""
    engine = BoltEngine(disk, searching=BY_HAND)
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.create_bucket_if_absent(b"bucket-0")
        inside = model.setdefault(b"bucket-0", {})
        assert isinstance(inside, dict)
        key = b"command-%04d" % seed.randrange(keys)
        if key in inside and seed.random() < 0.3:
            bucket.delete(key)
            del inside[key]
        else:
            bucket.put(key, inside.setdefault(key, bytes(20)))  # type: ignore[arg-type]
    engine.close()
    return engine._allocator.search is None


def forget_crashes(disk: SimulatedDisk) -> None:
    """Each sync is remembered with all that the disk held: too much for hundreds of commands."""
    disk.crash_states.clear()


def everything(disk: SimulatedDisk) -> Model:
    with BoltEngine(SimulatedDisk(disk.durable)).begin() as transaction:
        assert_sound_trees(transaction)
        return contents(transaction.root)


@pytest.mark.parametrize("room", [0, 60])
def test_hundreds_of_short_commands_neither_grow_a_file_nor_wait_each_time(
    room: int,
) -> None:
    seed = random.Random(1)
    disk = with_room(crowded_end(seed), room)
    model, size, waited = everything(disk), disk.size(), 0
    for number in range(OPENINGS):
        waited += command(disk, model, seed, keys=60)
        forget_crashes(disk)
        if number % 40 == 0:
            assert everything(disk) == model
            assert check_disk(SimulatedDisk(disk.durable)).faults == []
    assert disk.size() == size
    assert everything(disk) == model
    # Some eight pages a command, and a fourth of the file is the most that can be room.
    assert 0 < waited < OPENINGS / 4


def test_a_file_that_is_full_grows_by_a_step_and_then_no_more() -> None:
    seed = random.Random(2)
    disk = with_room(gappy(seed), 0)
    # Use up what is free, so that nothing can be moved anywhere.
    engine = BoltEngine(disk, freelist_sync=False)
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.create_bucket(b"filler")
        for number in range(len(free_pages(disk)) - 12):
            bucket.put(b"%04d" % number, bytes(700))
    engine.close()
    disk = with_room(SimulatedDisk(disk.durable), 0)
    assert len(free_pages(disk)) < 40
    model = everything(disk)
    sizes = set()
    waited = 0
    for _ in range(OPENINGS):
        waited += command(disk, model, seed, keys=10)
        forget_crashes(disk)
        sizes.add(disk.size())
    assert len(sizes) <= 2
    assert everything(disk) == model
    assert check_disk(SimulatedDisk(disk.durable)).faults == []
    assert waited < OPENINGS / 4


def crowded_end(seed: random.Random) -> SimulatedDisk:
    """A file with gaps, and with branches, large values and nested buckets at its end."""
    disk = gappy(seed)
    engine = BoltEngine(disk, freelist_sync=False)
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.create_bucket_if_absent(b"end")
        for number in range(150):
            bucket.put(b"%04d" % number, bytes(seed.choice([100, 900, 5000])))
            inner = bucket.create_bucket(b"b-%04d" % number)
            inner.create_bucket(b"labels").put(b"label", bytes(seed.choice([10, 400])))
            inner.set_sequence(number)
    with engine.begin(writable=True) as transaction:
        for name in (b"bucket-0", b"bucket-1", b"bucket-2"):
            found = transaction.root.bucket(name)
            assert found is not None
            for key, value in list(found.items()):
                if value is not None:
                    found.delete(key)
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket_if_absent(b"bucket-0")
    engine.close()
    return with_room(SimulatedDisk(disk.durable), 0)


def tail_of(disk: SimulatedDisk) -> Tail:
    walk = Reachable(disk, meta_of(disk))
    while walk.step():
        pass
    tail = find_tail(walk, walk.unreachable())
    assert tail is not None
    return tail


@pytest.mark.parametrize("commands", [0, 30])
@pytest.mark.parametrize("seed_number", range(4))
def test_what_is_in_use_at_the_end_moves_and_nothing_else_changes(
    seed_number: int, commands: int
) -> None:
    seed = random.Random(seed_number)
    disk = with_room(crowded_end(seed), 400)
    for _ in range(commands):
        # They leave gaps at the end.
        command(disk, everything(disk), seed, keys=10)
    disk = with_room(SimulatedDisk(disk.durable), 0)
    expected, end = everything(disk), meta_of(disk).high_water
    tail, used = tail_of(disk), used_pages(disk)
    assert len(tail.free) > commands
    moved = {page for page in used if page >= tail.first}
    # Not more than a node that begins before stays there.
    stays = {page for page in moved if page < min(moved & tail.path_pages)}
    engine = BoltEngine(disk, searching=BY_HAND)
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.bucket(b"end")
        assert bucket is not None
        bucket.put(b"9999", b"new")
        # A bucket that the same transaction has made is no hindrance.
        bucket.create_bucket(b"b-9999").create_bucket(b"labels").put(b"label", b"1")
    inside = expected[b"end"]
    assert isinstance(inside, dict)
    inside |= {b"9999": b"new", b"b-9999": {b"labels": {b"label": b"1"}}}
    engine.close()
    assert everything(disk) == expected
    assert check_disk(SimulatedDisk(disk.durable)).faults == []
    assert {page for page in used_pages(disk) if page >= tail.first} == stays
    assert len(used_pages(disk)) < len(used) + 8

    engine = BoltEngine(disk, searching=BY_HAND)
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"next")
    engine.close()
    assert meta_of(disk).high_water < end, "the next one cuts them off"
    expected[b"next"] = {}
    assert everything(disk) == expected
    assert check_disk(SimulatedDisk(disk.durable)).faults == []


@pytest.mark.parametrize("seed_number", range(2))
def test_power_is_lost_while_pages_move_and_the_end_is_cut_off(seed_number: int) -> None:
    seed = random.Random(seed_number)
    disk = crowded_end(seed)
    model = everything(disk)
    tried = 0
    for _ in range(2):
        before = {name: dict(inside) for name, inside in model.items() if isinstance(inside, dict)}
        disk.crash_states.clear()
        command(disk, model, seed, keys=1000)
        for durable, pending in disk.crash_states:
            for data in power_losses(durable, pending, seed, samples=1):
                assert everything(SimulatedDisk(data)) in (before, model)
                tried += 1
                if tried % 7:
                    continue
                # Whoever opens what is left goes on, whichever of the two versions that is.
                survivor = SimulatedDisk(data)
                found = everything(survivor)
                command(survivor, found, seed, keys=1000)
                assert everything(survivor) == found
                assert not unsound(survivor)
    assert tried > 20


def unsound(disk: SimulatedDisk) -> Sequence[str]:
    faults = [fault.message for fault in check_disk(SimulatedDisk(disk.durable)).faults]
    return [fault for fault in faults if not fault.startswith("meta page")]


def test_a_bucket_that_moves_is_written_as_it_was() -> None:
    """A small one is not put inside the leaf around it, which may have no room for that."""
    disk = crafted({3: buckets(3, {b"a": 4, b"b": 5}), 4: leaf(4, {b"k": b"1"}), 5: leaf(5, {})})
    dirty = DirtyNodes(Pager(disk, PAGE_SIZE))
    state = relocate_nodes(dirty, BucketState(3, 7, PAGE_SIZE), {3, 4})
    assert isinstance(state.tree, Leaf)
    moved, kept = state.tree.values
    assert isinstance(moved, BucketState)
    assert not moved.inline
    assert isinstance(moved.tree, Leaf)
    assert moved.tree.keys == [b"k"]
    assert kept == BUCKET_HEADER.pack(5, 0)
    assert state.sequence == 7
    assert state.tree.size == HEADER_SIZE + 2 * (16 + 1 + 16)
    assert set(dirty.freed_pages()) == {3, 4}
    assert relocate_nodes(dirty, BucketState(3, 7, PAGE_SIZE), {4}).tree == 3


def test_a_reader_keeps_its_version_while_its_pages_move() -> None:
    disk = crowded_end(random.Random(9))
    expected = everything(disk)
    engine = BoltEngine(disk, searching=BY_HAND)
    reader = engine.begin()
    for number in range(30):
        with engine.begin(writable=True) as transaction:
            transaction.root.create_bucket_if_absent(b"other").put(b"%d" % number, bytes(300))
    engine._pager.young.clear()
    engine._pager._old.clear()
    assert contents(reader.root) == expected
    reader.rollback()
    end = meta_of(disk).high_water
    for number in range(4):
        with engine.begin(writable=True) as transaction:
            transaction.root.create_bucket_if_absent(b"other").put(b"%d" % number, bytes(300))
    assert meta_of(disk).high_water < end
    engine.close()
    assert not unsound(disk)


def test_an_interrupt_while_room_is_made_leaves_the_file_alone_and_no_doubt() -> None:
    """Wherever that reads: the handle is of no use any more, and the file is as it was."""
    whole = crowded_end(random.Random(11))
    expected = everything(whole)
    for number in range(3, 60, 8):
        disk = SimulatedDisk(whole.durable)
        engine = BoltEngine(disk, searching=PAGE_BY_PAGE)
        writer = engine.begin(writable=True)
        writer.root.create_bucket(b"next")
        disk.log.clear()
        read, reads = disk.read, 0

        def interrupt(offset: int, length: int) -> bytes:
            nonlocal reads
            reads += 1
            if reads == number:  # noqa: B023 (called within this round only)
                raise KeyboardInterrupt
            return read(offset, length)  # noqa: B023 (likewise)

        disk.read = interrupt  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            writer.commit()
        assert set(disk.log) <= {"read"}
        with pytest.raises(EnginePoisonedError, match="KeyboardInterrupt"):
            engine.begin(writable=True)
        engine.close()
        assert everything(disk) == expected


def test_a_page_at_the_end_that_is_damaged_stays_where_it_is() -> None:
    disk = crowded_end(random.Random(10))
    meta, tail = meta_of(disk), tail_of(disk)
    data = bytearray(disk.durable)
    for page in tail.path_pages:
        start = page * meta.page_size
        # A leaf with plain values only: where its first one ends is of no account to a walk.
        table = start + 16
        flags = data[table : table + 16 * data[start + 10] : 16]
        if data[start + 8] == LEAF_PAGE and not any(flags):
            data[table + 12 : table + 16] = b"\xff\xff\xff\x7f"
    disk = SimulatedDisk(bytes(data))
    assert unsound(disk)
    engine = BoltEngine(disk, searching=BY_HAND)
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"next")
    with engine.begin() as reader:
        assert reader.root.bucket(b"next") is not None
    engine.close()
