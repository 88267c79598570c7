"""The records that each abbreviated reference resolves to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import orlop
from collector.making import make_blob, make_image, make_snapshot
from collector.records import Records, digest_of
from orlop import Database, LeaseResource
from orlop.clock import SystemClock
from orlop.errors import InvalidArgumentError, NotFoundError
from orlop.explain.owners import owner
from orlop.explain.references import resolve, resolve_omission
from orlop.gc import Node, Omission

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GC = "containerd.io/gc."
ODD = ("a b", "übel/☃", "x#y", "tab\there", "-n", "quote\"'", "semi;colon", "*", "a\\b")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with orlop.open(tmp_path / "root") as database:
        yield database


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with Database.open_file(tmp_path_factory.mktemp("bare") / "meta.db") as database:
        with database.update() as update:
            records = Records(update.transaction, SystemClock().now())
            records.image("one", "docker.io/library/busybox:latest", digest_of(1))
            records.image("two", "docker.io/library/busybox:latest", digest_of(1))
            records.image("one", "quay.io/x/app:v1", digest_of(2), {f"{GC}ref.content#x": "v"})
            records.image("one", "lease:odd", digest_of(2))
            records.blob("one", digest_of(1))
            records.blob("two", digest_of(1))
            records.blob("one", digest_of(2))
            records.snapshot("one", "native", "work")
            records.snapshot("one", "overlayfs", "work")
            records.snapshot("one", "native", digest_of(5))
            records.container("one", "work", "native", "work")
            records.container("one", "c0ffee1234567890")
            records.container("one", "c0ffee9999999999")
            records.sandbox("one", "5a4db0c5")
            records.ingest("one", "upload-1")
            records.lease("one", "odd", ("content", digest_of(7)))
            for name in ODD:
                records.image("odd", name, digest_of(1))
                records.snapshot("odd", "native", name)
        yield database


def meant(database: Database, text: str, namespace: str | None = None) -> list[tuple[str, ...]]:
    graph = database.gc.mark().graph
    return sorted(node[:3] for node in resolve(database, graph, text, namespace=namespace))


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("quay.io/x/app:v1", ["image"]),
        ("image:quay.io/x/app:v1", ["image"]),
        ("app:v1", ["image"]),
        ("x/app", ["image"]),
        ("app", ["image"]),
        ("image:app", ["image"]),
        ("image:docker.io/", ["image", "image"]),
        ("work", ["container", "snapshot", "snapshot"]),
        ("snapshot:work", ["snapshot", "snapshot"]),
        ("native/work", ["snapshot"]),
        ("snapshot:native/work", ["snapshot"]),
        ("native/wor", ["snapshot"]),
        ("container:work", ["container"]),
        ("container:c0ffee1", ["container"]),
        ("c0ffee1", ["container"]),
        ("5a4d", ["sandbox"]),
        ("sandbox:5a4db0c5", ["sandbox"]),
        ("upload-1", ["ingest"]),
        ("ingest:upload-1", ["ingest"]),
        ("odd", ["lease"]),
        ("lease:odd", ["image", "lease"]),
        ("lease:lease:odd", None),
        (digest_of(2), ["content"]),
        (digest_of(2)[:12], ["content"]),
        (digest_of(2)[7:15], ["content"]),
        (f"content:{digest_of(2)}", ["content"]),
        (f"content:{digest_of(2)[:10]}", ["content"]),
        (digest_of(5)[7:], ["snapshot"]),
        (f"native/{digest_of(5)[:20]}", ["snapshot"]),
        (digest_of(7), ["content"]),
        (digest_of(7)[:20], None),
        (digest_of(1), ["content", "content"]),
        ("busybox", ["image", "image"]),
        ("wor", None),
        ("work2", None),
        (digest_of(2)[7:10], None),
        ("sha256:", None),
        ("content:sha256:", None),
        ("", None),
        (":", None),
        ("/", None),
        (".", None),
        ("\0", None),
        ("nativ", None),
    ],
)
def test_what_a_text_means(bare: Database, text: str, types: list[str] | None) -> None:
    if types is None:
        with pytest.raises(NotFoundError):
            meant(bare, text)
    else:
        assert [one[0] for one in meant(bare, text)] == types


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_found_as_they_are(bare: Database, name: str) -> None:
    found = [("image", "odd", name), ("snapshot", "odd", f"native/{name}")]
    assert meant(bare, name) == found
    assert meant(bare, f"image:{name}") == found[:1]
    assert meant(bare, f"native/{name}") == found[1:]


def test_a_namespace_narrows_it_down(bare: Database) -> None:
    assert [one[1] for one in meant(bare, "busybox")] == ["one", "two"]
    assert [one[1] for one in meant(bare, "busybox", "two")] == ["two"]
    with pytest.raises(NotFoundError, match='in namespace "two"'):
        meant(bare, "work", "two")


def test_a_snapshotter_alone_is_the_beginning_of_all_its_snapshots(bare: Database) -> None:
    with pytest.raises(InvalidArgumentError, match="ambiguous"):
        meant(bare, "native/")


@pytest.mark.parametrize("text", ["c0ffee", "container:c"])
def test_the_beginning_of_several_names_is_refused(bare: Database, text: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        meant(bare, text)
    assert "container:c0ffee1234567890" in str(caught.value)
    assert "container:c0ffee9999999999" in str(caught.value)


def test_a_path_means_the_records_that_name_it(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = database.namespace("one"), database.namespace("two")
    digest = make_blob(one, b"blob")
    make_blob(two, b"blob")
    make_image(one, "image", digest)
    make_snapshot(one, "base", files={"inside": b"x"})
    two.leases.create("lease")
    with two.using_lease("lease"), two.content.writer("upload") as writer:
        writer.write(b"half")
    two.leases.add_resource("lease", LeaseResource(id="later", type="ingests"))
    root = tmp_path / "root"
    (tmp_path / "link").symlink_to(root)
    blob = f"io.containerd.content.v1.content/blobs/sha256/{digest[7:]}"
    folder = next(
        path
        for path in (root / "io.containerd.snapshotter.v1.native/snapshots").iterdir()
        if (path / "inside").exists()
    )
    inside = folder.relative_to(root)
    (ingest,) = (root / "io.containerd.content.v1.content/ingest").iterdir()
    (folder / "etc").symlink_to("/etc")

    blobs = [("content", "one", digest), ("content", "two", digest)]
    snapshots = [("snapshot", "one", "native/base")]
    for base in (root, tmp_path / "link"):
        assert meant(database, f"{base}/{blob}") == blobs
        assert meant(database, f"{base}/{blob}", "two") == blobs[1:]
        for below in ("", "/", "/inside", "/not/there", "/etc", "/etc/passwd", "/x/../inside"):
            assert meant(database, f"{base}/{inside}{below}") == snapshots
        assert meant(database, f"{base}/{ingest.relative_to(root)}/data") == [
            ("ingest", "two", "upload")
        ]
    monkeypatch.chdir(root / "io.containerd.content.v1.content")
    assert meant(database, f"./blobs/sha256/{digest[7:]}") == blobs
    assert meant(database, f"blobs/sha256/{digest[7:]}") == blobs
    assert meant(database, f"../{inside}/inside") == snapshots
    monkeypatch.chdir(folder)
    assert meant(database, "inside") == snapshots
    assert meant(database, ".") == snapshots
    for nothing in (os.devnull, str(root), f"{root}/io.containerd.content.v1.content", ".."):
        with pytest.raises(NotFoundError):
            meant(database, nothing)


def test_a_path_to_what_nothing_names_is_an_orphan(database: Database, tmp_path: Path) -> None:
    make_blob(database.namespace("one"), b"named")
    store = tmp_path / "root/io.containerd.content.v1.content"
    stray = store / "blobs/sha256" / ("0" * 64)
    stray.write_bytes(b"stray")
    assert meant(database, str(stray)) == [("orphan", "", f"sha256:{'0' * 64}")]
    number = tmp_path / "root/io.containerd.snapshotter.v1.native/snapshots/77/file"
    assert meant(database, str(number)) == [("orphan", "", "native/77")]
    number = tmp_path / "root/io.containerd.snapshotter.v1.native/snapshots/new-1"
    assert meant(database, str(number)) == [("orphan", "", "native/new-1")]


def test_what_to_leave_out(bare: Database) -> None:
    graph = bare.gc.mark().graph

    def omission(text: str, preferred: str = "one") -> Omission:
        return resolve_omission(graph, text, preferred=preferred)

    app = Node("image", "one", "quay.io/x/app:v1")
    assert omission("image:quay.io/x/app:v1") == Omission(app)
    assert omission("image:app") == Omission(app)
    assert omission(f"image:app#{GC}ref.content#x") == Omission(app, f"{GC}ref.content#x")
    assert omission("image:app#target") == Omission(app, "target")
    assert omission("image:x#y") == Omission(Node("image", "odd", "x#y"))
    assert omission("image:x#y#target") == Omission(Node("image", "odd", "x#y"), "target")
    assert omission("image:busybox").node.namespace == "one"
    assert omission("image:busybox", "two").node.namespace == "two"
    assert omission("lease:odd") == Omission(Node("lease", "one", "odd"))
    assert omission("snapshot:native/work").node.key == "native/work"
    for text in ("busybox", "task:x", "orphan:x", ""):
        with pytest.raises(InvalidArgumentError, match="TYPE:KEY"):
            omission(text)
    for text, preferred in (("snapshot:work", "one"), ("image:busybox", "three")):
        with pytest.raises(InvalidArgumentError, match="ambiguous"):
            omission(text, preferred)
    for text in ("image:none", "lease:x#y", "content:sha256:00"):
        with pytest.raises(NotFoundError):
            omission(text)


def test_what_is_named_while_it_is_asked_for_is_no_orphan(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ns = database.namespace("one")
    make_snapshot(ns, "base")
    (folder, *_) = (tmp_path / "root/io.containerd.snapshotter.v1.native/snapshots").iterdir()
    naming = database.gc.naming
    answers: list[list[Node]] = [[]]  # the first reading comes too early
    monkeypatch.setattr(
        database.gc, "naming", lambda is_it: answers.pop() if answers else naming(is_it)
    )
    assert owner(database, str(folder)).nodes == (Node("snapshot", "one", "native/base"),)
    answers.append([])
    assert meant(database, str(folder)) == [("snapshot", "one", "native/base")]


def test_an_owner_is_looked_for_in_one_namespace(database: Database, tmp_path: Path) -> None:
    digest = make_blob(database.namespace("one"), b"blob", {f"{GC}root": "x"})
    make_blob(database.namespace("two"), b"blob")
    blob = tmp_path / f"root/io.containerd.content.v1.content/blobs/sha256/{digest[7:]}"
    found = owner(database, str(blob))
    assert [node.namespace for node in found.nodes] == ["one", "two"]
    assert [node.namespace for node in found.held] == ["one"]
    assert [node.namespace for node in owner(database, str(blob), namespace="two").nodes] == ["two"]
    assert owner(database, str(blob), namespace="three").nodes == ()
    assert found.faults == {}
    blob.unlink()  # a record still names it
    again = owner(database, str(blob))
    assert (again.nodes, again.held) == (found.nodes, found.held)
    assert set(again.faults.values()) == {"the data is missing"}


def test_a_store_of_another_root_is_not_ours(database: Database, tmp_path: Path) -> None:
    digest = make_blob(database.namespace("one"), b"blob")
    other = tmp_path / f"other/io.containerd.content.v1.content/blobs/sha256/{digest[7:]}"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"blob")
    with pytest.raises(NotFoundError):
        owner(database, str(other))


def test_a_copied_file_knows_stores_by_their_names(
    database: Database, bare: Database, tmp_path: Path
) -> None:
    make_snapshot(database.namespace("one"), "work")
    place = tmp_path / "root/io.containerd.snapshotter.v1.native/snapshots/1"
    blob = f"/srv/io.containerd.content.v1.content/blobs/sha256/{digest_of(2)[7:]}"
    assert [node.key for node in owner(bare, blob).nodes] == [digest_of(2)]
    # Its own snapshots have other names in their backend.
    assert owner(bare, str(place)).nodes == ()
    assert owner(bare, "/srv/io.containerd.snapshotter.v1.native/snapshots/1").nodes == ()
