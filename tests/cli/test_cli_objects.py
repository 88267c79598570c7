"""`orlop container`, `sandbox`, `lease` and `namespace`: made, shown, labelled and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli.players import root_of
from orlop.schema.codec.timestamps import parse_rfc3339

if TYPE_CHECKING:
    from pathlib import Path

    from cli.players import Orlop

DIGEST = "sha256:" + "0" * 64


def test_a_container_with_all_it_can_have(orlop: Orlop, tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text('{"ociVersion": "1.0.2"}', encoding="utf-8")

    answer = orlop(
        *("container", "create", "c1", "--image", "busybox", "--snapshotter", "native"),
        *("--snapshot", "c1", "--spec", spec, "--runtime", "kata", "--label", "a=b"),
    )

    assert answer.lines == ["c1"]
    shown = orlop("container", "inspect", "c1", "--json").document()
    assert shown["spec"]["value"] == {"ociVersion": "1.0.2"}
    assert shown["spec"]["type_url"] == "types.containerd.io/opencontainers/runtime-spec/1/Spec"
    assert (shown["runtime"]["name"], shown["snapshotter"], shown["snapshot_key"]) == (
        "kata",
        "native",
        "c1",
    )
    (listed,) = orlop("container", "ls", "image==busybox", "--json").objects()
    assert listed["labels"] == {"a": "b"}


def test_the_spec_of_a_container_must_be_json(orlop: Orlop, tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text("{", encoding="utf-8")

    assert "spec.json" in orlop("container", "create", "c1", "--spec", spec, code=2).err
    assert "gone" in orlop("container", "create", "c1", "--spec", tmp_path / "gone", code=3).err


def test_a_snapshot_needs_a_snapshotter(orlop: Orlop) -> None:
    assert "Snapshotter" in orlop("container", "create", "c1", "--snapshot", "c1", code=2).err


@pytest.mark.parametrize("group", ["container", "sandbox"])
def test_container_and_sandbox_from_beginning_to_end(orlop: Orlop, group: str) -> None:
    orlop(group, "create", "one")
    orlop(group, "create", "two", "-n", "other")
    orlop(group, "create", "one", code=4)
    assert orlop(group, "label", "one", "a=b", "c=d").lines == ["a=b,c=d"]
    assert orlop(group, "label", "one", "a=", "--json").document()["labels"] == {"c": "d"}
    assert [one["id"] for one in orlop(group, "ls", "--json").objects()] == ["one", "two"]
    assert orlop(group, "inspect", "two", "--json").document()["namespace"] == "other"

    orlop(group, "rm", "one", "missing", code=3)
    assert len(orlop(group, "ls", "--json").objects()) == 2
    orlop(group, "rm", "one")

    orlop(group, "inspect", "one", code=3)
    orlop(group, "label", "one", "a=b", code=3)


def test_inspect_of_a_sandbox_that_a_daemon_made(orlop: Orlop, data: Path, tmp_path: Path) -> None:
    root = root_of(data, "v2-08b-sandbox", tmp_path / "golden")

    shown = orlop("--root", root, "sandbox", "inspect", "sb1", "--json").document()

    assert shown["spec"]["value"]["annotations"] == {"a": "b"}
    # What is no JSON is shown as it is.
    assert shown["runtime"]["options"] == {"type_url": "google.protobuf.Empty", "value_base64": ""}


def test_a_lease_from_beginning_to_end(orlop: Orlop) -> None:
    answer = orlop("lease", "create", "mine", "--expires", "1h30m", "--flat", "--label", "a=b")
    assert answer.lines == ["mine"]
    (lease,) = orlop("lease", "ls", "--json").objects()
    expires = parse_rfc3339(lease["labels"]["containerd.io/gc.expire"])
    created = parse_rfc3339(lease["created_at"])
    assert 5398 <= (expires - created).total("seconds") <= 5400
    assert lease["labels"]["containerd.io/gc.flat"] == "true"
    assert "a=b" in orlop("lease", "ls").lines[1]

    assert "x=y" in orlop("lease", "label", "mine", "x=y", "a=").lines[0]
    orlop("lease", "add", "mine", "content", DIGEST)
    orlop("lease", "add", "mine", "snapshots/native", "key")
    held = orlop("lease", "resources", "mine", "--json").objects()
    assert [(one["type"], one["id"]) for one in held] == [
        ("content", DIGEST),
        ("snapshots/native", "key"),
    ]
    shown = orlop("lease", "inspect", "mine", "--json").document()
    assert shown["resources"] == [{"id": one["id"], "type": one["type"]} for one in held]
    assert "a" not in shown["labels"]

    orlop("lease", "rm", "mine")
    assert orlop("lease", "ls", "--json").objects() == []


def test_a_lease_without_a_name_gets_one(orlop: Orlop) -> None:
    (name,) = orlop("lease", "create").lines

    assert orlop("lease", "inspect", name, "--json").document()["labels"] == {}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("create", "twice"), 4),
        (("create", "x", "--expires", "soon"), 2),
        (("create", ""), 2),
        (("add", "twice", "content", "no digest"), 2),
        (("add", "twice", "snapshots", "key"), 2),
        (("add", "missing", "images", "x"), 3),
        (("resources", "missing"), 3),
        (("inspect", "missing"), 3),
        (("label", "missing", "a=b"), 3),
        (("rm", "missing"), 3),
    ],
)
def test_what_leases_refuse(orlop: Orlop, arguments: tuple[str, ...], code: int) -> None:
    orlop("lease", "create", "twice")

    orlop("lease", *arguments, code=code)


def test_a_namespace_from_beginning_to_end(orlop: Orlop) -> None:
    orlop("namespace", "create", "mine", "--label", "a=b")
    orlop("namespace", "create", "mine", code=4)
    orlop("lease", "create", "-n", "mine")
    assert orlop("namespace", "label", "mine", "c=d", "a=").lines == ["c=d"]
    assert orlop("namespace", "ls", "--json").objects() == [{"name": "mine", "labels": {"c": "d"}}]
    shown = orlop("namespace", "inspect", "mine", "--json").document()
    assert (shown["leases"], shown["images"], shown["snapshots"]) == (1, 0, {})

    orlop("container", "create", "c", "-n", "mine")
    assert "containers" in orlop("namespace", "rm", "mine", code=5).err
    orlop("container", "rm", "c", "-n", "mine")
    orlop("namespace", "rm", "mine")

    orlop("namespace", "inspect", "mine", code=3)
    assert orlop("namespace", "ls", "--json").objects() == []


def test_what_a_namespace_holds(with_image: Orlop) -> None:
    shown = with_image("namespace", "inspect", "default", "--json").document()

    assert (shown["images"], shown["blobs"], shown["snapshots"]) == (1, 5, {"native": 3})
