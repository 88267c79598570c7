"""Writers verify the size and digest given at open, and resume older bytes only on request."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from orlop.errors import AlreadyExistsError, FailedPreconditionError, UnavailableError
from orlop.labels import GC_REF_CONTENT
from stores.blobs import DATA, digest_of, put

if TYPE_CHECKING:
    from orlop import Database, Namespace

DIGEST = digest_of(DATA)
OTHER = b"something else"


@pytest.mark.parametrize("data", [OTHER, DATA[:-1], DATA + DATA, b""])
@pytest.mark.parametrize("known", ["digest", "size", "both"])
def test_a_commit_verifies_what_the_writer_was_opened_with(
    ns: Namespace, db: Database, data: bytes, known: str
) -> None:
    size = 0 if known == "digest" else len(DATA)
    expected = "" if known == "size" else DIGEST
    with ns.content.writer("ref", size=size, expected=expected) as writer:
        writer.write(data)
        with pytest.raises(FailedPreconditionError):
            writer.commit()
    assert list(ns.content.walk()) == []
    assert list(db.content_backend.walk()) == []


@pytest.mark.parametrize("is_shared", [False, True])
@pytest.mark.parametrize("given", [{"size": 1}, {"expected": digest_of(OTHER)}])
def test_arguments_of_a_commit_that_contradict_the_opening_are_refused(
    ns: Namespace, db: Database, given: dict[str, int | str], *, is_shared: bool
) -> None:
    if is_shared:
        put(db.namespace("other"))
    with ns.content.writer("ref", size=len(DATA), expected=DIGEST) as writer:
        if not is_shared:
            writer.write(DATA if "expected" in given else DATA[:1])
        with pytest.raises(FailedPreconditionError, match="opened with"):
            writer.commit(**given)  # type: ignore[arg-type]
    assert list(ns.content.walk()) == []


@pytest.mark.parametrize("known", [False, True])
def test_what_was_left_is_not_written_on_to(ns: Namespace, *, known: bool) -> None:
    for _ in range(2):
        with ns.content.writer("ref") as writer:
            writer.write(OTHER)
    with ns.content.writer("ref", expected=DIGEST if known else "") as writer:
        assert writer.status().offset == 0
        writer.write(DATA)
        writer.commit()
    assert [one.digest for one in ns.content.walk()] == [DIGEST]


def test_a_writer_goes_on_where_it_is_asked_to(ns: Namespace) -> None:
    with ns.content.writer("ref", expected=DIGEST) as writer:
        writer.write(DATA[:4])
    with ns.content.writer("ref", expected=DIGEST, resume=True) as writer:
        writer.write(DATA[writer.status().offset :])
        writer.commit()
    assert [one.digest for one in ns.content.walk()] == [DIGEST]


def test_the_error_says_how_many_older_bytes_there_were(ns: Namespace) -> None:
    with ns.content.writer("ref") as writer:
        writer.write(OTHER)
    for size in (0, len(DATA)):
        with ns.content.writer("ref", size=size, expected=DIGEST, resume=True) as writer:
            writer.write(DATA)
            with pytest.raises(FailedPreconditionError, match="began with 14 older bytes"):
                writer.commit()
            if not size:
                with ns.content.writer("ref", resume=True) as again:
                    again.truncate(len(b""))
                    again.write(OTHER)


def test_a_live_writer_is_not_begun_again(ns: Namespace) -> None:
    with ns.content.writer("ref") as writer:
        writer.write(DATA)
        for resume in (False, True):
            with pytest.raises(UnavailableError):
                ns.content.writer("ref", resume=resume)
        writer.commit()
    assert [one.digest for one in ns.content.walk()] == [DIGEST]


@pytest.mark.parametrize("left", [b"", OTHER, DATA[:3]])
def test_a_shared_blob_that_is_written_again_is_not_doubled(
    ns: Namespace, db: Database, left: bytes
) -> None:
    other = db.namespace("other")
    with other.content.writer("ref") as writer:
        writer.write(left)
    put(ns)
    with other.content.writer("ref", expected=DIGEST) as writer:
        writer.write(DATA[:2])
        writer.write(DATA[2:])
        writer.commit()
    with other.content.open(DIGEST) as blob:
        assert blob.read() == DATA


def test_a_shared_blob_that_is_truncated_keeps_nothing_older(ns: Namespace, db: Database) -> None:
    other = db.namespace("other")
    with other.content.writer("ref") as writer:
        writer.write(OTHER)
    put(ns)
    with other.content.writer("ref", expected=DIGEST) as writer:
        writer.truncate(0)
        assert writer.status().offset == 0
        writer.write(DATA)
        writer.commit()


def test_labels_of_a_commit_are_added_to_a_blob_that_is_there(ns: Namespace) -> None:
    put(ns, kept="1", changed="1")
    held = {f"{GC_REF_CONTENT}.0": digest_of(b"a"), f"{GC_REF_CONTENT}.1": digest_of(b"b")}
    for labels in (held, {f"{GC_REF_CONTENT}.0": digest_of(b"c"), "changed": "2", "empty": ""}):
        with ns.content.writer("again") as writer:
            writer.write(DATA)
            with pytest.raises(AlreadyExistsError):
                writer.commit(labels=labels)
    assert ns.content.info(DIGEST).labels == {
        **held,
        f"{GC_REF_CONTENT}.0/1": digest_of(b"c"),
        "kept": "1",
        "changed": "2",
    }


def test_what_a_commit_adds_to_a_blob_holds_what_it_names(ns: Namespace, db: Database) -> None:
    children = [put(ns, text) for text in (b"first", b"second", b"third")]
    with ns.lease():
        for child in children:
            with ns.content.writer("document") as writer:
                writer.write(DATA)
                if child == children[0]:
                    writer.commit(labels={GC_REF_CONTENT: child, "containerd.io/gc.root": "yes"})
                else:
                    with pytest.raises(AlreadyExistsError):
                        writer.commit(labels={GC_REF_CONTENT: child})
    db.gc.run()
    assert {one.digest for one in ns.content.walk()} == {DIGEST, *children}


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_committed_is_what_was_said(db: Database, seed: int) -> None:
    """A history of writers in two namespaces: a digest that was asked for is always right."""
    draw = random.Random(seed)
    blobs = [DATA, OTHER, DATA + OTHER]
    for _ in range(40):
        content = db.namespace(draw.choice(("one", "two"))).content
        data = draw.choice(blobs)
        ref, size = draw.choice(("a", "b")), draw.choice((0, len(data)))
        expected, resume = draw.choice(("", digest_of(data))), draw.random() < 0.4
        try:
            with content.writer(ref, size=size, expected=expected, resume=resume) as writer:
                kept = writer.status().offset if resume and draw.random() < 0.7 else 0
                end = draw.randint(kept, len(data)) if kept <= len(data) else kept
                writer.write(data[kept : draw.choice((end, len(data)))])
                if draw.random() < 0.7:
                    writer.commit()
        except (AlreadyExistsError, FailedPreconditionError):
            pass
        for info in content.walk():
            with content.open(info.digest) as blob:
                found = blob.read()
            assert (digest_of(found), len(found)) == (info.digest, info.size)
