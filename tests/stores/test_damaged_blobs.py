"""A blob is there only when its file is, in full: else it is named, and can be written again."""

from __future__ import annotations

import os
import tempfile
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import orlop
from orlop.errors import (
    AbortedError,
    AlreadyExistsError,
    DataLossError,
    FailedPreconditionError,
    NotFoundError,
)
from orlop.records import LeaseResource
from orlop.schema import content
from stores import damaging
from stores.blobs import DATA, digest_of, put
from stores.damaging import SEEN, blob_file

if TYPE_CHECKING:
    from orlop import Database, Namespace
    from orlop.events import Event

DIGEST = digest_of(DATA)
NOBODY = 65534


@pytest.fixture(params=SEEN)
def damage(ns: Namespace, db: Database, request: pytest.FixtureRequest) -> str:
    """Damage the file of a blob that a namespace names; return the expected fault."""
    put(ns, a="b")
    damage, words = SEEN[str(request.param)]
    damage(blob_file(db, DIGEST))
    return words


def write_again(ns: Namespace, *, size: int = 0, verify: bool = False) -> None:
    with ns.content.writer("again", size=size, expected=DIGEST, verify=verify) as writer:
        assert writer.status().offset == 0
        writer.write(DATA)
        writer.commit(labels={"c": "d"})


def assert_whole(ns: Namespace) -> None:
    with ns.content.open(DIGEST) as blob:
        assert blob.read() == DATA
    assert ns.content.fault(DIGEST, verify=True) == ""


def test_the_fault_is_named(ns: Namespace, damage: str) -> None:
    assert damage in ns.content.fault(DIGEST)
    with pytest.raises((NotFoundError, DataLossError), match=damage) as caught:
        ns.content.open(DIGEST)
    assert DIGEST in str(caught.value)
    assert "image import" in str(caught.value), "what to do"
    assert ns.content.info(DIGEST).size == len(DATA), "the record is as it was"


@pytest.mark.parametrize("size", [0, len(DATA)])
def test_its_own_namespace_writes_it_again(
    ns: Namespace, damage: str, size: int, events: list[Event]
) -> None:
    before = ns.content.info(DIGEST)
    events.clear()

    write_again(ns, size=size)

    assert_whole(ns)
    after = ns.content.info(DIGEST)
    assert (after.created_at, after.labels) == (before.created_at, {"a": "b", "c": "d"}), damage
    assert events == [], "it was there all the time"
    with pytest.raises(AlreadyExistsError):
        ns.content.writer("once more", expected=DIGEST)


@pytest.mark.parametrize("size", [0, len(DATA)])
def test_another_namespace_does_not_share_it(
    ns: Namespace, db: Database, damage: str, size: int
) -> None:
    other = db.namespace("other")

    write_again(other, size=size)

    assert_whole(other)
    assert_whole(ns)
    assert damage


def test_data_that_no_namespace_names_is_replaced_as_well(
    ns: Namespace, db: Database, damage: str
) -> None:
    ns.content.delete(DIGEST)

    write_again(ns)

    assert_whole(ns)
    db.gc.run()
    assert damage


def test_a_commit_without_a_digest_puts_it_back(ns: Namespace, damage: str) -> None:
    assert put(ns) == DIGEST
    assert_whole(ns)
    assert damage


def test_a_lease_holds_what_was_put_back(ns: Namespace, damage: str) -> None:
    with ns.lease() as lease:
        write_again(ns)
        assert ns.leases.resources(lease.id) == [LeaseResource(id=DIGEST, type="content")]
    assert damage


@pytest.mark.parametrize("names_it", [True, False])
def test_bytes_that_differ_are_found_only_when_asked_for(
    ns: Namespace, db: Database, *, names_it: bool
) -> None:
    put(ns)
    damaging.flip(blob_file(db, DIGEST))
    writing = ns if names_it else db.namespace("other")

    assert ns.content.fault(DIGEST) == ""
    assert "has the digest" in ns.content.fault(DIGEST, verify=True)
    if names_it:
        with pytest.raises(AlreadyExistsError):
            writing.content.writer("unread", expected=DIGEST)
    write_again(writing, verify=True)

    assert_whole(ns)
    with pytest.raises(AlreadyExistsError):
        ns.content.writer("read", expected=DIGEST, verify=True)


def test_a_commit_that_verifies_replaces_without_a_digest_too(ns: Namespace, db: Database) -> None:
    put(ns)
    damaging.flip(blob_file(db, DIGEST))

    with ns.content.writer("ref", verify=True) as writer:
        writer.write(DATA)
        writer.commit()

    assert_whole(ns)


def test_whole_data_stays_the_file_that_it_is(ns: Namespace, db: Database) -> None:
    put(ns)
    before = blob_file(db, DIGEST).stat()

    with pytest.raises(AlreadyExistsError):
        put(ns)
    put(db.namespace("other"))

    assert blob_file(db, DIGEST).stat().st_ino == before.st_ino


def test_other_names_and_open_readers_of_the_damaged_file_keep_what_they_had(
    ns: Namespace, db: Database, tmp_path: Path
) -> None:
    put(ns)
    file = blob_file(db, DIGEST)
    damaging.cut(file)
    linked = tmp_path / "linked"
    os.link(file, linked)

    with file.open("rb") as reader:
        write_again(ns)
        assert reader.read() == DATA[:4]
    assert linked.read_bytes() == DATA[:4]
    assert_whole(ns)


def test_a_directory_that_is_not_empty_is_left_alone_and_named(ns: Namespace, db: Database) -> None:
    put(ns)
    file = blob_file(db, DIGEST)
    damaging.replace_by_directory(file)
    (file / "precious").write_bytes(b"data")

    with pytest.raises(FailedPreconditionError, match="move it away") as caught:
        write_again(ns)

    assert str(file) in str(caught.value)
    assert (file / "precious").read_bytes() == b"data"
    (file / "precious").unlink()
    write_again(ns)
    assert_whole(ns)


def test_a_shared_ingest_whose_blob_is_damaged_meanwhile_is_not_committed(
    ns: Namespace, db: Database
) -> None:
    put(ns)
    other = db.namespace("other")
    with other.content.writer("ref", expected=DIGEST) as writer:
        damaging.cut(blob_file(db, DIGEST))
        with pytest.raises(AbortedError, match="4 bytes instead of 9"):
            writer.commit()
    assert list(other.content.walk()) == []


@pytest.mark.parametrize("is_inside", [False, True])
def test_data_whose_size_nobody_knows_is_shared_only_once_it_was_read(
    ns: Namespace, db: Database, *, is_inside: bool
) -> None:
    put(ns)
    ns.content.delete(DIGEST)
    other = db.namespace("other").content

    with other.writer("known", expected=DIGEST, size=9) as writer:
        assert writer.status().offset == len(DATA)
    with db.update() if is_inside else nullcontext():
        with other.writer("whole", expected=DIGEST) as writer:
            assert writer.status().offset == len(DATA)
        for damage in (damaging.flip, damaging.cut):
            damage(blob_file(db, DIGEST))
            with other.writer(damage.__name__, expected=DIGEST) as writer:
                assert writer.status().offset == 0


def test_a_record_with_a_wrong_size_gets_the_right_one(ns: Namespace, db: Database) -> None:
    put(ns)
    info = ns.content.info(DIGEST)
    with db.update() as update:
        content.write(
            content.create(update.transaction, ns.name),
            type(info)(digest=DIGEST, size=5, labels={}, created_at=info.created_at),
        )

    with pytest.raises(AlreadyExistsError):
        write_again(ns)

    assert ns.content.info(DIGEST).size == len(DATA)
    assert_whole(ns)


def test_a_rollback_leaves_the_data_that_was_put_back(ns: Namespace, db: Database) -> None:
    put(ns)
    damaging.cut(blob_file(db, DIGEST))

    with suppress(ZeroDivisionError), db.update():
        write_again(ns)
        _ = 1 / 0

    assert_whole(ns)


def test_a_record_whose_data_is_missing_is_collected_and_frees_nothing(
    ns: Namespace, db: Database
) -> None:
    put(ns)
    damaging.delete(blob_file(db, DIGEST))

    (removal,) = db.gc.plan().nodes
    assert (removal.key, removal.bytes) == (DIGEST, 0)
    statistics = db.gc.run()

    assert (statistics.removed["content"], statistics.freed_bytes) == (1, 0)
    assert not statistics.failures
    assert list(ns.content.walk()) == []


def read_an_unreadable_file(root: Path) -> None:
    with orlop.open(root) as database:
        ns = database.namespace("testing")
        put(ns)
        file = blob_file(database, DIGEST)
        file.chmod(0)
        assert "cannot be read" in ns.content.fault(DIGEST, verify=True)
        with pytest.raises(PermissionError) as caught:
            ns.content.open(DIGEST)
        assert caught.value.filename == str(file)
        write_again(ns, verify=True)
        assert_whole(ns)


def test_a_file_that_cannot_be_read_is_named_and_replaced() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        Path(folder).chmod(0o777)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                if os.geteuid() == 0:
                    os.setgid(NOBODY)
                    os.setuid(NOBODY)
                read_an_unreadable_file(Path(folder, "root"))
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_root_that_is_only_read_names_the_fault(tmp_path: Path) -> None:
    with orlop.open(tmp_path / "read") as database:
        put(database.namespace("testing"))
        damaging.cut(blob_file(database, DIGEST))
    with orlop.open(tmp_path / "read", read_only=True) as database:
        assert database.namespace("testing").content.fault(DIGEST) == "4 bytes instead of 9"
