"""Questions about the root of a running containerd: no lock is taken, the answers are right."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import orlop
from orlop.explain.questions import why
from real.command_line import orlop as run_orlop

if TYPE_CHECKING:
    from pathlib import Path

    from real.daemon import Daemon
    from real.images import RealImage

pytestmark = [
    pytest.mark.real("busybox", "containerd", "ctr", "skopeo", "umoci"),
    pytest.mark.root,
]


def ask(daemon: Daemon, *arguments: str | Path, code: int = 0) -> Any:
    done = run_orlop("--root", daemon.root, "--timeout", "0", *arguments, "--json")
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_questions_beside_a_running_daemon(daemon: Daemon, image: RealImage) -> None:
    with daemon:
        daemon.ctr("images", "import", image.oci_archive)
        daemon.ctr("snapshots", "--snapshotter", "native", "prepare", "work")
        [[_, _, digest, *_]] = daemon.rows("images", "ls")
        blob = daemon.root / "io.containerd.content.v1.content/blobs/sha256" / digest[7:]

        (answer,) = ask(daemon, "why", digest[:16])
        assert [step["node"]["key"] for step in answer["paths"][0]] == [image.name, digest]
        assert ask(daemon, "why", "orlop-test") == ask(daemon, "why", image.name)
        assert ask(daemon, "why", blob) == [answer]
        assert ask(daemon, "owner", blob)[0]["owners"] == [{**answer["node"], "held": True}]
        (folder,) = daemon.snapshot_folders("native")
        place = daemon.root / "io.containerd.snapshotter.v1.native/snapshots" / folder / "etc"
        (owned,) = ask(daemon, "owner", place)
        assert [one["key"] for one in owned["owners"]] == ["native/work"]
        assert image.name in {one["key"] for one in ask(daemon, "roots")}
        (link,) = [one for one in ask(daemon, "referrers", digest) if one["edge"] == "target"]
        assert link["holds"]
        # The daemon works on, and none of its files was locked or changed.
        daemon.ctr("leases", "create", "--id", "after")
        assert daemon.complaints() == []


def test_what_it_foretells_is_what_the_daemon_does(daemon: Daemon, image: RealImage) -> None:
    with daemon:
        daemon.ctr("images", "import", image.oci_archive)
        [foretold] = ask(daemon, "gc", "plan", "--without", f"image:{image.name}")
        before = daemon.blobs()
        daemon.ctr("images", "rm", image.name)
        daemon.collect()
        gone = before - daemon.blobs()
        removed = {one["key"] for one in foretold["remove"] if one["type"] == "content"}
        assert gone
        assert removed == gone


def test_every_last_edge_that_is_taken_from_the_daemon(daemon: Daemon, image: RealImage) -> None:
    with daemon:
        daemon.ctr("images", "import", image.oci_archive)
        daemon.ctr("images", "tag", image.name, "second:v1")
        [[_, _, digest, *_], _] = daemon.rows("images", "ls")
        with orlop.open(daemon.root, read_only=True) as database:
            (answer,) = why(database, digest)
            assert {path[0].node.key for path in answer.paths} == {image.name, "second:v1"}
            daemon.ctr("images", "rm", image.name)
            daemon.collect()
            assert digest in daemon.blobs()
            (answer,) = why(database, digest)
            assert [path[0].node.key for path in answer.paths] == ["second:v1"]
            daemon.ctr("images", "rm", "second:v1")
            daemon.collect()
            assert digest not in daemon.blobs()
