"""containerd 1.6.20, with schema version 3, on a version 4 database with its new records.

What it does with a sandbox and with an image that expires stands in docs/differences.md; these
tests are where that comes from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import orlop
from orlop import Image, ProtoAny, Runtime, Sandbox
from real.pages import Pages

if TYPE_CHECKING:
    from pathlib import Path

    from oracle.client import Oracle
    from real.daemon import Daemon
    from real.images import RealImage

pytestmark = [
    pytest.mark.real("bbolt", "busybox", "containerd", "ctr", "go", "skopeo", "umoci"),
    pytest.mark.root,
]

EXPIRED, LIVING = "example.com/expired:1", "example.com/living:1"
HELD, LOOSE = "held-by-the-sandbox", "held-by-nothing"
SANDBOX = Sandbox(
    id="sandbox-1",
    labels={"team": "a", "containerd.io/gc.ref.snapshot.overlayfs": HELD},
    runtime=Runtime(
        name="io.containerd.runc.v2", options=ProtoAny(type_url="example.Options", value=b"\x01")
    ),
    spec=ProtoAny(type_url="example.Spec", value=b"{}"),
    sandboxer="podsandbox",
    extensions={"extension": ProtoAny(type_url="example.Extension", value=b"\x02")},
)


@pytest.fixture
def root(daemon: Daemon, image: RealImage) -> Path:
    """Return a root that the daemon filled and Orlop raised to version 4, with its new things."""
    with daemon:
        daemon.ctr("images", "import", image.oci_archive)
        daemon.collect()
    with orlop.open(daemon.root, migrate=True) as database:
        assert database.version == 4
        ns = database.namespace("default")
        target = ns.images.get(image.name).target
        for name, year in ((EXPIRED, 2001), (LIVING, 2099)):
            expiry = {"containerd.io/gc.expire": f"{year}-01-01T00:00:00Z"}
            ns.images.create(Image(name=name, target=target, labels=expiry))
        ns.images.delete(image.name)
        ns.sandboxes.create(SANDBOX)
        for key in (HELD, LOOSE):
            ns.snapshots("overlayfs").prepare(key)
    return daemon.root


def sandboxes(root: Path) -> list[Sandbox]:
    with orlop.open(root, read_only=True) as database:
        return database.namespace("default").sandboxes.list()


def test_it_opens_the_file_and_leaves_the_version_and_the_sandbox_alone(
    bbolt: Oracle, daemon: Daemon, root: Path
) -> None:
    before, was = bbolt.dump(daemon.meta_db), sandboxes(root)

    with daemon:
        assert daemon.names("images", "ls") == {EXPIRED, LIVING}

    assert bbolt.dump(daemon.meta_db) == before
    assert bbolt.check(daemon.meta_db) == []
    assert sandboxes(root) == was
    assert [(one.id, one.labels, one.extensions) for one in was] == [
        (SANDBOX.id, SANDBOX.labels, SANDBOX.extensions)
    ]
    with orlop.open(root) as database:
        assert database.version == 4


def test_an_image_that_has_expired_stays_a_root_for_it(daemon: Daemon, root: Path) -> None:
    blobs = daemon.blobs()
    with daemon:
        daemon.ctr("images", "rm", LIVING)
        daemon.collect()

        assert daemon.names("images", "ls") == {EXPIRED}
        assert daemon.ctr("images", "check", "--quiet").split() == [EXPIRED]
    assert daemon.blobs() == blobs
    assert sandboxes(root), "the sandbox went with a collection"


def test_what_only_a_sandbox_holds_is_collected_by_it(daemon: Daemon, root: Path) -> None:
    with daemon:
        assert {HELD, LOOSE} <= daemon.names("snapshots", "ls")
        daemon.collect()
        left = daemon.names("snapshots", "ls")

    assert left.isdisjoint({HELD, LOOSE})
    assert len(left) == 3, "the image's own snapshots stay"
    assert [one.id for one in sandboxes(root)] == [SANDBOX.id]


def test_a_namespace_with_nothing_but_a_sandbox_is_empty_for_it(daemon: Daemon, root: Path) -> None:
    with daemon:
        daemon.ctr("images", "rm", EXPIRED, LIVING)
        daemon.collect()
        daemon.ctr("namespaces", "rm", "default")

    with orlop.open(root, read_only=True) as database:
        assert database.namespaces.list() == []
        assert database.version == 4


def test_what_it_writes_brings_the_freelist_back_and_orlop_goes_on(
    bbolt: Oracle, daemon: Daemon, image: RealImage
) -> None:
    # A file of Orlop's own, from nothing: without a freelist page, as containerd's main has it.
    with orlop.open(daemon.root) as database:
        database.namespaces.create("made-by-orlop", {"label": "value"})
    assert not Pages(daemon.meta_db).keeps_freelist

    with daemon:
        assert daemon.rows("namespaces", "ls") == [["made-by-orlop", "label=value"]]
        daemon.ctr("images", "import", image.docker_archive)
    assert Pages(daemon.meta_db).keeps_freelist

    with orlop.open(daemon.root) as database:
        assert database.version == 4
        assert database.namespaces.list() == ["default", "made-by-orlop"]
        database.namespaces.delete("made-by-orlop")
    assert Pages(daemon.meta_db).keeps_freelist
    assert bbolt.check(daemon.meta_db) == []
    with daemon:
        assert daemon.names("namespaces", "ls") == {"default"}
        assert daemon.complaints() == []
