"""Two roots that share a backend's directory: neither deletes data that the other has named."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

import pytest

import orlop
from orlop.errors import OrlopError
from safety.roots import CONTENT, NATIVE, add, is_there

if TYPE_CHECKING:
    from pathlib import Path


def collect(root: Path) -> None:
    with contextlib.suppress(OrlopError), orlop.open(root, sync=False) as database:
        database.gc.run(confirmed=True)


def attempt(database: orlop.Database, name: str) -> list[str]:
    """Add data; return its name, if that was acknowledged."""
    with contextlib.suppress(OrlopError):
        add(database, name)
        return [name]
    return []


@pytest.fixture
def roots(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """Return two roots, of which the second is a copy, with one directory in common."""
    one, other = tmp_path / "one", tmp_path / "other"
    backend = request.param
    one.mkdir()
    (tmp_path / "common").mkdir(0o700)
    (one / backend).symlink_to(tmp_path / "common")
    with orlop.open(one, sync=False) as database:
        add(database, "old")
    shutil.copytree(one, other, symlinks=True)
    return one, other


BACKENDS = pytest.mark.parametrize("roots", [CONTENT, NATIVE], indirect=True)


@BACKENDS
def test_what_was_acknowledged_stays(roots: tuple[Path, Path]) -> None:
    one, other = roots
    database = orlop.open(one, sync=False)
    named = attempt(database, "before")
    collect(other)
    named += attempt(database, "after")
    for _ in range(2):
        collect(other)
    assert [what for name in named for what in is_there(one, name)] == []
    with contextlib.suppress(OrlopError):
        database.gc.run(confirmed=True)
    database.close()
    for _ in range(3):
        collect(other)
        collect(one)
    assert [what for name in ["old", *named] for what in is_there(one, name)] == []


@BACKENDS
def test_a_handle_whose_data_another_root_works_with_writes_no_more(
    roots: tuple[Path, Path],
) -> None:
    one, other = roots
    with orlop.open(one, sync=False) as database:
        assert attempt(database, "before") == ["before"]
        collect(other)
        assert attempt(database, "after") == []
        with pytest.raises(OrlopError, match="replaced"):
            database.namespace("default").leases.create("after")


@BACKENDS
def test_the_last_root_is_whole_with_one_release(roots: tuple[Path, Path]) -> None:
    """Once only one root works with the data, it is in doubt once, and no more."""
    one, other = roots
    collect(other)
    for _ in range(2):
        collect(one)
    with orlop.open(one, sync=False) as database:
        assert database.gc.plan().doubt is None
        add(database, "new")
    collect(one)
    assert is_there(one, "old") + is_there(one, "new") == []
