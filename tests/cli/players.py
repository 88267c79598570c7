"""The callers of the command line in these tests, and the roots that it is called on."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orlop.cli.main import main

METADATA = Path("io.containerd.metadata.v1.bolt", "meta.db")
OVERLAY = Path("io.containerd.snapshotter.v1.overlayfs", "metadata.db")
CONTENT = Path("io.containerd.content.v1.content")


@dataclass(frozen=True)
class Answer:
    """The result of a command: its exit code, and its output."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    def document(self) -> Any:
        """Return the one JSON document on stdout."""
        return json.loads(self.raw)

    def objects(self) -> list[dict[str, Any]]:
        """Return the JSON objects on stdout, one a line."""
        return [json.loads(line) for line in self.lines]


@dataclass(frozen=True)
class Orlop:
    """Calls the command line, in this process; `root` is its default."""

    root: Path

    def __call__(self, *arguments: str | Path, stdin: bytes = b"", code: int = 0) -> Answer:
        """Run a command that must end with `code`."""
        answer = self.ended(*arguments, stdin=stdin)
        assert answer.code == code, f"{arguments}: {answer.err or answer.raw!r}"
        return answer

    def ended(self, *arguments: str | Path, stdin: bytes = b"") -> Answer:
        """Run a command, however it ends."""
        out, err = io.BytesIO(), io.StringIO()
        out_text = io.TextIOWrapper(out, encoding="utf-8", write_through=True)
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(out_text),
            contextlib.redirect_stderr(err),
        ):
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            patch.setenv("ORLOP_ROOT", str(self.root))
            ended = main([str(argument) for argument in arguments])
        return Answer(ended, out.getvalue(), err.getvalue())

    def started(self, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run the command line in a process of its own."""
        environment = {**os.environ, "ORLOP_ROOT": str(self.root), **options.pop("env", {})}
        return subprocess.run(
            [sys.executable, "-m", "orlop", *map(str, arguments)],
            env=environment,
            capture_output=True,
            check=False,
            timeout=60,
            **options,
        )


def root_of(data: Path, stage: str, where: Path) -> Path:
    """Lay a golden database out as the root that it was copied from, as far as that is known.

    Of the content store only the ingests are made, with the sizes that they had.
    """
    golden = data / "meta-db"
    for source, target in ((".db", METADATA), (".snapshotter-overlayfs.db", OVERLAY)):
        (where / target).parent.mkdir(parents=True)
        shutil.copy(golden / f"{stage}{source}", where / target)
        (where / target).chmod(0o600)
    for line in (golden / f"{stage}.content.txt").read_text(encoding="utf-8").splitlines():
        name, size = line.split()
        if name.startswith("./ingest/"):
            _ingest_file(where / CONTENT / name, int(size))
    return where


def _ingest_file(path: Path, size: int) -> None:
    texts = {
        "ref": "default/1/partial-ref",
        "startedat": "2026-11-24T21:07:38.123456789Z",
        "updatedat": "2026-11-24T21:07:38.123456789Z",
        "total": "1000",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    data = texts.get(path.name, "").encode().ljust(size, b"x")
    assert len(data) == size, path.name
    path.write_bytes(data)
