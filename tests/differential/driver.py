"""The Go program in tests/metadata_driver, from Python: containerd's own metadata package."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

SOURCE = Path(__file__).resolve().parent.parent / "metadata_driver"
GOPATH = "/usr/share/gocode"
TIMEOUT_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Driver:
    """The built program."""

    program: Path

    @classmethod
    def build(cls, folder: Path) -> Self:
        """Build the program into `folder`, on the containerd that Debian packages."""
        program = folder / "metadata_driver"
        subprocess.run(
            ["go", "build", "-o", program, "."],
            cwd=SOURCE,
            env=os.environ | {"GO111MODULE": "off", "GOPATH": GOPATH, "GOFLAGS": ""},
            check=True,
            timeout=TIMEOUT_SECONDS,
        )
        return cls(program)

    def run(self, root: Path, operations: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Play a script on a root directory, which is made if it is missing; return the answers."""
        script = "".join(f"{json.dumps(one)}\n" for one in operations)
        done = subprocess.run(
            [self.program, root],
            input=script,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=True,
        )
        return [json.loads(line) for line in done.stdout.splitlines()]
