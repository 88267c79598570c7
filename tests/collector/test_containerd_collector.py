"""The collector of containerd 1.6.20 and ours, on the same random databases.

1.6.20 does not know back references, conditions, references to images, images that expire and
images in leases: the worlds here keep to what it knows.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from whenever import Instant

from collector.settable import SettableClock
from collector.worlds import Record, worlds, write_world
from orlop import Database

pytestmark = pytest.mark.real("go", "bbolt", "containerd-go")

SOURCE = Path(__file__).parent / "go"
TIMEOUT_SECONDS = 300


@pytest.fixture(scope="module")
def containerd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the program beside this file, on the containerd that Debian packages."""
    program = tmp_path_factory.mktemp("containerd") / "collector"
    subprocess.run(
        ["go", "build", "-o", program, "."],
        cwd=SOURCE,
        env=os.environ | {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": ""},
        check=True,
        timeout=TIMEOUT_SECONDS,
    )
    return program


def left(program: Path, mode: str, file: Path) -> list[list[str]]:
    """Return the records of a database, after a collection by containerd if `mode` is `gc`."""
    done = subprocess.run(
        [program, mode, file],
        check=True,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        env=os.environ | {"TMPDIR": str(file.parent)},
    )
    records: list[list[str]] = json.loads(done.stdout)
    return records


def as_known_before(world: list[Record]) -> list[Record]:
    """Return a world without the features that 1.6.20 lacks."""
    return [
        replace(
            record,
            references=[
                one
                for one in record.references
                if one.kind == "ref" and one.target in {"content", "snapshot"}
            ],
            condition=None,
            used_ago=None,
            leased=[one for one in record.leased if one[0] != "images"],
            # It runs a little later than we write: nothing may expire just now.
            expires_in=None if record.type == "image" else (record.expires_in or None),
        )
        for record in world
        if record.type != "sandbox"
    ]


@settings(max_examples=60, deadline=None)
@given(world=worlds.map(as_known_before))
def test_containerd_leaves_what_we_leave(containerd: Path, world: list[Record]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "ours.db"), Path(folder, "theirs.db")
        with Database.open_file(ours, clock=SettableClock(Instant.now())) as database:
            write_world(database, world, database.clock.now())
            shutil.copy(ours, theirs)
            database.gc.run()
        expected = left(containerd, "gc", theirs)
        assert left(containerd, "list", ours) == expected
        # And it has nothing to add to what we did.
        assert left(containerd, "gc", ours) == expected
