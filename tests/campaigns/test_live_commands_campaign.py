"""Every reading command beside a process that writes: no error, no false alarm, whole answers.

A real containerd imports and removes an image, with leases in between, and keeps another one; and
a process of ours commits as fast as it can, or to a large file several times a second.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bolt.large_files import multiply
from campaigns.seeds import is_long, seeds
from campaigns.test_live_campaign import busy, daemon, image
from cli.players import METADATA, Answer, Orlop
from orlop import Database, Descriptor, Image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from campaigns.tally import Tally
    from real.daemon import Daemon
    from real.images import RealImage

__all__ = ["busy", "daemon", "image"]

ROUNDS_SHORT, ROUNDS_LONG = 3, 100
PROCESS_EVERY = 40
KEPT = "example.com/kept:v1"
WRITER = Path(__file__).with_name("committing_writer.py")

LISTINGS: tuple[tuple[str, ...], ...] = (
    ("image", "ls"),
    ("content", "ls"),
    ("content", "ingests"),
    ("snapshot", "ls"),
    ("snapshot", "tree"),
    ("snapshot", "usage"),
    ("container", "ls"),
    ("sandbox", "ls"),
    ("lease", "ls"),
    ("namespace", "ls"),
    ("gc", "plan"),
    ("gc", "plan", "-v"),
    ("gc", "quarantine"),
    ("gc", "journal"),
    ("roots",),
    ("roots", "--dangling"),
)
FILES: tuple[tuple[str, ...], ...] = (
    ("db", "info"),
    ("db", "tree"),
    ("db", "dump"),
    ("db", "check"),
    ("db", "pages"),
    ("db", "stats"),
)


def questions(name: str, blob: str) -> tuple[tuple[str, ...], ...]:
    """Return the commands about one image that is there all the time."""
    return (
        ("image", "inspect", name),
        ("namespace", "inspect", "default"),
        ("content", "verify", blob),
        ("content", "cat", blob),
        ("why", f"image:{name}"),
        ("why", blob),
        ("referrers", blob),
        ("gc", "plan", "--without", f"image:{name}"),
    )


def assert_answered(answer: Answer, command: tuple[str, ...]) -> None:
    assert answer.code == 0, f"{command}: {answer.code}, {answer.err or answer.raw[-500:]!r}"
    assert "could not be read" not in answer.err, answer.err
    if "--json" in command:
        for line in answer.lines:
            json.loads(line)


def ask_all(
    orlop: Orlop, commands: list[tuple[str, ...]], folder: Path, seed: random.Random, tally: Tally
) -> None:
    """Run each command once, in another order each time, now and then in a process of its own."""
    seed.shuffle(commands)
    for number, command in enumerate(commands):
        if command[-1] != "--json" and command[:2] != ("content", "cat") and seed.random() < 0.5:
            command = (*command, "--json")  # noqa: PLW2901 (the same command in its other form)
        if seed.randrange(PROCESS_EVERY) == 0:
            done = orlop.started(*command)
            answer = Answer(done.returncode, done.stdout, done.stderr.decode())
            tally.add("of them in a process of their own")
        else:
            answer = orlop.ended(*command)
        assert_answered(answer, command)
        tally.add("commands")
        if number % 10 == 0:
            copy = folder / f"{time.monotonic_ns()}.db"
            assert_answered(orlop.ended("db", "backup", copy), ("db", "backup"))
            assert orlop.ended("db", "diff", copy, orlop.root / METADATA).code in {0, 1}
            assert_answered(orlop.ended("db", "check", copy), ("db", "check"))
            copy.unlink()
            tally.add("commands", 3)


def rounds() -> int:
    return ROUNDS_LONG if is_long() else ROUNDS_SHORT


@pytest.mark.real("bbolt", "busybox", "containerd", "ctr", "go", "skopeo", "umoci")
@pytest.mark.root
@pytest.mark.parametrize("seed_number", seeds(short=1, long=10))
def test_commands_beside_a_daemon(
    busy: Daemon, image: RealImage, tmp_path: Path, seed_number: int, tally: Tally
) -> None:
    while busy.try_ctr("images", "tag", image.name, KEPT).returncode:
        time.sleep(0.05)  # the image is removed and imported all the time
    [digest] = [row[2] for row in busy.rows("images", "ls") if row[0] == KEPT]
    orlop = Orlop(busy.root)
    commands = [*LISTINGS, *FILES, *questions(KEPT, digest)]
    seed = random.Random(seed_number)
    for _ in range(rounds()):
        ask_all(orlop, commands, tmp_path, seed, tally)


@pytest.fixture
def filled(tmp_path: Path) -> Orlop:
    """Return the command line, on a root with an image."""
    orlop = Orlop(tmp_path / "root")
    archive = Path(__file__).parents[2] / "examples" / "greeting.tar"
    orlop("image", "import", archive, "--unpack", "native", "--quiet")
    return orlop


class Writer:
    """A process that commits so many times a second; 0: as often as it can."""

    def __init__(self, path: Path, rate: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, WRITER, path, str(rate)], stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.mark.parametrize("seed_number", seeds(short=1, long=10))
def test_commands_beside_a_fast_writer(
    filled: Orlop, tmp_path: Path, seed_number: int, tally: Tally
) -> None:
    [one] = filled("image", "ls", "--json").objects()
    name, digest = one["name"], one["target"]["digest"]
    commands = [*LISTINGS, *FILES, *questions(name, digest)]
    seed = random.Random(seed_number)
    with Writer(filled.root / METADATA, 0):
        for _ in range(rounds()):
            ask_all(filled, commands, tmp_path, seed, tally)


def large_root(root: Path, times: int) -> None:
    """Make a root with many namespaces of a thousand images each in its database."""
    small = root / "small.db"
    (root / METADATA).parent.mkdir(parents=True)
    with Database.open_file(small, sync=False) as database, database.update():
        images = database.namespace("default").images
        for number in range(1000):
            digest = f"sha256:{number:064x}"
            target = Descriptor(media_type="application/x", digest=digest, size=1)
            images.create(Image(name=f"example.com/{number:05d}:v1", target=target))
    multiply(small, root / METADATA, times)


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Orlop]:
    """Return the command line, on a root with a database that takes seconds to read."""
    orlop = Orlop(tmp_path / "root")
    large_root(orlop.root, 100 if is_long() else 20)
    yield orlop
    (orlop.root / METADATA).unlink()


def test_commands_on_a_large_file_beside_a_writer(large: Orlop, tally: Tally) -> None:
    """Many objects, and several commits while each command runs: still answered."""
    commands = [("gc", "plan"), ("roots",), ("image", "ls"), ("db", "check"), ("db", "stats")]
    commands += [("db", "dump"), ("why", "example.com/00001:v1")]
    with Writer(large.root / METADATA, 5):
        for _ in range(10 if is_long() else 1):
            for command in commands:
                answer = large.ended("--timeout", "300", *command)
                assert_answered(answer, command)
                tally.add("commands on a large file")
