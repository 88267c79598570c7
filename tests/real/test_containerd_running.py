"""Orlop beside a containerd that runs: it reads and never disturbs, and does not write."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

import orlop
from orlop.errors import UnavailableError
from real.command_line import orlop as run_orlop

if TYPE_CHECKING:
    from real.daemon import Daemon
    from real.images import RealImage

pytestmark = [
    pytest.mark.real("busybox", "containerd", "ctr", "skopeo", "umoci"),
    pytest.mark.root,
]


def test_it_reads_what_the_daemon_has_just_written(daemon: Daemon, image: RealImage) -> None:
    with daemon, orlop.open(daemon.root, read_only=True) as database:
        ns = database.namespace("default")
        assert ns.images.list() == []
        daemon.ctr("images", "import", image.oci_archive)
        assert [one.name for one in ns.images.list()] == [image.name]
        daemon.ctr("images", "rm", image.name)
        assert ns.images.list() == []


def test_it_reads_while_the_daemon_writes(daemon: Daemon) -> None:
    rounds = 40
    with daemon, orlop.open(daemon.root, read_only=True) as database:
        ns = database.namespace("default")

        def write() -> None:
            for number in range(rounds):
                daemon.ctr("leases", "create", "--id", f"lease-{number:03}")

        writer = threading.Thread(target=write)
        writer.start()
        seen = []
        while writer.is_alive():
            seen.append([lease.id for lease in ns.leases.list()])
        writer.join()
        seen.append([lease.id for lease in ns.leases.list()])

        assert daemon.complaints() == []
    # Each answer is a state that there was: the first so many leases, never fewer than before.
    assert all(ids == [f"lease-{number:03}" for number in range(len(ids))] for ids in seen)
    assert [len(ids) for ids in seen] == sorted(len(ids) for ids in seen)
    assert len(seen[-1]) == rounds


def test_it_does_not_write_and_names_who_holds_the_lock(daemon: Daemon) -> None:
    with daemon:
        with pytest.raises(UnavailableError, match="containerd"):
            orlop.open(daemon.root, timeout=0.2)

        done = run_orlop("--root", daemon.root, "--timeout", "0.2", "lease", "create", "mine")
        assert done.returncode == 6, done.stderr
        assert "containerd" in done.stderr
        assert daemon.names("leases", "ls") == set()


def test_the_daemon_starts_while_orlop_reads(daemon: Daemon, image: RealImage) -> None:
    with daemon:
        daemon.ctr("images", "import", image.oci_archive)

    with orlop.open(daemon.root, read_only=True) as database:
        assert database.namespace("default").images.list()
        with daemon:
            assert daemon.names("images", "ls") == {image.name}


def test_the_commands_read_a_running_daemon(daemon: Daemon, image: RealImage) -> None:
    with daemon:
        daemon.ctr("images", "import", image.oci_archive)
        done = run_orlop("--root", daemon.root, "image", "ls", "--json")
        [[_, _, digest, *_]] = daemon.rows("images", "ls")

    assert done.returncode == 0, done.stderr
    assert digest in done.stdout
    assert json.loads(done.stdout.splitlines()[0])
