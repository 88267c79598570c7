"""Other programs that use the root: the command line in its own process, a real containerd."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import orlop
from campaigns.world.archives import PLATFORMS
from campaigns.world.operations import import_change
from campaigns.world.processes import fork, join
from campaigns.world.records import CONTENT, IMAGE, Change, Node
from campaigns.world.state import NAMESPACES, RefusedError
from orlop import digests
from orlop.cli.main import main
from orlop.errors import UnavailableError
from real.daemon import Daemon
from storage.killing import arm

if TYPE_CHECKING:
    import random

    from campaigns.world.state import World


def command(world: World, rng: random.Random) -> None:
    """Run a command in a process, while a handle is open here or not; it may be killed."""
    if not world.clock.is_true:
        raise RefusedError
    if rng.random() < 0.7:
        world.close(rng)
    name, arguments, change = _choose_command(world, rng)
    death = rng.choice((None, rng.randrange(60), rng.randrange(200)))
    world.say(f"command {arguments}, dies: {death}, beside an open handle: {bool(world.database)}")

    def work() -> None:
        if death is not None:
            arm(death)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        with world.attempt(change):
            root = ["--root", str(world.root), "-n", name, "--timeout", "0.2"]
            code = main([*root, *arguments])
            if code:
                world.say(f"  exit code {code}")
                raise UnavailableError(f"exit code {code}")

    world.is_strained, was_strained = True, world.is_strained
    is_open = world.database is not None
    code = join(world, fork(world, work))
    world.is_strained = was_strained
    world.count("commands")
    world.count("kills", int(code != 0))
    world.settle()
    if not is_open and code == 0:
        assert world.log[-1][:11] != "  exit code" or not world.is_consistent or world.is_doubtful
    world.forget_collected()


def _choose_command(world: World, rng: random.Random) -> tuple[str, list[str], Change]:
    name = rng.choice(NAMESPACES)
    kind = rng.choice(("collect", "collect", "plan", "remove", "import"))
    if kind == "collect":
        return name, ["gc", "run", *rng.choice(([], ["--yes"]))], Change()
    if kind == "plan":
        return name, ["gc", "plan"], Change()
    if kind == "remove":
        node = world.some(rng, IMAGE)
        return node.namespace, ["image", "rm", node.key], Change(gone=frozenset({node}))
    archive, architecture = rng.choice(world.archives), rng.choice(PLATFORMS)
    arguments = ["image", "import", str(archive.path), "--platform", f"linux/{architecture}"]
    # The command leaves no lease in force, as a block of this process would.
    while world.blocks:
        world.end_block(-1)
    return name, arguments, import_change(world, name, archive, architecture, None)


def daemon(world: World, rng: random.Random) -> None:
    """Run a real containerd on the root, with collections of its own."""
    # It deletes what only older databases name: that is no fault of ours.
    if not (world.clock.is_true and world.is_consistent and not world.model.foreign):
        raise RefusedError
    world.close(rng)
    world.say("containerd works")
    world.count("daemons")
    world.is_doubtful = True
    with Daemon(world.root) as running:
        for _ in range(rng.choice((1, 2, 3))):
            _let_work(world, rng, running)
        running.collect()
        world.check()
    world.forget_collected()


def _let_work(world: World, rng: random.Random, running: Daemon) -> None:
    name, archive = rng.choice(NAMESPACES), rng.choice(world.archives)
    image = Node(name, IMAGE, archive.name)
    if image in world.model.records:
        world.say(f"  ctr image rm {name} {archive.name}")
        with world.attempt(Change(gone=frozenset({image}))):
            running.ctr("images", "rm", "--sync", archive.name, namespace=name)
    elif Node(name, CONTENT, archive.index) not in world.model.records:
        architecture = rng.choice(PLATFORMS)
        world.say(f"  ctr image import {name} {archive.name} {architecture}")
        platform = ("--platform", f"linux/{architecture}")
        with world.attempt(import_change(world, name, archive, architecture, None)):
            running.ctr("images", "import", "--no-unpack", *platform, archive.path, namespace=name)
    with orlop.open(world.root, read_only=True, clock=world.clock) as database:
        database.gc.plan()
    world.forget_collected()


def go_elsewhere(world: World, rng: random.Random) -> None:
    """Change the working directory to one in which there is another root of that name."""
    del rng
    world.say("the working directory changes")
    elsewhere = world.folder / "elsewhere"
    if not elsewhere.exists():
        elsewhere.mkdir()
        other = elsewhere / world.root.name
        with orlop.open(other, sync=False) as database:
            data = b"of another root"
            with database.namespace("a").content.writer("other") as writer:
                writer.write(data)
                writer.commit(expected=digests.from_bytes(data))
        world.other_root = {
            path: path.read_bytes()
            for path in other.rglob("*")
            if path.is_file() and "orlop" not in path.parent.name
        }
    world.open()
    os.chdir(elsewhere)
