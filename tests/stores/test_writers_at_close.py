"""A content writer ends with its database: by then another process may have the root."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

import orlop
from orlop.errors import FailedPreconditionError

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE_SECONDS = 30
DATA = b"acknowledged" * 100


def test_a_writer_writes_nothing_after_the_close(tmp_path: Path) -> None:
    first = orlop.open(tmp_path, sync=False)
    late = first.namespace("default").content.writer("layer")
    late.write(b"x" * 100)
    first.close()
    with orlop.open(tmp_path, sync=False) as second:
        content = second.namespace("default").content
        with content.writer("layer") as writer:
            writer.write(DATA)
            for attempt in (
                lambda: late.write(b"y" * 100),
                lambda: late.truncate(0),
                late.commit,
            ):
                with pytest.raises(FailedPreconditionError, match="the database was closed"):
                    attempt()
            late.close()
            writer.commit(size=len(DATA), labels={"containerd.io/gc.root": "x"})
            digest = writer.digest()
        assert content.fault(digest, verify=True) == ""


def test_its_bytes_are_kept(tmp_path: Path) -> None:
    with orlop.open(tmp_path, sync=False) as first:
        first.namespace("default").content.writer("layer").write(b"forgotten")
        kept = first.namespace("default").content.writer("other")
        kept.write(b"x" * 100)
    with orlop.open(tmp_path, sync=False) as second:
        content = second.namespace("default").content
        with content.writer("other", resume=True) as writer:
            assert writer.status().offset == 100


def test_a_close_beside_a_thread_that_writes_and_commits(tmp_path: Path) -> None:
    for number in range(30):
        database = orlop.open(tmp_path, sync=False)
        begun, errors = threading.Event(), list[str]()

        def work(database: orlop.Database, begun: threading.Event, errors: list[str]) -> None:
            content = database.namespace("default").content
            try:
                for count in range(1000):
                    data = b"%d" % count * 100
                    with content.writer("layer") as writer:
                        writer.write(data)
                        begun.set()
                        writer.commit(size=len(data))
            except orlop.OrlopError as error:
                errors.append(str(error))

        thread = threading.Thread(target=work, args=(database, begun, errors), daemon=True)
        thread.start()
        assert begun.wait(PATIENCE_SECONDS)
        threading.Event().wait(number / 3000)
        database.close()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
        assert errors
        with orlop.open(tmp_path, sync=False) as again:
            content = again.namespace("default").content
            assert [one for one in content.walk() if content.fault(one.digest, verify=True)] == []
            for one in content.walk():
                content.delete(one.digest)
            again.gc.run()
