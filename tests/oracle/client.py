"""The Go program beside this file, from Python: bbolt itself, asked or put to work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

SOURCE = Path(__file__).resolve().parent
GOPATH = "/usr/share/gocode"
BBOLT = Path(GOPATH, "src/go.etcd.io/bbolt")
TIMEOUT_SECONDS = 300


class OracleError(Exception):
    """bbolt failed where the test did not ask it to."""


@dataclass(frozen=True, slots=True)
class Oracle:
    """bbolt with a set of options.

    Attributes:
        program: the built binary.
        page_size: page size of a file that it makes, in bytes; 0 for the machine's own.
        freelist_sync: whether it keeps the freelist in the file.
        sync: whether it waits for the disk at each commit.
    """

    program: Path
    page_size: int = 0
    freelist_sync: bool = True
    sync: bool = True

    @classmethod
    def build(cls, folder: Path) -> Self:
        """Build the program into `folder`, on the bbolt that Debian packages.

        Raises:
            OracleError: the compiler refused.
        """
        program = folder / "oracle"
        done = subprocess.run(
            ["go", "build", "-o", program, "."],
            cwd=SOURCE,
            env=os.environ | {"GO111MODULE": "off", "GOPATH": GOPATH, "GOFLAGS": ""},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        if done.returncode:
            raise OracleError(f"go build in {SOURCE}:\n{done.stderr}")
        return cls(program)

    def with_options(
        self, *, page_size: int = 0, freelist_sync: bool = True, sync: bool = True
    ) -> Self:
        """Return the same oracle with other options."""
        return replace(self, page_size=page_size, freelist_sync=freelist_sync, sync=sync)

    def check(self, path: Path) -> list[str]:
        """Return the faults that bbolt's own check finds in the file; empty if it is sound."""
        found: list[str] = json.loads(self._call("check", path))
        return found

    def dump(self, path: Path) -> dict[str, Any]:
        """Return the canonical dump of the file, as of `orlop db dump --json`."""
        found: dict[str, Any] = json.loads(self._call("dump", path))
        return found

    def run(self, path: Path, operations: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Play a script on the file, which is made if it is missing, and return the results."""
        script = "".join(f"{json.dumps(one)}\n" for one in operations)
        return [json.loads(line) for line in self._call("run", path, script).splitlines()]

    def read_archives(self, folder: Path, archives: Iterable[bytes]) -> list[dict[str, Any]]:
        """Return the entries that Go's archive/tar reads per archive; `folder` is for a file."""
        return self._read_batch("tar", folder, archives)

    def read_documents(self, folder: Path, documents: Iterable[bytes]) -> list[dict[str, Any]]:
        """Return the fields that Go's encoding/json reads of each document; `folder` is for a file.

        A document begins with its kind and a NUL byte.
        """
        return self._read_batch("json", folder, documents)

    def _read_batch(
        self, command: str, folder: Path, items: Iterable[bytes]
    ) -> list[dict[str, Any]]:
        path = folder / f"{command}.batch"
        with path.open("wb") as file:
            for item in items:
                file.write(len(item).to_bytes(8, "big") + item)
        return [json.loads(line) for line in self._call(command, path).splitlines()]

    def _call(self, command: str, path: Path, stdin: str = "") -> str:
        options = [f"-page-size={self.page_size}"]
        options += [] if self.freelist_sync else ["-no-freelist-sync"]
        options += [] if self.sync else ["-no-sync"]
        done = subprocess.run(
            [self.program, *options, command, path],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        if done.returncode:
            raise OracleError(f"bbolt {command} {path.name}: {done.stderr.strip()}")
        return done.stdout


def missing() -> str | None:
    """Return why the oracle cannot be built here, None when it can."""
    if shutil.which("go") is None:
        return "needs the Go compiler: apt-get install golang-go"
    if not BBOLT.is_dir():
        return "needs bbolt's source: apt-get install golang-github-coreos-bbolt-dev"
    return None
