"""Any file type in the place of Orlop's own small files: no hang, and no lost data."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import orlop
from safety.roots import CONTENT, METADATA, NATIVE, add, is_there

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS_MAX: Final = 30

SMALL_FILES: Final = (
    f"{METADATA}/orlop/period.json",
    f"{METADATA}/orlop/quarantine.json",
    f"{METADATA}/orlop/journal.jsonl",
    f"{CONTENT}/.orlop/witness.json",
    f"{CONTENT}/.orlop/suspects.json",
    f"{NATIVE}/.orlop/witness.json",
    f"{NATIVE}/.orlop/suspects.json",
    f"{NATIVE}/.orlop/commits/1.json",
    # Temporary names, by which these files are replaced.
    f"{METADATA}/orlop/period.json.tmp",
    f"{METADATA}/orlop/quarantine.json.tmp",
    f"{CONTENT}/.orlop/witness.json.tmp",
    f"{NATIVE}/.orlop/witness.json.tmp",
)

ODD: Final[dict[str, Callable[[Path], object]]] = {
    "missing": lambda _: None,
    "a pipe": os.mkfifo,
    "a directory": Path.mkdir,
    "a dangling link": lambda path: path.symlink_to("nowhere"),
    "empty": lambda path: path.write_bytes(b""),
    "deep": lambda path: path.write_bytes(b"[" * 100_000),
    "null": lambda path: path.write_bytes(b"null"),
    "a list": lambda path: path.write_bytes(b"[[1, 2, 3]]"),
    "no UTF-8": lambda path: path.write_bytes(b'{"period": "\xff\xfe"}'),
    "huge numbers": lambda path: path.write_bytes(
        b'{"version": 1e999, "ctime_ns": 1e999, "size": -1e999, "stamp": "", "pending": "",'
        b'"session": "", "boot": "", "is_open": 1, "device": 1e999, "inode": 1e999, "doubt": "",'
        b'"has_suspects": 0, "set_aside": [{"kind": 1, "name": 2, "snapshotter": 3, "bytes": 1e999,'
        b'"since": 7, "why": {}}], "suspects": 1e999, "period": 1e999, "at": 1e999, "key": 7,'
        b'"labels": 1e999, "active": 1e999, "parent": 1, "name": 1}'
    ),
}


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS_MAX)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def make_root(root: Path) -> None:
    """Make a root in which each small file exists."""
    with orlop.open(root, sync=False) as database:
        add(database, "kept")
        add(database, "aside")
    meta = root / METADATA / "meta.db"
    shutil.copy2(meta, meta.with_suffix(".copy"))
    meta.with_suffix(".copy").rename(meta)
    with orlop.open(root, sync=False) as database:
        ns = database.namespace("default")
        ns.snapshots("native").remove("aside")
        with ns.content.writer("garbage") as writer:
            writer.write(b"garbage")
            writer.commit()
        database.gc.run(confirmed=True)
    (root / NATIVE / ".orlop/commits").mkdir(exist_ok=True)
    (root / NATIVE / ".orlop/commits/1.json").write_text("{}")
    assert all((root / name).exists() for name in SMALL_FILES if not name.endswith(".tmp"))


def use(root: Path) -> None:
    """Open a root and ask all that reads the small files; refusals are answers."""
    with orlop.open(root, sync=False) as database:
        for ask in (
            database.gc.plan,
            database.gc.quarantine,
            lambda: database.gc.run(confirmed=True),
            lambda: list(database.gc.journal.entries()) if database.gc.journal else None,
        ):
            with contextlib.suppress(orlop.OrlopError):
                ask()
        store = database.namespace("default").snapshots("native")
        with contextlib.suppress(orlop.OrlopError):
            store.prepare("made", "")
            store.commit("done", "made")


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", SMALL_FILES)
def test_odd_small_files(tmp_path: Path, name: str, odd: str) -> None:
    make_root(tmp_path)
    (tmp_path / name).unlink(missing_ok=True)
    ODD[odd](tmp_path / name)
    with in_time():
        use(tmp_path)
        use(tmp_path)
        with orlop.open(tmp_path, read_only=True) as database:
            database.gc.plan()
    assert is_there(tmp_path, "kept") == []
