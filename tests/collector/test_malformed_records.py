"""Malformed records: a collection ends, and data that may be in use is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collector.records import Records, bucket_at, digest_of

if TYPE_CHECKING:
    from orlop import Database

GC = "containerd.io/gc."


def test_an_empty_file_has_no_garbage(bare: Database) -> None:
    assert bare.gc.plan().nodes == ()
    assert bare.gc.run().removed == {}


@pytest.mark.parametrize("value", ["", "tomorrow", "2020-01-01", "2020-01-01 00:00:00Z"])
def test_an_expiry_that_cannot_be_read_does_not_expire(bare: Database, value: str) -> None:
    with bare.update() as update:
        records = Records(update.transaction, bare.clock.now())
        records.lease("ns", "l", ("content", digest_of(1)))
        records.image("ns", "i", digest_of(2))
        for number in (1, 2):
            records.blob("ns", digest_of(number))
        for kind, key in (("leases", "l"), ("images", "i")):
            labels = bucket_at(update.transaction, "ns", kind, key, "labels")
            labels.put(f"{GC}expire".encode(), value.encode())
    assert bare.gc.run().removed == {}


def test_an_ingest_whose_expiry_cannot_be_read_stays(bare: Database) -> None:
    with bare.update() as update:
        records = Records(update.transaction, bare.clock.now())
        records.ingest("ns", "damaged", expected=digest_of(1))
        records.blob("ns", digest_of(1))
        ingest = bucket_at(update.transaction, "ns", "content", "ingests", "damaged")
        ingest.put(b"expireat", b"\xff")
    assert bare.gc.run().removed == {}


def test_a_record_whose_times_cannot_be_read_can_go(bare: Database) -> None:
    with bare.update() as update:
        records = Records(update.transaction, bare.clock.now())
        records.blob("ns", digest_of(1))
        records.snapshot("ns", "native", "s")
        for path in (("content", "blob", digest_of(1)), ("snapshots", "native", "s")):
            bucket_at(update.transaction, "ns", *path).put(b"createdat", b"?")
    plan = bare.gc.plan()
    assert len(plan.nodes) == 2
    assert plan.apply().removed == {"snapshot": 1, "content": 1}


def test_plain_keys_where_buckets_belong_are_passed_over(bare: Database) -> None:
    with bare.update() as update:
        for kind in ("leases", "images", "containers", "sandboxes"):
            bucket_at(update.transaction, "ns", kind).put(b"plain", b"x")
        for path in (("content", "blob"), ("content", "ingests"), ("snapshots", "native")):
            bucket_at(update.transaction, "ns", *path).put(b"plain", b"x")
        bucket_at(update.transaction, "ns", "snapshots").put(b"plain", b"x")
        bucket_at(update.transaction).put(b"other", b"x")
        bucket_at(update.transaction, "empty")
    assert bare.gc.run().removed == {}


def test_buckets_that_lack_everything_are_records_all_the_same(bare: Database) -> None:
    with bare.update() as update:
        for path in (
            ("content", "blob", "no digest"),
            ("content", "ingests", "bare"),
            ("snapshots", "native", "bare"),
            ("leases", "bare"),
            ("images", "bare"),
            ("containers", "bare"),
            ("sandboxes", "bare"),
        ):
            bucket_at(update.transaction, "ns", *path)
    assert bare.gc.run().removed == {"content": 1, "ingest": 1, "snapshot": 1}


def test_references_to_nothing_lead_nowhere(bare: Database) -> None:
    with bare.update() as update:
        records = Records(update.transaction, bare.clock.now())
        labels = {
            f"{GC}ref.content": "no digest",
            f"{GC}ref.image": "nobody",
            f"{GC}ref.snapshot.": "x",
            f"{GC}ref.snapshot.unknown/x": "",
            f"{GC}bref.snapshot./x": "y",
            f"{GC}cond.snapshot": "usedat<1h|x",
        }
        records.image("ns", "i", digest_of(1), labels)
        records.container("ns", "c", "unknown", "", labels)
        records.sandbox("ns", "s", labels)
        records.snapshot("ns", "native", "s", "lost parent", {f"{GC}root": "x"})
    assert bare.gc.run().removed == {}


def test_names_that_are_no_text_are_names(bare: Database) -> None:
    with bare.update() as update:
        labels = bucket_at(update.transaction, "ns", "images", "i\udcff", "labels")
        labels.put(f"{GC}ref.snapshot.native".encode(), b"\xfe\xff")
        target = bucket_at(update.transaction, "ns", "snapshots", "native")
        target.create_bucket(b"\xfe\xff")
        target.create_bucket(b"\xff")
    assert bare.gc.run().removed == {"snapshot": 1}


def test_a_snapshotter_with_a_slash_is_left_alone(bare: Database) -> None:
    with bare.update() as update:
        bucket_at(update.transaction, "ns", "snapshots", "a/b", "key")
        bucket_at(update.transaction, "ns", "snapshots", "a", "b/key")
    assert bare.gc.run().removed == {"snapshot": 1}
    with bare.view() as transaction:
        schema = transaction.root.bucket(b"v1")
        assert schema is not None
        namespace = schema.bucket(b"ns")
        assert namespace is not None
        snapshots = namespace.bucket(b"snapshots")
        assert snapshots is not None
        slashed = snapshots.bucket(b"a/b")
        assert slashed is not None
        assert slashed.bucket(b"key") is not None


def test_cycles_hold_nobody(bare: Database) -> None:
    with bare.update() as update:
        records = Records(update.transaction, bare.clock.now())
        for number in range(3):
            labels = {f"{GC}ref.content": digest_of((number + 1) % 3)}
            records.blob("ns", digest_of(number), labels)
        records.snapshot("ns", "native", "a", "b")
        records.snapshot("ns", "native", "b", "a")
    assert bare.gc.run().removed == {"snapshot": 2, "content": 3}
