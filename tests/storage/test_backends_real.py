"""Interchange with containerd's own backends: each reads and extends the other's data."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orlop import digests
from orlop.clock import SystemClock
from orlop.records import SnapshotKind
from orlop.storage import LocalContent, NativeSnapshotter, OverlaySnapshotter
from storage.opening import open_for_writing

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.records import Mount

pytestmark = [pytest.mark.real("go"), pytest.mark.slow, pytest.mark.root]

SOURCE = Path(__file__).parent / "daemon"
GOPATH = Path("/usr/share/gocode")
TIMEOUT_SECONDS = 300


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Return a function that runs containerd's backends on a directory."""
    if not (GOPATH / "src/github.com/containerd/containerd/content/local").is_dir():
        pytest.skip("needs apt-get install golang-github-containerd-containerd-dev")
    program = tmp_path_factory.mktemp("daemon") / "daemon"
    environment = os.environ | {"GO111MODULE": "off", "GOPATH": str(GOPATH), "GOFLAGS": ""}
    command = ["go", "build", "-o", str(program), "."]
    subprocess.run(command, cwd=SOURCE, env=environment, timeout=TIMEOUT_SECONDS, check=True)

    def run(kind: str, root: Path, first: str, second: str) -> dict[str, Any]:
        done = subprocess.run(
            [program, kind, root, first, second], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return run


def test_content(tmp_path: Path, daemon: Callable[..., Any]) -> None:
    content = LocalContent(tmp_path, clock=SystemClock())
    blobs = {}
    for data in (b"", b"one", b"two" * 1000):
        writer = content.writer("ref")
        writer.write(data)
        writer.commit()
        blobs[digests.from_bytes(data)] = len(data)
    for ref, size in (("half", 100), ("other", 0)):
        writer = content.writer(ref, size=size)
        writer.write(b"the first half, ")
        writer.close()

    found = daemon("content", tmp_path, "half", "the second half")

    assert found == {"blobs": blobs, "ingests": {"half": 16, "other": 16}}
    whole = digests.from_bytes(b"the first half, the second half")
    assert {info.digest for info in content.walk()} == {*blobs, whole}
    assert [status.ref for status in content.statuses()] == ["other"]
    with content.open(whole) as reader:
        assert reader.read() == b"the first half, the second half"


@pytest.mark.parametrize("kind", ["native", "overlayfs"])
def test_snapshots(tmp_path: Path, daemon: Callable[..., Any], kind: str) -> None:
    made = NativeSnapshotter if kind == "native" else OverlaySnapshotter

    def opened() -> NativeSnapshotter | OverlaySnapshotter:
        return made(tmp_path, open_for_writing, clock=SystemClock())

    ours = opened()
    parent = ""
    for number in range(3):
        ours.prepare(f"key-{number}", parent)
        (ours._data(str(number + 1)) / f"file-{number}").write_bytes(b"x" * 10_000)
        ours.commit(f"layer-{number}", f"key-{number}", {"number": str(number)})
        parent = f"layer-{number}"
    ours.prepare("active", "layer-1", {"containerd.io/snapshot.ref": "x"})
    ours.view("view", "layer-2")
    ours.view("view of one", "layer-0")
    before = {info.name: info for info in ours.walk()}
    usages = {key: ours.usage(key) for key in before}
    mounts = {key: ours.mounts(key) for key in ("active", "view", "view of one")}
    ours.close()

    found = daemon(kind, tmp_path, "theirs", "layer-2")

    ours = opened()
    assert found["usages"] == {
        key: {"Inodes": usage.inodes, "Size": usage.size} for key, usage in usages.items()
    }
    assert {key: (info["Parent"], info["Kind"]) for key, info in _plain(found).items()} == {
        key: (info.parent, info.kind.name.capitalize()) for key, info in before.items()
    }
    for key, info in before.items():
        told = _plain(found)[key]
        assert told["Labels"] == info.labels
        assert info.created_at is not None
        assert told["Created"] == info.created_at.format_iso()
    mounts["theirs"] = ours.mounts("theirs")
    assert {key: [_mount(entry) for entry in value] for key, value in found["mounts"].items()} == {
        key: [_ours(entry) for entry in value] for key, value in mounts.items()
    }

    assert ours.stat("theirs").labels == {"made": "by the daemon"}
    ours.commit("layer-3", "theirs")
    assert ours.stat("layer-3").kind is SnapshotKind.COMMITTED
    for key in ("view", "view of one", "active", "layer-3", "layer-2", "layer-1", "layer-0"):
        ours.remove(key)
    ours.cleanup()
    assert list((tmp_path / "snapshots").iterdir()) == []
    ours.close()


def _plain(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the daemon's snapshot records, with the empty fields that it omits."""
    empty = {"Parent": "", "Labels": {}}
    return {key: empty | info for key, info in found["snapshots"].items()}


def _mount(entry: dict[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    # The newest containerd has index=off last, as Orlop has it; this one has it first.
    return entry["Type"], entry["Source"], tuple(sorted(entry["Options"]))


def _ours(mount: Mount) -> tuple[str, str, tuple[str, ...]]:
    return mount.type, mount.source, tuple(sorted(mount.options))
