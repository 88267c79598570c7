"""Calls in which metadata and a backend change together, each with where it begins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stores.blobs import DATA, digest_of, put

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop import Database

LEASE = "holds all"
DIGEST = digest_of(DATA)


@dataclass(frozen=True)
class Step:
    """A call, and the records that may lack their data if it is interrupted."""

    name: str
    run: Callable[[Database, str], None]
    backend: str
    lost: frozenset[str] = frozenset()


def begin(db: Database) -> None:
    """Create the records that the calls use; a lease keeps them from every collection."""
    ns = db.namespace("testing")
    ns.leases.create(LEASE)
    with ns.using_lease(LEASE):
        for snapshotter in db.snapshot_backends:
            store = ns.snapshots(snapshotter)
            (mount,) = store.prepare("base-active")
            Path(mount.source, "file").write_bytes(b"base")
            store.commit("base", "base-active")
            store.prepare("active")
        put(ns, b"a blob that is there")
        with ns.content.writer("ref") as writer:
            writer.write(DATA[:4])


def _prepare(db: Database, snapshotter: str) -> None:
    db.namespace("testing").snapshots(snapshotter).prepare("new", "base")


def _view(db: Database, snapshotter: str) -> None:
    db.namespace("testing").snapshots(snapshotter).view("new", "base")


def _commit(db: Database, snapshotter: str) -> None:
    db.namespace("testing").snapshots(snapshotter).commit("new", "active")


def _remove(db: Database, snapshotter: str) -> None:
    db.namespace("testing").snapshots(snapshotter).remove("active")


def _open(db: Database, _: str) -> None:
    db.namespace("testing").content.writer("another").close()


def _write(db: Database, _: str) -> None:
    with db.namespace("testing").content.writer("ref") as writer:
        writer.write(DATA[4:])


def _commit_content(db: Database, _: str) -> None:
    with db.namespace("testing").content.writer("ref") as writer:
        writer.truncate(0)
        writer.write(DATA)
        writer.commit(size=len(DATA), expected=DIGEST)


def _abort(db: Database, _: str) -> None:
    db.namespace("testing").content.abort("ref")


def _collect(db: Database, _: str) -> None:
    ns = db.namespace("testing")
    ns.content.delete(digest_of(b"a blob that is there"))
    ns.snapshots("native").remove("active")
    ns.snapshots("overlayfs").remove("base")
    db.gc.run()


SNAPSHOT_STEPS = [
    Step("prepare", _prepare, "prepare"),
    Step("view", _view, "view"),
    Step("commit", _commit, "commit"),
    Step("remove", _remove, ""),
]
CONTENT_STEPS = [
    Step("open", _open, "writer"),
    Step("write", _write, "write"),
    Step("commit", _commit_content, "commit", lost=frozenset({"ref"})),
    Step("abort", _abort, "abort", lost=frozenset({"ref"})),
]
COLLECTION = Step("collect", _collect, "")
