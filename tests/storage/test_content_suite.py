"""The cases of containerd's content suite that concern a backend, by their names.

Source: containerd, core/content/testsuite (those about namespaces and labels are the stores').
"""

from __future__ import annotations

import hashlib
import os
import random
from typing import TYPE_CHECKING

import pytest

from orlop import digests
from orlop.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
)

if TYPE_CHECKING:
    from orlop.storage import LocalContent
    from storage.ticking import TickingClock


def some_bytes(size: int, seed: int = 7) -> bytes:
    return random.Random(seed).randbytes(size)


def store(content: LocalContent, data: bytes, ref: str = "ref") -> str:
    digest = digests.from_bytes(data)
    writer = content.writer(ref)
    writer.write(data)
    writer.commit(size=len(data), expected=digest)
    return digest


@pytest.mark.parametrize(
    ("size", "with_size", "with_digest"),
    [(1, True, True), (1000, True, False), (4096, False, True), (70_000, False, False)],
)
def test_writer(
    content: LocalContent,
    clock: TickingClock,
    size: int,
    with_size: bool,  # noqa: FBT001 -- a parameter of the test
    with_digest: bool,  # noqa: FBT001 -- as above
) -> None:
    data = some_bytes(size)
    digest = digests.from_bytes(data)
    before = clock.now()

    writer = content.writer("ref", size=size if with_size else 0)
    writer.write(data)
    writer.commit(size=size if with_size else 0, expected=digest if with_digest else "")

    info = content.info(digest)
    assert (info.digest, info.size) == (digest, size)
    assert info.created_at == info.updated_at
    assert info.created_at is not None
    assert before < info.created_at < clock.now()
    with content.open(digest) as reader:
        assert reader.read() == data


def test_writer_of_32_mebibytes(content: LocalContent) -> None:
    block = some_bytes(1 << 20)
    writer = content.writer("big")
    running = hashlib.sha256()
    for _ in range(32):
        writer.write(block)
        running.update(block)
    writer.commit()

    digest = f"sha256:{running.hexdigest()}"
    assert content.info(digest).size == 32 << 20
    with content.open(digest) as reader:
        assert digests.from_bytes(reader.read()) == digest


def test_update_status(content: LocalContent) -> None:
    writer = content.writer("ref", size=1000)
    empty = writer.status()
    assert (empty.ref, empty.offset, empty.total) == ("ref", 0, 1000)
    assert empty.started_at == empty.updated_at

    writer.write(some_bytes(300))
    first = writer.status()
    writer.write(some_bytes(100))
    second = writer.status()
    writer.close()

    assert (first.offset, second.offset) == (300, 400)
    assert first.started_at == second.started_at == empty.started_at
    assert empty.updated_at is not None
    assert first.updated_at is not None
    assert second.updated_at is not None
    assert empty.updated_at < first.updated_at < second.updated_at
    kept = content.status("ref")
    assert (kept.offset, kept.total, kept.started_at) == (400, 1000, empty.started_at)


@pytest.mark.parametrize("with_expected", [True, False])
def test_commit_exists(content: LocalContent, with_expected: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    data = some_bytes(500)
    digest = store(content, data)

    writer = content.writer("again")
    writer.write(data)
    with pytest.raises(AlreadyExistsError):
        writer.commit(size=500, expected=digest if with_expected else "")

    assert list(content.statuses()) == []
    with pytest.raises(AlreadyExistsError):
        content.writer("third", expected=digest)
    content.writer("third").close()  # the lock was given back


def test_resume(content: LocalContent) -> None:
    data = some_bytes(5000)
    writer = content.writer("ref", size=5000)
    writer.write(data[:2000])
    before = writer.status()
    partial = writer.digest()
    writer.close()

    resumed = content.writer("ref", size=5000)
    after = resumed.status()
    assert (after.ref, after.offset, after.total) == (before.ref, before.offset, before.total)
    assert after.started_at == before.started_at
    assert resumed.digest() == partial
    resumed.write(data[2000:])
    resumed.commit(size=5000, expected=digests.from_bytes(data))

    with content.open(digests.from_bytes(data)) as reader:
        assert reader.read() == data


@pytest.mark.parametrize("size", [500, 5000, 50_000])
@pytest.mark.parametrize("cut", [0, 1, 10, 200, 499])
def test_resume_truncate(content: LocalContent, size: int, cut: int) -> None:
    data = some_bytes(size)
    writer = content.writer("ref", size=size)
    writer.write(data[:cut])
    writer.close()

    resumed = content.writer("ref", size=size)
    resumed.truncate(0)
    assert resumed.status().offset == 0
    resumed.write(data)
    resumed.commit(size=size, expected=digests.from_bytes(data))


@pytest.mark.parametrize("cut", [0, 1, 4096, 49_999])
def test_resume_discard(content: LocalContent, cut: int) -> None:
    data = some_bytes(50_000)
    writer = content.writer("ref")
    writer.write(data[:cut])
    writer.close()

    resumed = content.writer("ref")
    resumed.write(data[resumed.status().offset :])
    resumed.commit(expected=digests.from_bytes(data))


def test_resume_copy_seeker(content: LocalContent) -> None:
    data = some_bytes(50_000)
    digest = store(content, data)
    with content.open(digest) as source:
        assert source.seekable()
        source.seek(20_000)
        assert source.read() == data[20_000:]
        source.seek(-10, os.SEEK_END)
        assert source.read() == data[-10:]
        assert os.pread(source.fileno(), 5, 7) == data[7:12]


def test_small_blob(content: LocalContent) -> None:
    digest = store(content, b"foobar")
    with content.open(digest) as reader:
        assert reader.read(100) == b"foobar"
        assert reader.read(100) == b""


def test_commit_error_state(content: LocalContent) -> None:
    data = some_bytes(700)
    digest = digests.from_bytes(data)
    writer = content.writer("c1")
    writer.write(data)
    with pytest.raises(UnavailableError, match=r"^ref c1 locked for .*s \(since 20.*Z\)"):
        content.writer("c1")

    with pytest.raises(FailedPreconditionError, match="unexpected commit digest"):
        writer.commit(expected=digests.from_bytes(b"other"))
    assert content.status("c1").offset == 700

    writer = content.writer("c1")
    with pytest.raises(FailedPreconditionError, match="unexpected commit size 700, expected 701"):
        writer.commit(size=701, expected=digest)
    with pytest.raises(FailedPreconditionError, match="closed"):
        writer.commit()
    assert content.status("c1").offset == 700

    content.writer("c1").commit(size=700, expected=digest)
    with pytest.raises(NotFoundError):
        content.status("c1")
    content.writer("c1").close()
    assert content.status("c1").offset == 0
