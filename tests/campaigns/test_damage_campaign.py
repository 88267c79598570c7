"""Damages blobs and snapshots of a root at random: all is named, and an import puts it back."""

from __future__ import annotations

import random
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from campaigns.seeds import seeds
from oci.builder import Built, directory, docker_archive, entry, layer
from orlop import oci
from orlop.database import open_database
from orlop.errors import DataLossError, FailedPreconditionError, NotFoundError
from orlop.explain.image_content import content_of
from orlop.gc import Node
from stores import damaging
from stores.damaging import blob_file, files_of, snapshot_directory

if TYPE_CHECKING:
    from pathlib import Path

    from campaigns.tally import Tally
    from orlop.database import Database
    from orlop.namespace import Namespace

STEPS = 12
DAMAGES = {
    "delete": damaging.delete,
    "cut": damaging.cut,
    "lengthen": damaging.lengthen,
    "flip": damaging.flip,
    "directory": damaging.replace_by_directory,
    "pipe": damaging.replace_by_pipe,
    "link": damaging.replace_by_link,
}
NAMESPACES = ("one", "two")
SNAPSHOTTERS = ("native", "overlayfs")


class Images:
    """Images that share layers, each as an archive."""

    def __init__(self, folder: Path, chosen: random.Random) -> None:
        layers = [
            layer(
                directory(f"d{number}"),
                entry(f"d{number}/file", data=chosen.randbytes(chosen.randrange(1, 5000))),
            )
            for number in range(4)
        ]
        self.archives: dict[str, Path] = {}
        self.blobs: dict[str, bytes] = {}
        for number in range(3):
            depth = chosen.randrange(1, 5)
            name = f"example.com/image{number}:v1"
            if number == 2:
                saved = docker_archive(folder / "saved.tar", layers[:depth], [name])
                self.archives[name] = saved
                continue
            built = Built()
            built.image(layers[:depth], name=name, compress=chosen.random() < 0.7)
            self.archives[name] = built.archive(folder / f"{number}.tar")
            self.blobs |= built.blobs


class Damaged:
    """A root, and the damage since it was whole."""

    def __init__(self, database: Database, images: Images, chosen: random.Random) -> None:
        self.database = database
        self.images = images
        self.chosen = chosen
        self.blobs: dict[str, str] = {}
        self.snapshots: set[Node] = set()

    def namespaces(self) -> list[Namespace]:
        return [self.database.namespace(name) for name in NAMESPACES]

    def damage_blob(self) -> str:
        digests = sorted({one.digest for ns in self.namespaces() for one in ns.content.walk()})
        sound = [one for one in digests if one not in self.blobs]
        if not sound:
            return "nothing"
        digest, kind = self.chosen.choice(sound), self.chosen.choice(sorted(DAMAGES))
        DAMAGES[kind](blob_file(self.database, digest))
        self.blobs[digest] = kind
        return f"{kind} {digest}"

    def damage_snapshot(self) -> str:
        found = [
            (ns, snapshotter, info.name)
            for ns in self.namespaces()
            for snapshotter in SNAPSHOTTERS
            for info in ns.snapshots(snapshotter).walk()
        ]
        sound = [one for one in found if self._node(*one) not in self.snapshots]
        if not sound:
            return "nothing"
        ns, snapshotter, key = self.chosen.choice(sound)
        store = ns.snapshots(snapshotter)
        only_files = self.chosen.random() < 0.6
        lost = (files_of if only_files else snapshot_directory)(self.database, store, key)
        shutil.rmtree(lost)
        if only_files and self.chosen.random() < 0.5:
            lost.mkdir()
        self.snapshots.add(self._node(ns, snapshotter, key))
        return f"lose {lost}"

    def check_named(self) -> None:
        """Check that all damage that a look can see is named, and no other."""
        expected = {
            Node("content", ns.name, info.digest)
            for ns in self.namespaces()
            for info in ns.content.walk()
            if self.blobs.get(info.digest, "flip") != "flip"
        } | self.snapshots
        assert set(self.database.faults()) == expected
        plan = self.database.gc.plan()
        assert set(plan.faults) == expected
        one_by_one = list(plan.marked.graph.swept())
        assert self.database.faults(one_by_one) == self.database.faults() == plan.faults
        for ns in self.namespaces():
            for info in ns.content.walk():
                is_damaged = info.digest in self.blobs
                assert bool(ns.content.fault(info.digest, verify=True)) == is_damaged
                if self.blobs.get(info.digest, "flip") != "flip":
                    with pytest.raises((NotFoundError, DataLossError), match=info.digest):
                        ns.content.open(info.digest)
            for snapshotter in SNAPSHOTTERS:
                self._check_mounts(ns, snapshotter)

    def _check_mounts(self, ns: Namespace, snapshotter: str) -> None:
        store = ns.snapshots(snapshotter)
        for info in store.walk():
            chain = store.chain(info.name)
            lost = [one for one in chain if self._node(ns, snapshotter, one) in self.snapshots]
            if lost if snapshotter == "overlayfs" else chain[0] in lost:
                with pytest.raises(DataLossError, match=r"is missing|was emptied"):
                    store.view("look", info.name)
            else:
                store.view("look", info.name)
                store.remove("look")

    def export(self, target: Path) -> str:
        """Export an image; it is refused if and only if it is damaged."""
        ns = self.database.namespace(self.chosen.choice(NAMESPACES))
        names = [image.name for image in ns.images.list()]
        if not names:
            return "nothing"
        name = self.chosen.choice(names)
        if {blob.digest for blob in content_of(ns, ns.images.get(name)).blobs} & set(self.blobs):
            with pytest.raises((DataLossError, NotFoundError)) as caught:
                oci.export_image(ns, [name], target)
            assert any(digest in str(caught.value) for digest in self.blobs)
            assert not target.exists()
            return f"export of {name} was refused"
        oci.export_image(ns, [name], target)
        with open_database(target.with_name(f"{target.name}.root")) as fresh:
            oci.import_image(fresh.namespace("default"), target, unpack="native")
        return f"exported {name}"

    def bring(self) -> str:
        """Import an image again; afterwards no data that the import checks is damaged."""
        ns = self.database.namespace(self.chosen.choice(NAMESPACES))
        name = self.chosen.choice(sorted(self.images.archives))
        verify = self.chosen.random() < 0.6
        unpack = self.chosen.choice(["", *SNAPSHOTTERS])
        told = f"import {name} to {ns.name}, verify={verify}, unpack={unpack}"
        try:
            (image,) = oci.import_image(
                ns, self.images.archives[name], unpack=unpack or None, verify=verify
            )
        except (DataLossError, FailedPreconditionError):
            # A document or a layer whose bytes differ was met, and none was to be replaced.
            assert not verify
            assert "flip" in self.blobs.values()
            self.forget_repaired()
            return f"{told}: refused"
        self.forget_repaired()
        if verify:
            found = content_of(ns, image)
            assert not {blob.digest for blob in found.blobs} & set(self.blobs)
        if unpack:
            assert not {
                node
                for node in self.snapshots
                if node.namespace == ns.name
                and node.key.startswith(unpack)
                and node.key.partition("/")[2] in self._chain(ns, unpack, image.name)
            }
        return told

    def _chain(self, ns: Namespace, snapshotter: str, name: str) -> list[str]:
        found = content_of(ns, ns.images.get(name))
        return [
            key
            for one, top in found.snapshots
            if one == snapshotter
            for key in ns.snapshots(snapshotter).chain(top)
        ]

    def forget_repaired(self) -> None:
        """Forget the damage of data that is whole again, by its bytes."""
        for digest in list(self.blobs):
            file = blob_file(self.database, digest)
            whole = self.images.blobs.get(digest)
            if file.is_file() and not file.is_symlink():
                data = file.read_bytes()
                if data == whole or (whole is None and damaging.is_whole(data, digest)):
                    del self.blobs[digest]
        for node in list(self.snapshots):
            snapshotter, _, key = node.key.partition("/")
            store = self.database.namespace(node.namespace).snapshots(snapshotter)
            with suppress(NotFoundError):
                files = files_of(self.database, store, key)
                if files.is_dir() and any(files.iterdir()):
                    self.snapshots.discard(node)

    def collect(self) -> str:
        """Remove an image and collect; missing data is not counted as freed."""
        ns = self.database.namespace(self.chosen.choice(NAMESPACES))
        names = [image.name for image in ns.images.list()]
        if names:
            ns.images.delete(self.chosen.choice(names))
        plan = self.database.gc.plan()
        for removal in plan.nodes:
            if self.blobs.get(removal.key) in {"delete", "directory", "pipe", "link"}:
                assert removal.bytes == 0
        self.sweep()
        return f"collect, without one of {names}"

    def sweep(self) -> None:
        """Collect, and forget the damage of deleted data."""
        statistics = self.database.gc.run()
        assert not statistics.failures
        named = {info.digest for one in self.namespaces() for info in one.content.walk()}
        self.blobs = {digest: kind for digest, kind in self.blobs.items() if digest in named}
        self.snapshots = {
            node for node in self.snapshots if node in set(self.database.gc.mark().graph.swept())
        }

    def repair_all(self) -> None:
        """Import all again, into both namespaces."""
        for ns in self.namespaces():
            for archive in self.images.archives.values():
                oci.import_image(ns, archive, unpack=SNAPSHOTTERS, verify=True)

    @staticmethod
    def _node(ns: Namespace, snapshotter: str, key: str) -> Node:
        return Node("snapshot", ns.name, f"{snapshotter}/{key}")


@pytest.mark.parametrize("seed", seeds(short=3, long=300))
def test_damage_is_named_and_an_import_puts_it_back(
    tmp_path: Path, seed: int, tally: Tally
) -> None:
    chosen = random.Random(seed)
    images = Images(tmp_path, chosen)
    with open_database(tmp_path / "root", sync=False) as database:
        root = Damaged(database, images, chosen)
        root.repair_all()
        steps = {
            "blob": root.damage_blob,
            "snapshot": root.damage_snapshot,
            "bring": root.bring,
            "gc": root.collect,
        }
        for step in range(STEPS):
            kind = chosen.choice(["blob", "blob", "snapshot", "snapshot", "bring", "export", "gc"])
            exported = tmp_path / f"export{step}"
            done = root.export(exported) if kind == "export" else steps[kind]()
            print(f"{seed}: {done}")  # noqa: T201 -- shown where it fails
            root.check_named()
            tally.add(kind)
        root.repair_all()
        root.forget_repaired()
        # The manifest of a docker archive depends on which layers were there.
        root.sweep()
        assert (root.blobs, root.snapshots) == ({}, set())
        root.check_named()
    tally.add("histories")
