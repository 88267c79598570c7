"""Work on an older database leaves the data alone that a newer one may have named."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import orlop
from safety.roots import METADATA

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop import Database

ROOTED = {"containerd.io/gc.root": "x"}
EXAMPLE = Path(__file__).parents[2] / "examples" / "greeting.tar"


class Roots:
    """A root with `meta.db` restored to an older version, and then to the newest."""

    def __init__(self, folder: Path, snapshotter: str = "native") -> None:
        self.root = folder / "root"
        self.snapshotter = snapshotter
        self._meta = self.root / METADATA / "meta.db"
        self._copies = folder

    def use(self, function: Callable[[Database], object], *, begin_anew: bool = False) -> None:
        with orlop.open(self.root, sync=False, begin_anew=begin_anew) as database:
            function(database)

    def copy(self, name: str) -> None:
        shutil.copy2(self._meta, self._copies / name)

    def put_back(self, name: str) -> None:
        shutil.copy2(self._copies / name, self._meta)

    def lose(self) -> None:
        self._meta.unlink()

    def make(self, database: Database, key: str, text: str) -> None:
        store = database.namespace("default").snapshots(self.snapshotter)
        mounts = store.prepare(f"{key}-active", "", ROOTED)
        _directory(mounts[0]).joinpath("file").write_text(text)
        store.commit(key, f"{key}-active", ROOTED)

    def text(self, database: Database, key: str) -> str:
        store = database.namespace("default").snapshots(self.snapshotter)
        mounts = store.view(f"{key}-view", key)
        text = _directory(mounts[0]).joinpath("file").read_text()
        store.remove(f"{key}-view")
        return text


def _directory(mount: orlop.Mount) -> Path:
    options = dict(one.partition("=")[::2] for one in mount.options)
    return Path(options.get("upperdir") or options.get("lowerdir") or mount.source)


@pytest.fixture(params=["native", "overlayfs"])
def roots(tmp_path: Path, request: pytest.FixtureRequest) -> Roots:
    """Return a root of which there is an older `meta.db`, and a newest that names more."""
    roots = Roots(tmp_path, request.param)
    roots.use(lambda database: roots.make(database, "base", "base"))
    roots.copy("older")
    return roots


@pytest.mark.parametrize("collects", [False, True])
def test_a_commit_of_the_same_name_leaves_the_other_snapshot(
    roots: Roots, *, collects: bool
) -> None:
    roots.use(lambda database: roots.make(database, "c", "precious"))
    roots.copy("newest")
    roots.put_back("older")

    def work(database: Database) -> None:
        if collects:
            assert database.gc.run().set_aside
        roots.make(database, "c", "another")
        assert roots.text(database, "c") == "another"

    roots.use(work)
    roots.put_back("newest")

    def check(database: Database) -> None:
        assert not database.faults()
        assert roots.text(database, "c") == "precious"

    roots.use(check)


def test_a_commit_that_is_rolled_back_leaves_the_other_snapshot(roots: Roots) -> None:
    roots.use(lambda database: roots.make(database, "c", "precious"))
    roots.copy("newest")
    roots.put_back("older")

    def roll_back(database: Database) -> None:
        with database.update():
            roots.make(database, "c", "another")
            raise ZeroDivisionError

    def work(database: Database) -> None:
        store = database.namespace("default").snapshots(roots.snapshotter)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                roll_back(database)
            if "c-active" in {one.name for one in store.walk()}:
                store.remove("c-active")
        database.gc.run()
        roots.make(database, "d", "d")
        roots.make(database, "c", "another")

    roots.use(work)
    roots.put_back("newest")
    roots.use(lambda database: _same(roots.text(database, "c"), "precious"))


def _same(one: str, other: str) -> None:
    assert one == other


def test_an_image_that_is_imported_again_leaves_its_earlier_snapshots(tmp_path: Path) -> None:
    roots = Roots(tmp_path)
    roots.use(lambda database: roots.make(database, "base", "base"))
    roots.copy("older")

    def bring(database: Database) -> None:
        orlop.oci.import_image(database.namespace("default"), EXAMPLE, unpack="native")

    roots.use(bring)
    roots.copy("newest")
    roots.put_back("older")
    roots.use(bring)
    roots.put_back("newest")
    roots.use(lambda database: _same(str(database.faults()), "{}"))


@pytest.mark.parametrize("begins_anew", [False, True])
@pytest.mark.parametrize("collects", [False, True])
@pytest.mark.parametrize("resume", [False, True])
def test_a_writer_of_the_same_reference_leaves_the_other_ingest(
    tmp_path: Path, *, begins_anew: bool, collects: bool, resume: bool
) -> None:
    roots = Roots(tmp_path)
    roots.use(lambda database: roots.make(database, "base", "base"))
    roots.copy("older")

    def upload(database: Database, data: bytes, *, resume: bool) -> None:
        content = database.namespace("default").content
        with content.writer("upload", resume=resume) as writer:
            writer.write(data)

    roots.use(lambda database: upload(database, b"x" * 1000, resume=False))
    roots.copy("newest")
    if begins_anew:
        roots.lose()
    else:
        roots.put_back("older")

    def work(database: Database) -> None:
        if collects:
            database.gc.run()
        upload(database, b"y" * 10, resume=resume)
        assert database.namespace("default").content.status("upload").offset == 10
        database.namespace("default").content.abort("upload")
        database.gc.run()

    roots.use(work, begin_anew=begins_anew)
    roots.put_back("newest")

    def check(database: Database) -> None:
        assert database.namespace("default").content.status("upload").offset == 1000

    roots.use(check)
