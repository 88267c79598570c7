"""The listings of the golden databases agree with those of `ctr`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cli.ctr_listings import Listings, binary_size, decimal_size, labels_of, read_listings
from cli.players import Orlop, root_of

if TYPE_CHECKING:
    from pathlib import Path

STAGES = (
    "v1.6-03-unpacked-overlayfs",
    "v1.6-07-leases-ns2-ingest",
    "v1.6-12-all-gone-after-gc",
    "v2-03-unpacked-overlayfs",
    "v2-08b-sandbox",
    "v2-12-all-gone-after-gc",
)


class Golden:
    """One golden database: its listings, and the ways to ask for it."""

    def __init__(self, data: Path, stage: str, root: Path) -> None:
        self.namespaces: dict[str, Listings] = read_listings(data / "meta-db" / f"{stage}.ctr.txt")
        self.file = data / "meta-db" / f"{stage}.db"
        self.root = root_of(data, stage, root)
        self._orlop = Orlop(root)

    def ask(self, *arguments: str, bare: bool = False) -> list[dict[str, Any]]:
        place = ("--db", str(self.file)) if bare else ("--root", str(self.root))
        return self._orlop(*place, *arguments, "--json").objects()

    def asked_both_ways(self, *arguments: str) -> list[dict[str, Any]]:
        """Ask the root and the bare file, which must say the same.

        Only the root knows of faults: these roots are metadata without its data.
        """
        answer = self.ask(*arguments)
        for record in answer:
            faults = [record.pop(key) for key in ("fault", "faults") if key in record]
            assert bool(faults) == (arguments[0] in {"image", "content"})
        assert self.ask(*arguments, bare=True) == answer
        return answer


@pytest.fixture(params=STAGES)
def golden(request: pytest.FixtureRequest, data: Path, tmp_path: Path) -> Golden:
    return Golden(data, request.param, tmp_path / "golden")


def test_images(golden: Golden) -> None:
    shown = {
        (image["namespace"], image["name"]): (
            image["target"]["media_type"],
            image["target"]["digest"],
            binary_size(image["size"]),
            image["labels"],
        )
        for image in golden.asked_both_ways("image", "ls")
    }

    assert shown == {
        (namespace, row["REF"]): (row["TYPE"], row["DIGEST"], row["SIZE"], labels_of(row["LABELS"]))
        for namespace, listings in golden.namespaces.items()
        for row in listings["images"]
    }


def test_content(golden: Golden) -> None:
    shown = {
        (blob["namespace"], blob["digest"]): (decimal_size(blob["size"]), blob["labels"])
        for blob in golden.asked_both_ways("content", "ls")
    }

    assert shown == {
        (namespace, row["DIGEST"]): (row["SIZE"], labels_of(row["LABELS"]))
        for namespace, listings in golden.namespaces.items()
        for row in listings["content"]
    }


def test_ingests(golden: Golden) -> None:
    shown = {(one["namespace"], one["ref"]) for one in golden.ask("content", "ingests")}

    assert shown == {
        (namespace, row["REF"])
        for namespace, listings in golden.namespaces.items()
        for row in listings["ingests"]
    }


def test_snapshots_of_a_root_with_their_kinds(golden: Golden) -> None:
    shown = {
        (one["namespace"], one["name"]): (one["parent"], one["kind"])
        for one in golden.ask("snapshot", "ls", "--snapshotter", "overlayfs")
    }

    assert shown == {
        (namespace, row["KEY"]): (row["PARENT"], row["KIND"].lower())
        for namespace, listings in golden.namespaces.items()
        for row in listings["overlayfs"]
    }


@pytest.mark.parametrize("snapshotter", ["overlayfs", "native"])
def test_snapshots_of_a_bare_file(golden: Golden, snapshotter: str) -> None:
    answer = golden.ask("snapshot", "ls", "--snapshotter", snapshotter, bare=True)

    assert {one["kind"] for one in answer} <= {"unknown"}
    assert {(one["namespace"], one["name"]): one["parent"] for one in answer} == {
        (namespace, row["KEY"]): row["PARENT"]
        for namespace, listings in golden.namespaces.items()
        for row in listings[snapshotter]
    }


def test_containers(golden: Golden) -> None:
    shown = {
        (one["namespace"], one["id"]): (one["image"], one["runtime"]["name"])
        for one in golden.asked_both_ways("container", "ls")
    }

    assert shown == {
        (namespace, row["CONTAINER"]): (row["IMAGE"], row["RUNTIME"])
        for namespace, listings in golden.namespaces.items()
        for row in listings["containers"]
    }


def test_leases(golden: Golden) -> None:
    shown = {
        (one["namespace"], one["id"]): (one["created_at"][:19] + "Z", one["labels"])
        for one in golden.asked_both_ways("lease", "ls")
    }

    assert shown == {
        (namespace, row["ID"]): (row["CREATED AT"], labels_of(row["LABELS"]))
        for namespace, listings in golden.namespaces.items()
        for row in listings["leases"]
    }


def test_one_namespace(golden: Golden) -> None:
    everything = golden.ask("content", "ls")
    shown = golden.ask("content", "ls", "-n", "default")

    assert shown == [blob for blob in everything if blob["namespace"] == "default"]


def test_namespaces(golden: Golden) -> None:
    names = {one["name"] for one in golden.asked_both_ways("namespace", "ls")}

    assert names >= {name for name, listings in golden.namespaces.items() if listings["images"]}


def test_the_sandbox(data: Path, tmp_path: Path) -> None:
    golden = Golden(data, "v2-08b-sandbox", tmp_path / "golden")
    (shown,) = golden.asked_both_ways("sandbox", "ls")

    assert (shown["namespace"], shown["id"], shown["sandboxer"]) == ("default", "sb1", "shim")
    assert shown["runtime"]["name"] == "io.containerd.runc.v2"


def test_tables_cut_nothing(golden: Golden) -> None:
    answer = Orlop(golden.root)("content", "ls")
    digests = [one["digest"] for one in golden.ask("content", "ls")]

    assert [line.split()[1] for line in answer.lines[1:]] == digests
