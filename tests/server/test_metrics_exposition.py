"""The metrics page, read by Prometheus' own parser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

import orlop
from collector.making import make_blob
from orlop.server.metrics import exposition

if TYPE_CHECKING:
    from pathlib import Path


def values(database: orlop.Database) -> dict[tuple[str, ...], float]:
    text = exposition(database).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_collections_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with orlop.open(tmp_path / "root") as database:
        namespace = database.namespace("test")
        assert values(database)["orlop_gc_collections_total", "success"] == 0
        make_blob(namespace, b"garbage")
        make_blob(namespace, b"kept", {"containerd.io/gc.root": "x"})
        database.gc.run()

        found = values(database)
        assert found["orlop_gc_collections_total", "success"] == 1
        assert found["orlop_gc_removed_records_total", "content"] == 1
        assert found["orlop_gc_deleted_total",] == 1
        assert found["orlop_gc_freed_bytes_total",] == len(b"garbage")
        assert found["orlop_gc_kept_records",] == 1
        assert found["orlop_gc_seconds_total", "mark"] > 0
        assert found["orlop_gc_longest_pause_seconds",] > 0
        assert found["orlop_gc_claims", "content"] == 0
        assert found["orlop_gc_journal_bytes",] > 0
        with database.content_claims.claim("one", "two"):
            assert values(database)["orlop_gc_claims", "content"] == 2

        def fail(*_: object) -> None:
            raise OSError("no disk")

        monkeypatch.setattr(database.content_backend, "walk", fail)
        make_blob(namespace, b"more garbage")
        database.gc.run()
        assert values(database)["orlop_gc_failed_cleanups_total", "content"] == 1
        with database.update(), pytest.raises(orlop.OrlopError):
            database.gc.run()
        assert values(database)["orlop_gc_collections_total", "fail"] == 1


def test_the_nearest_change_is_shown_once_it_is_known(tmp_path: Path) -> None:
    with orlop.open(tmp_path / "root") as database:
        name = ("orlop_gc_nearest_change_timestamp_seconds",)
        assert name not in values(database)
        database.namespace("test").leases.create(
            "l", labels={"containerd.io/gc.expire": "2100-01-01T00:00:00Z"}
        )
        scheduler = database.gc.schedule()
        scheduler.request().wait(30)
        scheduler.request().wait(30)  # it is looked for after the first one
        assert values(database)[name] == pytest.approx(4102444800)
