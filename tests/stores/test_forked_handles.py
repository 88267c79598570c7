"""A forked child neither keeps the lock of its parent nor changes anything that belongs to it."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

import orlop
from orlop.errors import FailedPreconditionError, UnavailableError
from orlop.oci.progress import Silent
from stores.forking import in_child, living_child, tree_state

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from orlop import Database
    from orlop.oci.progress import Work

TIMEOUT = 5.0
IMAGE = "examples/greeting.tar"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    with orlop.open(root) as db:
        ns = db.namespace("testing")
        with ns.content.writer("left") as writer:
            writer.write(b"half a blob")
        orlop.oci.import_image(ns, IMAGE, unpack="native")
        ns.images.delete("example.com/greeting:v1")
    return root


def used(root: Path, *, read_only: bool = False) -> Database:
    """Return a handle that has all of its files open."""
    db = orlop.open(root, read_only=read_only)
    ns = db.namespace("testing")
    assert list(ns.snapshots("native").walk())
    assert list(ns.content.walk())
    return db


def test_a_child_that_lives_on_does_not_keep_the_lock(root: Path) -> None:
    db = used(root)
    with living_child():
        db.close()
        used_again = used(root)
        used_again.gc.run()
        used_again.close()


def test_a_child_of_a_child_does_not_keep_the_lock(root: Path) -> None:
    db = used(root)
    reading, writing = os.pipe()
    if os.fork() == 0:
        if os.fork() == 0:
            os.close(writing)
            os.read(reading, 1)
        os._exit(0)
    os.wait()
    os.close(reading)
    db.close()
    orlop.open(root, timeout=TIMEOUT).close()
    os.close(writing)


def test_a_worker_of_multiprocessing_does_not_keep_the_lock(root: Path) -> None:
    context = multiprocessing.get_context("fork")
    db = used(root)
    may_end = context.Event()
    worker = context.Process(target=may_end.wait, args=(TIMEOUT * 4,))
    worker.start()
    db.close()
    orlop.open(root, timeout=TIMEOUT).close()
    may_end.set()
    worker.join()


def test_a_program_that_inherits_descriptors_does_not_keep_the_lock(root: Path) -> None:
    db = used(root)
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False
    ) as process:
        db.close()
        orlop.open(root, timeout=TIMEOUT).close()
        process.communicate(b"\n")


def test_the_parent_keeps_its_lock_when_the_child_ends(root: Path) -> None:
    db = used(root)
    assert in_child(lambda: 1) == 1
    script = "import orlop, sys; orlop.open(sys.argv[1], timeout=0)"
    done = subprocess.run(
        [sys.executable, "-c", script, root], capture_output=True, text=True, check=False
    )
    assert f"is locked by process {os.getpid()} (" in done.stderr
    db.close()


def test_a_child_is_told_that_its_parent_has_the_lock(root: Path) -> None:
    parent = os.getpid()
    with used(root), pytest.raises(UnavailableError, match=f"is locked by process {parent} "):
        _raise(in_child(lambda: _error_of(lambda: orlop.open(root, timeout=0))))


def test_a_child_may_open_the_database_for_itself(root: Path) -> None:
    db = used(root)
    with living_child():
        db.close()

    def work() -> int:
        with orlop.open(root, timeout=TIMEOUT) as own:
            own.namespace("testing").leases.create("of the child")
            return len(own.namespace("testing").leases.list())

    assert in_child(work) == 1
    with used(root, read_only=True), living_child():
        assert in_child(lambda: len(used(root, read_only=True).namespaces.list())) == 1


def _raise(error: BaseException) -> None:
    raise error


def _error_of(work: Callable[[], object]) -> object:
    try:
        work()
    except FailedPreconditionError as error:
        return error
    except UnavailableError as error:
        return error
    return "no error"


def uses(db: Database) -> dict[str, Callable[[], object]]:
    """Return the operations that a child tries with its parent's handle, by name."""
    ns = db.namespace("testing")
    native, content = db.snapshot_backends["native"], db.content_backend
    digest = next(iter(ns.content.walk())).digest
    snapshot = next(iter(ns.snapshots("native").walk())).name
    calls: dict[str, Callable[[], object]] = {
        "images.list": ns.images.list,
        "images.delete": partial(ns.images.delete, "none"),
        "leases.create": partial(ns.leases.create, "another"),
        "lease": lambda: ExitStack().enter_context(ns.lease()),
        "content.info": partial(ns.content.info, digest),
        "content.open": partial(ns.content.open, digest),
        "content.delete": partial(ns.content.delete, digest),
        "content.writer": partial(ns.content.writer, "left", resume=True),
        "content.abort": partial(ns.content.abort, "left"),
        "snapshots.list": lambda: list(ns.snapshots("native").walk()),
        "snapshots.prepare": partial(ns.snapshots("native").prepare, "new", snapshot),
        "snapshots.remove": partial(ns.snapshots("native").remove, snapshot),
        "overlayfs": partial(ns.snapshots("overlayfs").prepare, "new", ""),
        "import": partial(orlop.oci.import_image, ns, IMAGE),
        "view": lambda: ExitStack().enter_context(db.view()),
        "update": lambda: ExitStack().enter_context(db.update()),
        "namespaces": db.namespaces.list,
        "gc.plan": lambda: db.gc.plan(),  # noqa: PLW0108 -- to ask for it is a use, too
        "backend.stat": partial(native.stat, snapshot),
    }
    if not db.read_only:
        calls |= {
            "gc.run": db.gc.run,
            "migrate": db.migrate,
            "backend.prepare": partial(native.prepare, "new", ""),
            "backend.remove": partial(native.remove, snapshot),
            "backend.discard": partial(native.discard, [snapshot]),
            "backend.cleanup": native.cleanup,
            "content backend.writer": partial(content.writer, "new"),
            "content backend.delete": partial(content.delete, digest),
            "content backend.discard": partial(content.discard, digest),
            "content backend.abort": partial(content.abort, "left"),
            "content backend.cleanup": content.cleanup,
        }
    return calls


@pytest.mark.parametrize("read_only", [False, True])
def test_a_child_is_refused_every_use_of_the_handle_and_changes_nothing(
    root: Path, *, read_only: bool
) -> None:
    db = used(root, read_only=read_only)
    calls = uses(db)
    before = tree_state(root)

    def try_all() -> dict[str, object]:
        return {name: _error_of(call) for name, call in calls.items()}

    errors = in_child(try_all)
    assert tree_state(root) == before
    for name, error in errors.items():
        assert isinstance(error, FailedPreconditionError), (name, error)
        if not (read_only and "opened read-only" in str(error)):
            assert f"opened by process {os.getpid()}, of which process" in str(error), (name, error)
    assert list(db.namespace("testing").content.walk())
    db.close()


def test_a_child_closes_without_the_threads_of_its_parent(root: Path) -> None:
    db = used(root)
    db.gc.schedule().request().wait(TIMEOUT)
    with db.namespace("testing").lease():

        def close() -> float:
            began = time.monotonic()
            db.close()
            return time.monotonic() - began

        assert in_child(close) < 1
    db.close()


def test_a_child_that_leaves_the_blocks_of_its_parent_changes_nothing(root: Path) -> None:
    with ExitStack() as blocks:
        db = blocks.enter_context(used(root))
        ns = db.namespace("testing")
        blocks.enter_context(ns.lease("block", expires=timedelta(hours=1)))
        writer = blocks.enter_context(ns.content.writer("new"))
        writer.write(b"some ")
        db.content_backend.writer("raw").write(b"raw")
        blocks.enter_context(db.update())
        ns.leases.create("in the update")
        before = tree_state(root)

        def leave() -> None:
            assert isinstance(_error_of(lambda: writer.write(b"wrong")), FailedPreconditionError)
            assert isinstance(_error_of(writer.commit), FailedPreconditionError)
            with suppress(SystemExit), blocks:
                raise SystemExit

        assert in_child(leave) is None
        assert tree_state(root) == before
        blocks.pop_all().close()
    with orlop.open(root, timeout=TIMEOUT) as db:
        ns = db.namespace("testing")
        assert [lease.id for lease in ns.leases.list()] == ["in the update"]
        with ns.content.writer("new", resume=True) as writer:
            writer.write(b"data")
            writer.commit()
            assert ns.content.info(writer.digest()).size == len(b"some data")


def test_a_child_that_ends_amid_an_import_changes_nothing(root: Path) -> None:
    states: list[Any] = []

    class Forking(Silent):
        """Forks at every step; the child leaves all blocks of the import by SystemExit."""

        def started(self, work: Work) -> None:
            self.advanced(work, 0)

        def advanced(self, work: Work, done: int) -> None:
            del work, done
            before = tree_state(root)
            child = os.fork()
            if child == 0:
                raise SystemExit
            os.waitpid(child, 0)
            states.append(before == tree_state(root))

    home = os.getpid()
    db = used(root)
    db.gc.run()
    try:
        orlop.oci.import_image(db.namespace("testing"), IMAGE, unpack="native", progress=Forking())
    except SystemExit:
        with suppress(BaseException):
            db.close()
    finally:
        if os.getpid() != home:
            os._exit(0)
    db.gc.run()
    db.close()
    assert states
    assert all(states)


def test_a_child_that_ends_while_a_directory_is_filled_leaves_it(root: Path) -> None:
    home = os.getpid()
    with used(root) as db:
        directories = db.snapshot_backends["native"]._directories  # type: ignore[attr-defined]

        def fill(directory: Path) -> None:
            child = os.fork()
            if child == 0:
                raise SystemExit
            os.waitpid(child, 0)
            assert directory.is_dir()

        try:
            with directories.new(fill):
                pass
        except SystemExit:
            assert os.getpid() != home
            os._exit(0)
