"""`orlop db`: the file itself."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

import orlop as library
from cli.players import METADATA

if TYPE_CHECKING:
    from pathlib import Path

    from cli.players import Orlop

OLD = "v1.6-07-leases-ns2-ingest"
NEW = "v2-12-all-gone-after-gc"


def canonical(bbolt: dict[str, Any]) -> dict[str, Any]:
    """Return bbolt's own dump, as the golden files have it, in Orlop's words."""
    return {
        "sequence": bbolt["seq"],
        "items": [
            {"key": item["k"], "bucket": canonical(item["b"])}
            if "b" in item
            else {"key": item["k"], "value": item["v"]}
            for item in bbolt["items"]
        ],
    }


@pytest.fixture
def old(data: Path, tmp_path: Path) -> Path:
    """Return a copy of a file of version 3."""
    copy = tmp_path / "old.db"
    shutil.copy(data / "meta-db" / f"{OLD}.db", copy)
    copy.chmod(0o600)
    return copy


@pytest.mark.parametrize("stage", [OLD, "v1.6-12-all-gone-after-gc", NEW])
def test_dump_is_what_bbolt_dumps(orlop: Orlop, data: Path, stage: str) -> None:
    golden = data / "meta-db" / f"{stage}.db"
    bbolt = json.loads(golden.with_suffix(".json").read_text(encoding="utf-8"))

    dumped = orlop("db", "dump", golden, "--json")

    assert dumped.document() == canonical(bbolt)
    assert orlop("--db", golden, "db", "dump").raw == dumped.raw


def test_dump_streams(orlop: Orlop, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(
        "orlop.cli.output.Output.pieces",
        lambda _, pieces: sizes.extend(len(piece) for piece in pieces),
    )

    orlop("db", "dump", old)

    assert len(sizes) > 400
    assert max(sizes) < 10_000


def test_info(orlop: Orlop, old: Path, data: Path) -> None:
    shown = orlop("db", "info", old, "--json").document()
    assert (shown["schema_version"], shown["page_size"], shown["size"]) == (3, 4096, 262144)
    assert shown["namespaces"] == ["default", "ns2"]
    assert shown["freelist_kept"] is True
    assert "schema: version 3" in orlop("db", "info", old).lines

    metastore = data / "meta-db" / f"{OLD}.snapshotter-overlayfs.db"
    # It has the same outermost bucket, but no version and no namespaces.
    assert orlop("db", "info", metastore, "--json").document()["schema_version"] == 0
    assert (
        orlop("--db", data / "meta-db" / f"{NEW}.db", "db", "info", "--json").document()[
            "freelist_kept"
        ]
        is False
    )


def test_tree_reads_values_by_their_place(orlop: Orlop) -> None:
    for key in ("createdat=soon", "size=large", "version=1.0", "spec=none"):
        orlop("lease", "create", "-n", "mine", "--label", key, f"labels-{key[:4]}")
    orlop("container", "create", "c1", "-n", "mine", "--label", "createdat=x")

    drawn = [line.strip() for line in orlop("db", "tree").lines]

    assert {"createdat = soon", "size = large", "version = 1.0", "createdat = x"} <= set(drawn)
    assert "version = 4" in drawn
    assert "spec = types.containerd.io/opencontainers/runtime-spec/1/Spec (2 bytes)" in drawn
    assert any(line.startswith("createdat = 20") and line.endswith("Z") for line in drawn)


def test_tree_counts_and_draws_as_deep_as_asked(orlop: Orlop, old: Path) -> None:
    assert orlop("db", "tree", old, "--depth", "2").lines == [
        "v1/ (3)",
        "  default/ (5)",
        "  ns2/ (4)",
        "  version = 3",
    ]
    shown = orlop("db", "tree", old, "--depth", "1", "--json").objects()
    assert shown == [{"path": ["v1"], "entries": 3, "sequence": 0}]


def test_tree_of_a_snapshotters_own_database(orlop: Orlop, data: Path) -> None:
    metastore = data / "meta-db" / f"{OLD}.snapshotter-overlayfs.db"

    values = {
        tuple(one["path"][-2:]): one["value"]
        for one in orlop("db", "tree", metastore, "--json").objects()
        if "value" in one
    }

    assert (values["default/9/c1", "kind"], values["default/9/c1", "id"]) == ("active", "5")


def test_check_of_a_sound_and_of_a_damaged_file(orlop: Orlop, old: Path) -> None:
    assert orlop("db", "check", old).lines == [f"{old}: sound"]
    assert orlop("db", "check", old, "--json").document()["faults"] == []
    with old.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(b"\xff" * 4096 * 20)

    answer = orlop("db", "check", old, "--json", code=1)

    faults = answer.document()["faults"]
    assert faults
    assert not answer.document()["sound"]
    assert f"damaged in {len(faults)} place" in orlop("db", "check", old, code=1).lines[-1]
    assert "damaged" in orlop("db", "backup", old.with_name("copy"), old, code=7).err
    assert not old.with_name("copy").exists()


def test_check_of_what_is_no_database(orlop: Orlop, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("hello", encoding="utf-8")

    assert len(orlop("db", "check", text, "--json", code=1).document()["faults"]) == 1
    orlop("db", "check", tmp_path / "missing", code=3)


def test_backup(with_image: Orlop, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with library.open(with_image.root):  # somebody has the lock
        answer = with_image("db", "backup", copy, "--json").document()

    assert answer == {"path": str(copy), "bytes": copy.stat().st_size}
    assert with_image("db", "dump", copy).raw == with_image("db", "dump").raw
    assert "copy.db" in with_image("db", "backup", copy, code=4).err


def test_migrate_keeps_a_copy(orlop: Orlop, old: Path) -> None:
    before = old.read_bytes()

    answer = orlop("db", "migrate", old, "--json").document()

    kept = old.with_name("old.db.version-3")
    assert answer == {"from": 3, "to": 4, "copy": str(kept)}
    assert orlop("db", "dump", kept).document() != orlop("db", "dump", old).document()
    orlop("db", "check", old)
    assert orlop("db", "info", old, "--json").document()["schema_version"] == 4
    again = orlop("db", "migrate", old)
    assert (again.lines, again.err) == (["version 4 already"], "")
    old.write_bytes(before)
    assert orlop("db", "migrate", old, "--no-copy").lines == ["version 3 to 4"]


def test_migrate_that_was_locked_out_can_be_tried_again(orlop: Orlop, old: Path) -> None:
    with library.Database.open_file(old):
        orlop("db", "migrate", old, "--timeout", "0", code=6)

    orlop("db", "migrate", old)


def test_a_newer_schema_is_read_and_not_written(with_image: Orlop) -> None:
    with library.open(with_image.root) as database, database.update() as update:
        schema = update.transaction.root.bucket(b"v1")
        assert schema is not None
        schema.put(b"version", b"\x12")  # 9

    assert len(with_image("image", "ls", "--json").objects()) == 1
    assert with_image("db", "info", "--json").document()["schema_version"] == 9
    assert "version 9" in with_image("lease", "create", code=5).err
    assert "newer than 4" in with_image("db", "migrate", code=5).err
    beside = {path.name for path in (with_image.root / METADATA).parent.iterdir()}
    assert beside == {"meta.db", "orlop"}, "nothing was migrated, so nothing was copied"


def test_the_default_file_is_that_of_the_root(with_image: Orlop) -> None:
    assert with_image("db", "info", "--json").document()["path"] == str(with_image.root / METADATA)


def test_a_lost_database_is_made_anew_only_when_asked(with_image: Orlop) -> None:
    file = with_image.root / "io.containerd.metadata.v1.bolt" / "meta.db"
    file.unlink()
    refused = with_image("lease", "create", code=5).err
    assert "db salvage" in refused
    assert "orlop db init --begin-anew" in refused
    assert "is missing, although" in with_image("db", "init", code=5).err

    assert with_image("db", "init", "--begin-anew", "--json").document() == {"path": str(file)}
    assert with_image("db", "init").lines == [f"{file} is ready"]
    statistics = with_image("gc", "run", "--yes", "--json").document()
    assert statistics["deleted"] == 0
    assert statistics["set_aside"] > 0
