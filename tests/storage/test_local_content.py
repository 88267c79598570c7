"""The content store's files on disk, and unsafe cases that it refuses."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from whenever import Instant

from orlop import digests
from orlop.clock import SystemClock
from orlop.errors import (
    AbortedError,
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    OrlopError,
)
from orlop.storage import LocalContent
from storage.test_content_suite import some_bytes, store

if TYPE_CHECKING:
    from pathlib import Path

    from storage.ticking import TickingClock

REF_OF_DAEMON = "8416e85feb96ecf41c967c4b626fbd06f218fdfe9066d5066409d14b59e0f832"


def listing(root: Path) -> list[str]:
    """List files with their sizes as the golden listings of the daemons do."""
    return sorted(
        f"./{path.relative_to(root)} {path.stat().st_size}"
        for path in root.rglob("*")
        if path.is_file()
    )


def test_an_ingest_lies_as_the_daemon_left_one(
    content: LocalContent, tmp_path: Path, data: Path
) -> None:
    golden = (data / "meta-db/v1.6-07-leases-ns2-ingest.content.txt").read_text(encoding="utf-8")
    wanted = [line for line in golden.splitlines() if "/ingest/" in line]

    ref = "a ref of twenty-one b"  # the sizes of `ref` and `total` are in the listing
    content.writer(ref, size=1234).close()

    mine = hashlib.sha256(ref.encode()).hexdigest()
    assert [line.replace(mine, REF_OF_DAEMON) for line in listing(tmp_path / "content")] == wanted


def test_files_of_an_ingest(content: LocalContent, tmp_path: Path, clock: TickingClock) -> None:
    clock.nanoseconds = 1_771_234_567_120_000_000
    writer = content.writer("a ref", size=123)
    place = tmp_path / "content/ingest" / hashlib.sha256(b"a ref").hexdigest()

    assert {path.name: path.read_bytes() for path in place.iterdir()} == {
        "ref": b"a ref",
        "data": b"",
        "startedat": b"2026-02-16T09:36:08.12Z",
        "updatedat": b"2026-02-16T09:36:08.12Z",
        "total": b"123",
    }
    clock.nanoseconds = 1_771_234_600_000_000_001
    writer.write(b"123")
    writer.close()
    assert (place / "updatedat").read_bytes() == b"2026-02-16T09:36:40.000000001Z"
    assert sorted(path.name for path in (tmp_path / "content").iterdir()) == ["ingest"]


def test_a_blob_is_read_only_and_nothing_else_is_left(
    content: LocalContent, tmp_path: Path
) -> None:
    digest = store(content, b"hello")
    place = tmp_path / "content/blobs/sha256" / digest.removeprefix("sha256:")

    assert place.read_bytes() == b"hello"
    assert stat.S_IMODE(place.stat().st_mode) == 0o444
    assert [path for path in (tmp_path / "content").rglob("*") if path.is_file()] == [place]
    assert list((tmp_path / "content/ingest").iterdir()) == []


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_content_writer_of_each_algorithm(content: LocalContent, algorithm: str) -> None:
    data = some_bytes(3_000_000)
    digest = digests.from_bytes(data, algorithm)
    writer = content.writer("myref")
    writer.close()
    writer = content.writer("myref")
    writer.write(data)
    writer.commit(size=len(data), expected=digest)
    writer.close()

    assert [info.digest for info in content.walk()] == [digest]
    again = content.writer("aref")
    again.write(data)
    with pytest.raises(AlreadyExistsError):
        again.commit(expected=digest)
    with content.open(digest) as reader:
        assert reader.read() == data


def test_walk_blobs(content: LocalContent, tmp_path: Path) -> None:
    wanted = {store(content, some_bytes(40, seed)) for seed in range(79)}
    blobs = tmp_path / "content/blobs"
    (blobs / "sha256/not-a-hash").write_bytes(b"")
    (blobs / "sha256" / ("A" * 64)).write_bytes(b"")
    (blobs / "sha256" / ("b" * 64)).mkdir()
    (blobs / "sha256" / ("c" * 64)).symlink_to("/etc/passwd")
    (blobs / "md5").mkdir()
    (blobs / "md5" / ("d" * 32)).write_bytes(b"")
    (blobs / "sha512").write_bytes(b"a file where a directory should be")

    assert [info.digest for info in content.walk()] == sorted(wanted)


def test_writer_truncate_recovers_from_incomplete_write(content: LocalContent) -> None:
    whole = b"this is the content"
    writer = content.writer("ref", size=len(whole))
    writer.write(b"bad data")
    writer.close()

    writer = content.writer("ref", size=len(whole))
    writer.truncate(0)
    writer.write(whole)
    writer.commit(size=len(whole), expected=digests.from_bytes(whole))

    with pytest.raises(InvalidArgumentError):
        content.writer("other").truncate(3)


def test_a_zero_timestamp_reads_as_none(content: LocalContent, tmp_path: Path) -> None:
    content.writer("ref").close()
    place = tmp_path / "content/ingest" / hashlib.sha256(b"ref").hexdigest()
    (place / "startedat").write_bytes(b"0001-01-01T00:00:00Z")
    (place / "updatedat").write_bytes(b"0001-01-01T00:00:00Z")

    status = content.status("ref")
    assert status.started_at is None
    assert status.updated_at == Instant.from_timestamp(
        (place / "data").stat().st_mtime_ns, unit="nanosecond"
    )


def test_another_total_begins_again(content: LocalContent) -> None:
    writer = content.writer("ref", size=100)
    writer.write(b"x" * 50)
    writer.close()

    same = content.writer("ref")
    assert (same.status().offset, same.status().total) == (50, 100)
    same.close()
    other = content.writer("ref", size=99)
    assert (other.status().offset, other.status().total) == (0, 99)
    other.close()
    assert content.status("ref").offset == 0


def test_an_ingest_whose_reference_is_lost_is_found_by_it_and_written_on_to(
    content: LocalContent, tmp_path: Path
) -> None:
    content.writer("good").close()
    half = tmp_path / "content/ingest" / hashlib.sha256(b"half").hexdigest()
    half.mkdir()
    (half / "data").write_bytes(b"old")

    assert [status.ref for status in content.statuses()] == ["good"]
    assert set(content.leftovers()) == {half.name}
    found = content.status("half")
    assert (found.ref, found.offset, found.started_at) == ("half", 3, None)
    writer = content.writer("half")
    assert {status.ref for status in content.statuses()} == {"good", "half"}
    assert content.leftovers() == {}
    writer.write(b" and new")
    writer.commit(size=11, expected=digests.from_bytes(b"old and new"))


@pytest.mark.parametrize("damage", [b"", b"re", None, "directory", "link"])
@pytest.mark.parametrize("name", ["ref", "startedat", "updatedat", "total"])
def test_no_damage_of_a_small_file_costs_the_data(
    content: LocalContent, tmp_path: Path, name: str, damage: bytes | str | None
) -> None:
    with contextlib.closing(content.writer("ref", size=8)) as writer:
        writer.write(b"data")
    place = tmp_path / "content/ingest" / hashlib.sha256(b"ref").hexdigest()
    (place / name).unlink()
    if damage == "directory":
        (place / name).mkdir()
    elif damage == "link":
        (place / name).symlink_to("/nowhere")
    elif isinstance(damage, bytes):
        (place / name).write_bytes(damage)

    for opened in (content, LocalContent(tmp_path / "content", clock=SystemClock())):
        opened.cleanup()
        opened.writer("other").close()
        known = {status.ref for status in opened.statuses()} | set(opened.leftovers())
        assert known == {"other", place.name if name == "ref" else "ref"}
        assert opened.status("ref").offset == 4

    if damage == "directory" and name != "total":
        with pytest.raises(IsADirectoryError):
            content.writer("ref", size=8)
        return
    writer = content.writer("ref", size=8)
    assert writer.status().offset == 4
    assert {status.ref for status in content.statuses()} == {"ref", "other"}
    writer.write(b"more")
    writer.commit(size=8, expected=digests.from_bytes(b"datamore"))


def test_a_leftover_is_moved_out_of_sight_unless_it_is_an_ingest_again(
    content: LocalContent, tmp_path: Path
) -> None:
    ingests = tmp_path / "content/ingest"
    with contextlib.closing(content.writer("ref")) as writer:
        writer.write(b"data")
    (leftover,) = ingests.iterdir()
    (leftover / "ref").write_bytes(b"")
    (ingests / "a file").write_bytes(b"somebody's")
    (ingests / "empty").mkdir()
    assert set(content.leftovers()) == {leftover.name, "a file"}

    content.writer("ref").close()
    with pytest.raises(NotFoundError):
        content.discard_leftover(leftover.name)
    content.discard_leftover("a file")
    with pytest.raises(NotFoundError):
        content.discard_leftover("a file")
    content.cleanup()
    assert list(ingests.iterdir()) == [leftover]
    assert content.status("ref").offset == 4


def test_cleanup_deletes_only_what_is_dead(content: LocalContent, tmp_path: Path) -> None:
    root = tmp_path / "content"
    digest = store(content, b"blob")
    content.writer("kept").close()
    in_flight = content.writer("in flight")
    in_flight.write(b"abc")
    (root / ".new-1").mkdir()
    (root / ".rm-2").mkdir()
    (root / ".rm-2/data").write_bytes(b"x")
    (root / "ingest" / ("0" * 64)).mkdir()
    (root / "somebody-elses").mkdir()

    content.cleanup()

    assert sorted(path.name for path in root.iterdir()) == ["blobs", "ingest", "somebody-elses"]
    assert {status.ref for status in content.statuses()} == {"kept", "in flight"}
    in_flight.commit()
    assert content.info(digest).size == 4
    assert content.info(digests.from_bytes(b"abc")).size == 3


def test_abort_under_a_writer(content: LocalContent) -> None:
    writer = content.writer("ref")
    writer.write(b"abc")
    content.abort("ref")

    with pytest.raises(NotFoundError):
        content.abort("ref")
    with pytest.raises(AbortedError):
        writer.commit()
    assert list(content.walk()) == []
    writer = content.writer("ref")
    content.abort("ref")
    writer.close()
    assert list(content.statuses()) == []


def test_delete(content: LocalContent) -> None:
    digest = store(content, b"abc")
    with content.open(digest) as reader:
        content.delete(digest)
        assert reader.read() == b"abc"
    for refused in (content.delete, content.info, content.open):
        with pytest.raises(NotFoundError):
            refused(digest)


@pytest.mark.parametrize(
    "bad", ["", "sha256", "sha256:../../etc/passwd", "md5:" + "0" * 32, "sha256:" + "A" * 64]
)
def test_what_is_no_digest_is_refused(content: LocalContent, bad: str) -> None:
    for refused in (content.info, content.open, content.delete):
        with pytest.raises(InvalidArgumentError):
            refused(bad)
    with pytest.raises(InvalidArgumentError):
        content.writer("")
    if bad:
        with pytest.raises(InvalidArgumentError):
            content.writer("ref", expected=bad)
        writer = content.writer("ref")
        with pytest.raises(InvalidArgumentError):
            writer.commit(expected=bad)
        assert content.status("ref").offset == 0


@pytest.mark.parametrize("ref", ["a/b/../../c", "line\nbreak", "\udcff raw byte", "ü" * 5000, "/"])
def test_any_text_is_a_reference(content: LocalContent, tmp_path: Path, ref: str) -> None:
    writer = content.writer(ref)
    writer.write(b"abc")
    writer.close()
    assert content.status(ref).ref == ref
    assert [status.ref for status in content.statuses()] == [ref]
    content.abort(ref)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["content"]


def test_no_link_leads_out_of_the_store(content: LocalContent, tmp_path: Path) -> None:
    root = tmp_path / "content"
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    digest = digests.from_bytes(b"secret")
    store(content, b"something")

    blob = root / "blobs/sha256" / digest.removeprefix("sha256:")
    blob.symlink_to(outside / "secret")
    with pytest.raises(NotFoundError):
        content.open(digest)
    with pytest.raises(NotFoundError):
        content.info(digest)
    blob.unlink()

    os.mkfifo(blob)
    with pytest.raises(NotFoundError):
        content.open(digest)
    blob.unlink()

    trap = root / "ingest" / hashlib.sha256(b"trap").hexdigest()
    trap.symlink_to(outside)
    writer = content.writer("trap")
    writer.write(b"abc")
    writer.close()
    assert not trap.is_symlink()
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]

    (trap / "data").unlink()
    (trap / "data").symlink_to(outside / "secret")
    writer = content.writer("trap")
    writer.write(b"abc")
    writer.close()
    assert (outside / "secret").read_bytes() == b"secret"

    (root / "blobs/sha512").symlink_to(outside)
    writer = content.writer("linked algorithm")
    writer.write(b"abc")
    with pytest.raises(NotADirectoryError):
        writer.commit(expected=digests.from_bytes(b"abc", "sha512"))
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]


def test_reading_where_nothing_is_creates_nothing(tmp_path: Path) -> None:
    content = LocalContent(tmp_path / "none", clock=SystemClock())
    digest = digests.from_bytes(b"")

    assert list(content.walk()) == []
    assert list(content.statuses()) == []
    for missing in (lambda: content.info(digest), lambda: content.status("x")):
        with pytest.raises(NotFoundError):
            missing()
    with pytest.raises(NotFoundError):
        content.open(digest)
    content.cleanup()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_somebody_else_changes_is_not_committed(
    content: LocalContent, tmp_path: Path
) -> None:
    writer = content.writer("ref")
    writer.write(b"abc")
    (tmp_path / "content/ingest" / hashlib.sha256(b"ref").hexdigest() / "data").write_bytes(b"abcd")
    with pytest.raises(FailedPreconditionError, match="somebody else"):
        writer.commit()


def test_two_writers_of_one_blob(content: LocalContent) -> None:
    data = some_bytes(100_000)
    outcomes: list[str] = []
    start = threading.Barrier(8)

    def write(ref: str) -> None:
        writer = content.writer(ref)
        writer.write(data)
        start.wait()
        try:
            writer.commit(expected=digests.from_bytes(data))
            outcomes.append("committed")
        except OrlopError as error:
            outcomes.append(error.kind)

    threads = [threading.Thread(target=write, args=(f"ref-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["already exists"] * 7 + ["committed"]
    assert list(content.statuses()) == []


def test_memory_does_not_grow_with_the_blob(tmp_path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from orlop.storage import LocalContent
from orlop.clock import SystemClock
content = LocalContent(Path(sys.argv[1]), clock=SystemClock())
writer = content.writer("ref")
block = bytes(1 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(64):
    writer.write(block)
writer.close()
content.writer("ref").commit(size=64 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "content")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"\d+\n", done.stdout)
    assert int(done.stdout) < 16 << 10, "kibibytes"
