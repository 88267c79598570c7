"""A foreign database in the place of a snapshotter's: refused where needed, and kept."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.players import METADATA, OVERLAY
from orlop.bolt import open_engine
from orlop.cli.exit_codes import PRECONDITION

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.players import Orlop

NATIVE = Path("io.containerd.snapshotter.v1.native", "metadata.db")


def copy_of_today(meta_db: Path, file: Path) -> None:
    """Put the root's `meta.db` there."""
    shutil.copy(meta_db, file)


def bucket_of_another(_: Path, file: Path) -> None:
    """Make a database of another program."""
    with_buckets(file, [b"jobs"])


def oldest_form(_: Path, file: Path) -> None:
    """Make a `meta.db` as the first versions wrote it, without a version."""
    with_buckets(file, [b"v1", b"default"])


def both_in_one(meta_db: Path, file: Path) -> None:
    """Make a copy of `meta.db` with the snapshotter's buckets that containerd would add to it."""
    shutil.copy(meta_db, file)
    with closing(open_engine(file)) as engine, engine.begin(writable=True) as transaction:
        schema = transaction.root.bucket(b"v1")
        assert schema is not None
        schema.create_bucket(b"snapshots")
        schema.create_bucket(b"parents")


def with_buckets(file: Path, path: list[bytes]) -> None:
    file.unlink()
    with closing(open_engine(file)) as engine, engine.begin(writable=True) as transaction:
        bucket = transaction.root
        for name in path:
            bucket = bucket.create_bucket(name)


NEED_IT = [
    "snapshot ls",
    "snapshot usage",
    "snapshot prepare new --snapshotter {name}",
    "snapshot mounts {key} --snapshotter {name}",
    "image import {archive} --unpack {name} --quiet",
    "image unpack example.com/greeting:v1 --snapshotter {name} --quiet",
    "gc plan",
    "gc run",
    "gc run --release --yes",
]


@pytest.mark.parametrize("make", [copy_of_today, bucket_of_another, oldest_form, both_in_one])
@pytest.mark.parametrize("which", [NATIVE, OVERLAY], ids=lambda path: path.parent.suffix)
def test_another_database_in_the_place_of_a_snapshotters_is_refused_and_kept(
    orlop: Orlop, greeting: Path, make: Callable[[Path, Path], None], which: Path
) -> None:
    name = which.parent.suffix[1:]
    orlop("image", "import", greeting, "--quiet", "--unpack", name)
    key = orlop("snapshot", "ls", "--json").objects()[-1]["name"]
    file = orlop.root / which
    make(orlop.root / METADATA, file)
    contents, directories = orlop("db", "dump", file).raw, sorted(file.parent.glob("snapshots/*"))

    for command in NEED_IT:
        line = command.format(name=name, key=key, archive=greeting)
        answer = orlop(*line.split(), code=PRECONDITION)
        for part in (str(file), "belongs there", "backup"):
            assert part in answer.err, answer.err

    assert orlop("db", "dump", file).raw == contents
    assert sorted(file.parent.glob("snapshots/*")) == directories
    assert len(orlop("snapshot", "ls", "--json", code=PRECONDITION).lines) == 0
    for line in ("image ls", "roots", "content ls", "lease create"):  # they need none of it
        orlop(*line.split())
