"""Surprising behaviour of containerd's stores, pinned against the real package.

Each script is played on both sides; answers and databases must be equal, and the answers that
the test is about are those written here.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from differential.duel import play
from differential.inputs import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from differential.driver import Driver

    Answers = list[dict[str, Any]]
    Play = Callable[..., Answers]

pytestmark = pytest.mark.real("bbolt", "containerd-go", "go")

DATA = b"some data"
DIGEST = digest_of(DATA)
ENCODED = base64.b64encode(DATA).decode()
IMAGE = {"name": "i", "media_type": "text/plain", "digest": DIGEST, "size": 9}
SPEC = {"type_url": "spec", "value": "e30="}
OTHER = {"type_url": "other", "value": "AA=="}
EMPTY = {"type_url": "", "value": ""}
CONTAINER = {"id": "c", "runtime": "runc", "spec": SPEC}
DONE = {"ok": "done"}


@pytest.fixture
def both(metadata_driver: Driver, tmp_path: Path) -> Play:
    def run(*operations: dict[str, Any]) -> Answers:
        return play(metadata_driver, tmp_path, [{"ns": "default", **one} for one in operations])

    return run


def image_op(what: str, paths: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    return {"op": f"image.{what}", "image": IMAGE | fields, "paths": list(paths)}


def container_op(what: str, paths: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    return {"op": f"container.{what}", "container": CONTAINER | fields, "paths": list(paths)}


def snapshot_op(what: str, key: str = "", **fields: Any) -> dict[str, Any]:
    return {"op": f"snapshot.{what}", "snapshotter": "native", "key": key, **fields}


def blob(writer: str = "w", ref: str = "r", **fields: Any) -> tuple[dict[str, Any], ...]:
    return (
        {"op": "writer.open", "writer": writer, "ref": ref},
        {"op": "writer.write", "writer": writer, "data": ENCODED},
        {"op": "writer.commit", "writer": writer, **fields},
    )


def kinds(answers: Answers) -> list[str]:
    return [one.get("error", "ok") for one in answers]


def test_extensions_are_only_ever_put(both: Play) -> None:
    answers = both(
        container_op("create", extensions={"a": SPEC, "b": SPEC}),
        container_op("update", ("extensions",), extensions={"a": OTHER}),
        {"op": "container.get", "name": "c"},
        container_op("update", extensions={}),
        {"op": "container.get", "name": "c"},
        container_op("update", ("extensions.b",), extensions={}),
        {"op": "container.get", "name": "c"},
    )
    assert answers[1]["ok"]["extensions"] == {"a": OTHER}, "what was asked for"
    assert answers[2]["ok"]["extensions"] == {"a": OTHER, "b": SPEC}, "what is stored"
    assert answers[3]["ok"]["extensions"] == {}
    assert answers[4]["ok"]["extensions"] == {"a": OTHER, "b": SPEC}
    assert answers[6]["ok"]["extensions"] == {"a": OTHER, "b": EMPTY}


def test_labels_without_a_value_are_dropped_but_for_those_of_namespaces(both: Play) -> None:
    answers = both(
        {"op": "namespace.create", "name": "n", "labels": {"a": "", "b": "1"}},
        {"op": "namespace.labels", "name": "n"},
        {"op": "namespace.label", "name": "n", "key": "b", "value": ""},
        {"op": "namespace.labels", "name": "n"},
        image_op("create", labels={"a": "", "b": "1"}, annotations={"x": ""}),
        {"op": "image.get", "name": "i"},
        image_op("update", ("labels.b",), labels={}),
    )
    assert answers[1]["ok"] == {"a": "", "b": "1"}
    assert answers[3]["ok"] == {"a": ""}
    assert answers[4]["ok"]["labels"] == answers[5]["ok"]["labels"] == {"b": "1"}
    assert answers[6]["ok"]["labels"] == {}


def test_a_map_of_nothing_but_empty_values_leaves_an_empty_bucket(both: Play) -> None:
    # The comparison of the databases is what proves it; an empty map leaves none.
    answers = both(
        image_op("create", labels={"a": ""}),
        image_op("create", name="j", labels={}),
        {"op": "lease.create", "name": "l", "labels": {"a": ""}},
        snapshot_op("prepare", "k", labels={"a": ""}),
        container_op("create", labels={"a": ""}),
    )
    assert kinds(answers) == ["ok"] * 5


def test_an_image_is_updated_by_paths(both: Play) -> None:
    given: dict[str, Any] = {"labels": {"a": "2"}, "annotations": {"x": "2"}}
    given |= {"size": 7, "media_type": "b"}
    answers = both(
        image_op("create", labels={"a": "1", "b": "1"}, annotations={"x": "1", "y": "1"}),
        image_op("update", ("labels.a",), **given),
        image_op("update", ("annotations.x",), **given),
        image_op("update", ("labels",), **given),
        image_op("update", ("annotations",), **given),
        image_op("update", ("target",), **given | {"annotations": {"z": "3"}}),
        image_op("update", ("target", "annotations.x"), **given | {"size": 8}),
        image_op("update", **given | {"size": 9}),
        *(image_op("update", (path,), **given) for path in ("name", "target.size", "")),
        image_op("update", ("labels.b",), name="nothing"),
    )
    results = [one["ok"] for one in answers[:8]]
    assert [one["labels"] for one in results[1:4]] == [{"a": "2", "b": "1"}] * 2 + [{"a": "2"}]
    assert [one["annotations"] for one in results[2:6]] == [
        {"x": "2", "y": "1"},
        {"x": "2", "y": "1"},
        {"x": "2"},
        {"z": "3"},
    ]
    assert [one["size"] for one in results] == [9, 9, 9, 9, 9, 7, 8, 9]
    assert kinds(answers[8:]) == ["invalid argument"] * 3 + ["not found"]


def test_a_blob_that_exists_already_is_refused_and_yet_its_ingest_ends(both: Play) -> None:
    answers = both(
        {"op": "lease.create", "name": "l"},
        *blob(),
        *blob("v", "s", lease="l"),
        {"op": "content.statuses", "filters": []},
        {"op": "lease.resources", "name": "l"},
        {"op": "writer.open", "writer": "u", "ref": "t", "digest": DIGEST, "lease": "l"},
    )
    assert answers[3] == DONE
    assert answers[6]["error"] == "already exists"
    assert answers[7]["ok"] == [], "the commit of the metadata counted"
    assert answers[8]["ok"] == [{"id": DIGEST, "type": "content"}]
    assert answers[9]["error"] == "already exists"


def test_a_writer_resumes_and_is_checked_when_it_commits(both: Play) -> None:
    answers = both(
        {"op": "writer.open", "writer": "w", "ref": "r", "size": 9},
        {"op": "writer.write", "writer": "w", "data": base64.b64encode(DATA[:4]).decode()},
        {"op": "writer.open", "writer": "x", "ref": "r"},
        {"op": "writer.close", "writer": "w"},
        {"op": "content.status", "ref": "r"},
        {"op": "writer.open", "writer": "w", "ref": "r"},
        {"op": "writer.write", "writer": "w", "data": base64.b64encode(DATA[4:]).decode()},
        {"op": "writer.truncate", "writer": "w", "size": 1},
        {"op": "writer.commit", "writer": "w", "size": 8},
        {"op": "writer.open", "writer": "w", "ref": "r"},
        {"op": "writer.commit", "writer": "w", "digest": digest_of(b"x")},
        {"op": "writer.open", "writer": "w", "ref": "r"},
        {"op": "writer.commit", "writer": "w", "size": 9, "digest": DIGEST, "labels": {"a": "1"}},
        {"op": "content.status", "ref": "r"},
        {"op": "content.info", "digest": DIGEST},
        {"op": "content.read", "digest": DIGEST},
    )
    assert answers[2]["error"] == "unavailable"
    assert answers[4]["ok"] == {"ref": "r", "offset": 4, "total": 9, "expected": ""}
    assert answers[5]["ok"]["offset"] == 4
    assert answers[7]["error"] == "invalid argument"
    assert answers[8]["error"] == answers[10]["error"] == "failed precondition"
    assert answers[11]["ok"]["digest"] == DIGEST
    assert answers[12] == DONE
    assert answers[13]["error"] == "not found"
    assert answers[14]["ok"]["labels"] == {"a": "1"}
    assert answers[15]["ok"] == DATA.decode()


def test_a_blob_of_another_namespace_is_complete_from_the_start(both: Play) -> None:
    answers = both(
        *blob(),
        {"op": "writer.open", "writer": "v", "ref": "r", "digest": DIGEST, "ns": "other"},
        {"op": "content.statuses", "filters": [], "ns": "other"},
        {"op": "writer.commit", "writer": "v", "digest": digest_of(b"x"), "ns": "other"},
        {"op": "writer.open", "writer": "v", "ref": "r", "digest": DIGEST, "ns": "other"},
        {"op": "writer.commit", "writer": "v", "ns": "other"},
        {"op": "content.info", "digest": DIGEST, "ns": "other"},
        {"op": "writer.open", "writer": "u", "ref": "q", "digest": DIGEST, "size": 5, "ns": "b"},
    )
    assert answers[3]["ok"]["offset"] == len(DATA)
    assert answers[3]["ok"]["digest"] == answers[3]["ok"]["expected"] == DIGEST
    assert answers[4]["ok"] == []
    assert answers[5]["error"] == "failed precondition"
    assert answers[7] == DONE
    assert answers[8]["ok"]["size"] == len(DATA)
    assert answers[9]["ok"]["offset"] == 0, "another size is not shared"


def test_a_namespace_that_is_not_empty_says_what_it_has(both: Play, tmp_path: Path) -> None:
    del tmp_path
    answers = both(
        image_op("create"),
        *blob(),
        container_op("create"),
        snapshot_op("prepare", "k"),
        {"op": "namespace.delete", "name": "default"},
        {"op": "lease.create", "name": "l", "ns": "light"},
        {"op": "namespace.label", "name": "light", "key": "a", "value": "b"},
        {"op": "writer.open", "writer": "v", "ref": "r", "ns": "light"},
        {"op": "writer.close", "writer": "v", "ns": "light"},
        {"op": "namespace.delete", "name": "light"},
        {"op": "namespace.delete", "name": "light"},
        {"op": "namespace.list"},
    )
    assert answers[6] == {
        "error": "failed precondition",
        "message": 'namespace "default" must be empty, but it still has images, blobs, '
        'containers, snapshots on "native" snapshotter: failed precondition',
    }
    assert answers[11] == DONE, "leases, labels and ingests go with it"
    assert answers[12]["error"] == "not found"
    assert answers[13]["ok"] == ["default"]


def test_a_lease_checks_the_form_of_what_it_holds_but_not_whether_it_exists(both: Play) -> None:
    def add(kind: str, key: str) -> dict[str, Any]:
        return {"op": "lease.add", "name": "l", "resource": {"type": kind, "id": key}}

    answers = both(
        add("content", DIGEST),
        {"op": "lease.create", "name": "l"},
        *(add(kind, key) for kind, key in (("content", DIGEST), ("ingests", "r"))),
        *(add("snapshots/any", key) for key in ("b", "a", "b")),
        *(add("content", key) for key in ("", "sha256:1")),
        *(add(kind, "a") for kind in ("content/x", "ingests/x", "snapshots", "snapshots/a/b")),
        *(add(kind, "a") for kind in ("", "blobs", "containers/x")),
        {"op": "lease.resources", "name": "l"},
        {"op": "lease.remove", "name": "l", "resource": {"type": "ingests", "id": "never"}},
        {"op": "lease.remove", "name": "l", "resource": {"type": "ingests", "id": "r"}},
        {"op": "lease.create", "name": "l"},
    )
    assert kinds(answers) == [
        *("not found", *["ok"] * 6),
        *["invalid argument"] * 6,
        *["not implemented"] * 3,
        *("ok", "ok", "ok", "already exists"),
    ]
    assert [tuple(one.values()) for one in answers[16]["ok"]] == [
        (DIGEST, "content"),
        ("r", "ingests"),
        ("a", "snapshots/any"),
        ("b", "snapshots/any"),
    ]


def test_a_snapshot_is_committed_once_and_then_stood_on(both: Play) -> None:
    answers = both(
        {"op": "lease.create", "name": "l"},
        snapshot_op("prepare", "a", labels={"x": "1", "containerd.io/snapshot/y": "2"}, lease="l"),
        snapshot_op("prepare", "b", parent="a"),
        snapshot_op("commit", "a", name="base", labels={"z": "3"}, lease="l"),
        snapshot_op("stat", "base"),
        snapshot_op("mounts", "base"),
        snapshot_op("stat", "a"),
        {"op": "lease.resources", "name": "l"},
        snapshot_op("prepare", "a", parent="base"),
        snapshot_op("view", "v", parent="base"),
        snapshot_op("commit", "a", name="base"),
        snapshot_op("commit", "nothing", name="new"),
        snapshot_op("commit", "v", name="new"),
        snapshot_op("commit", "base", name="new"),
        snapshot_op("remove", "base"),
        snapshot_op("remove", "a"),
        snapshot_op("remove", "v"),
        snapshot_op("remove", "base"),
    )
    assert answers[2]["error"] == "invalid argument", "only committed ones are stood on"
    assert answers[4]["ok"]["labels"] == {"z": "3"}, "those of the active one are not kept"
    assert answers[4]["ok"]["kind"] == "committed"
    assert answers[5]["error"] == "failed precondition"
    assert answers[6]["error"] == "not found"
    assert answers[7]["ok"] == [{"id": "base", "type": "snapshots/native"}]
    assert kinds(answers[8:]) == [
        *("ok", "ok", "already exists", "not found"),
        *("failed precondition", "failed precondition", "failed precondition"),
        *("ok", "ok", "ok"),
    ]


def test_a_backend_is_told_the_labels_that_are_meant_for_it(both: Play) -> None:
    # What the backend was told shows where the metadata no longer has it: after a path that
    # takes the label away in the metadata only.
    meant = {"containerd.io/snapshot/a": "1", "containerd.io/snapshot.ref": "t"}
    answers = both(
        snapshot_op("prepare", "k", labels=meant | {"containerd.io/snapshotx": "2", "other": "3"}),
        snapshot_op("stat", "k"),
        snapshot_op("update", "k", labels={}, paths=["labels.containerd.io/snapshot/a"]),
        snapshot_op("update", "k", labels={}, paths=["labels.other"]),
        snapshot_op("stat", "k"),
        snapshot_op("update", "k", labels={}, paths=[]),
        snapshot_op("stat", "k"),
    )
    everything = meant | {"containerd.io/snapshotx": "2", "other": "3"}
    assert answers[1]["ok"]["labels"] == everything
    del everything["other"], everything["containerd.io/snapshot/a"]
    assert answers[4]["ok"]["labels"] == everything
    assert answers[6]["ok"]["labels"] == {}


@pytest.mark.parametrize("key", ["k", "k" * 4095, "é" * 2047])
def test_a_label_has_4096_bytes_and_no_more(both: Play, key: str) -> None:
    room = 4096 - len(key.encode())
    fits, breaks = {key: "v" * room}, {key: "v" * (room + 1)}
    answers = both(
        image_op("create", labels=fits),
        image_op("create", name="j", labels=breaks),
        image_op("update", ("labels",), labels=breaks),
        container_op("create", labels=breaks),
        snapshot_op("prepare", "k", labels=breaks),
        {"op": "namespace.create", "name": "n", "labels": breaks},
        {"op": "namespace.label", "name": "n", "key": key, "value": "v" * (room + 1)},
        {"op": "lease.create", "name": "l", "labels": breaks},
        image_op("create", name="k", annotations=breaks),
    )
    assert kinds(answers) == ["ok", *["invalid argument"] * 6, "ok", "ok"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, "ok") for name in ("a", "A-1", "a.b_c-d", "0", "z" * 76)),
        *((name, "invalid argument") for name in ("a b", "-a", "a-", "a..b", "é", "a/b", "z" * 77)),
    ],
)
def test_identifiers_are_words_with_single_signs_between(both: Play, name: str, kind: str) -> None:
    answers = both(
        {"op": "namespace.create", "name": name},
        container_op("create", id=name),
        image_op("create") | {"ns": name},
        {"op": "image.list", "ns": name, "filters": []},
    )
    assert kinds(answers) == [kind] * 4


def test_an_empty_namespace_is_missing_and_not_invalid(both: Play) -> None:
    answers = both(
        {"op": "image.list", "ns": "", "filters": []},
        {"op": "namespace.create", "name": ""},
    )
    assert kinds(answers) == ["failed precondition", "invalid argument"]


def test_listings_are_in_the_order_of_bytes(both: Play) -> None:
    names = ["b", "B", "a", "é", "a b", "z/1", "10", "9"]
    answers = both(
        *(image_op("create", name=name) for name in names),
        *({"op": "lease.create", "name": name} for name in names),
        *(snapshot_op("prepare", name) for name in names),
        *({"op": "namespace.create", "name": name} for name in ("b", "B", "a")),
        {"op": "image.list", "filters": []},
        {"op": "lease.list", "filters": []},
        snapshot_op("walk", filters=[]),
        {"op": "namespace.list"},
    )
    in_order = sorted(names, key=str.encode)
    assert [one["name"] for one in answers[-4]["ok"]] == in_order
    assert [one["id"] for one in answers[-3]["ok"]] == in_order
    assert [one["name"] for one in answers[-2]["ok"]] == in_order
    assert answers[-1]["ok"] == ["B", "a", "b", "default"]


def test_a_transaction_is_all_or_nothing(both: Play) -> None:
    steps = [image_op("create"), {"op": "image.get", "name": "i"}, container_op("create")]
    here = [{"ns": "default", **one} for one in steps]
    answers = both(
        {"op": "transaction", "steps": here, "rollback": True},
        {"op": "namespace.list"},
        {"op": "transaction", "steps": [*here, here[0], here[1]]},
        {"op": "namespace.list"},
        {"op": "transaction", "steps": here},
        {"op": "namespace.list"},
    )
    assert kinds(answers[0]["ok"]) == ["ok"] * 3
    assert kinds(answers[2]["ok"]) == ["ok"] * 3 + ["already exists"]
    assert answers[1]["ok"] == answers[3]["ok"] == []
    assert answers[5]["ok"] == ["default"]
