"""Power is lost at every moment of a workload; the file then has one whole version."""

from __future__ import annotations

import errno
import random

import pytest

from bolt.model_bucket import Model, contents
from bolt.simulated_disk import SimulatedDisk, power_losses
from orlop.bolt import BoltEngine
from orlop.bolt.tools.check import check_disk
from orlop.kv import EngineError, EnginePoisonedError

TRANSACTIONS = 12


def change(engine: BoltEngine, model: Model, seed: random.Random) -> None:
    """One transaction of puts, deletes and bucket operations, on both sides."""
    with engine.begin(writable=True) as transaction:
        for _ in range(seed.randint(1, 40)):
            name = b"bucket-%d" % seed.randint(0, 3)
            bucket = transaction.root.create_bucket_if_absent(name)
            inside = model.setdefault(name, {})
            assert isinstance(inside, dict)
            key = b"key-%d" % seed.randint(0, 200)
            dice = seed.random()
            if dice < 0.7:
                value = seed.randbytes(seed.choice([0, 20, 300, 6000]))
                bucket.put(key, value)
                inside[key] = value
            elif dice < 0.95:
                bucket.delete(key)
                inside.pop(key, None)
            else:
                transaction.root.delete_bucket(name)
                del model[name]


def snapshot(model: Model) -> Model:
    return {
        name: dict(inside) if isinstance(inside, dict) else inside for name, inside in model.items()
    }


def read_everything(disk: SimulatedDisk) -> Model:
    engine = BoltEngine(disk)
    with engine.begin() as transaction:
        return contents(transaction.root)


@pytest.mark.parametrize("freelist_sync", [False, True])
@pytest.mark.parametrize("seed_number", range(3))
def test_a_power_loss_leaves_the_last_acknowledged_or_the_next_version(
    seed_number: int, *, freelist_sync: bool
) -> None:
    seed = random.Random(seed_number)
    disk = SimulatedDisk()
    engine = BoltEngine(disk, freelist_sync=freelist_sync)
    model: Model = {}
    before: Model = {}
    tried = 0
    for _ in range(TRANSACTIONS):
        disk.crash_states.clear()
        change(engine, model, seed)
        for durable, pending in disk.crash_states:
            for data in power_losses(durable, pending, seed, samples=4):
                survivor = SimulatedDisk(data)
                found = read_everything(survivor)
                assert found in (before, model)
                assert check_disk(SimulatedDisk(data)).faults == [] or _only_a_torn_meta(data)
                tried += 1
        before = snapshot(model)
    assert tried > TRANSACTIONS * 10


def _only_a_torn_meta(data: bytes) -> bool:
    faults = check_disk(SimulatedDisk(data)).faults
    return all(fault.message.startswith("meta page") for fault in faults)


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_every_failing_call_ends_in_an_error_and_a_sound_file(error: int) -> None:
    failures = 0
    call = 0
    while True:
        call += 1
        disk = SimulatedDisk(error=error, fail_at=call)
        acknowledged: Model = {}
        model: Model = {}
        seed = random.Random(5)
        engine = None
        try:
            engine = BoltEngine(disk)
            for _ in range(4):
                change(engine, model, seed)
                acknowledged = snapshot(model)
        except (OSError, EngineError) as raised:
            failures += 1
            if isinstance(raised, EnginePoisonedError) and engine is not None:
                with pytest.raises(EnginePoisonedError):
                    engine.begin()
        else:
            break
        disk.fail_at = None
        found = read_everything(disk)
        assert found in (acknowledged, model)
        assert check_disk(disk).faults == [] or _only_a_torn_meta(bytes(disk.read(0, disk.size())))
    assert failures > 20


def test_the_order_is_data_sync_meta_sync() -> None:
    disk = SimulatedDisk()
    engine = BoltEngine(disk)
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"v1")
    disk.log.clear()
    disk.crash_states.clear()
    with engine.begin(writable=True) as transaction:
        bucket = transaction.root.bucket(b"v1")
        assert bucket is not None
        bucket.put(b"key", b"value")
    assert [name for name in disk.log if name != "read"] == ["write", "sync", "write", "sync"]
    (_, data), (_, meta) = disk.crash_states
    page_size = 4096
    assert all(offset >= 2 * page_size for offset, _ in data)
    assert [offset for offset, _ in meta] == [transaction.id % 2 * page_size]


def test_opening_rewrites_the_chosen_meta_and_syncs_before_anything_else() -> None:
    first = SimulatedDisk()
    engine = BoltEngine(first)
    with engine.begin(writable=True) as transaction:
        transaction.root.create_bucket(b"v1")
    disk = SimulatedDisk(first.durable)
    BoltEngine(disk)
    assert [name for name in disk.log if name != "read"] == ["write", "sync"]
    assert disk.crash_states[0][1][0][0] == transaction.id % 2 * 4096
