"""The two sides as programs: what to run for a measurement, and what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import Self

REPOSITORY: Final = Path(__file__).resolve().parent.parent
_ACCELERATED: Final = REPOSITORY / ".venv-accelerated" / "bin" / "python"
_PEER: Final = Path(__file__).resolve().parent / "peer"
_GO: Final = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": ""}
_SECONDS_MAX: Final = 3600


class FailedError(Exception):
    """A side did not do what it should; the message holds what it said."""


@dataclass(frozen=True, slots=True)
class Program:
    """One side: a command that takes the name of a measurement, a folder and a count."""

    command: tuple[str, ...]

    @classmethod
    def orlop(cls, python: str = sys.executable) -> Self:
        """Return the side of Orlop, in this Python or in another one."""
        return cls((python, "-m", "benchmarks.sides"))

    @classmethod
    def peer(cls, folder: Path) -> Self:
        """Build the side of Go into `folder`, on the packages that Debian has.

        Raises:
            FailedError: the compiler refused.
        """
        program = folder / "peer"
        output(["go", "build", "-o", str(program), "."], cwd=_PEER, environment=_GO)
        return cls((str(program),))

    def run(self, name: str, folder: Path, count: int) -> dict[str, float]:
        """Run a measurement in `folder` and return its figures.

        Raises:
            FailedError: it failed.
        """
        found: dict[str, float] = json.loads(
            output([*self.command, name, str(folder), str(count)], cwd=REPOSITORY)
        )
        return found


def accelerated_python() -> str | None:
    """Return the Python that `make accelerate` makes, `None` where it was not made."""
    return str(_ACCELERATED) if _ACCELERATED.exists() else None


def output(command: list[str], *, cwd: Path, environment: dict[str, str] | None = None) -> str:
    """Run a command and return what it printed.

    Raises:
        FailedError: it failed.
    """
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        timeout=_SECONDS_MAX,
        check=False,
    )
    if done.returncode:
        raise FailedError(f"{' '.join(command)}:\n{done.stderr.strip()}")
    return done.stdout
