"""How much processor time a command takes from start to end, beside `python -c pass`."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median
from typing import TYPE_CHECKING, Final

import orlop
from benchmarks.programs import REPOSITORY, FailedError

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION: Final = "version"
HELP: Final = "help"
LIST: Final = "image list"
IMPORT: Final = "import orlop"

_IMAGES: Final = 10
_MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
_NOTHING: Final = "pass"
# What the installed program does.
_PROGRAM: Final = "import sys; from orlop.cli.main import main; sys.exit(main())"


class StartUp:
    """A small root, and the commands that are started on it.

    Attributes:
        root: its directory.
    """

    def __init__(self, folder: Path) -> None:
        """Make the root in `folder`, and the cache of bytecode that an installation has."""
        self.root = folder / "root"
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if name not in {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH"}
        }
        self._environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
        if not self.root.exists():
            _make_root(self.root)

    def orlop(self, runs: int, python: str = sys.executable) -> dict[str, float]:
        """Return the median processor seconds of each command.

        Args:
            runs: how often each is started.
            python: what runs it.
        """
        program = [python, "-c", _PROGRAM]
        commands = {
            VERSION: [*program, "--version"],
            HELP: [*program, "--help"],
            LIST: [*program, "--root", str(self.root), "image", "ls"],
            IMPORT: [python, "-c", "import orlop"],
        }
        return {name: self.seconds(command, runs) for name, command in commands.items()}

    def interpreter(self, runs: int, python: str = sys.executable) -> dict[str, float]:
        """Return the median processor seconds of `python -c pass`, for each command."""
        seconds = self.seconds([python, "-c", _NOTHING], runs)
        return dict.fromkeys((VERSION, HELP, LIST, IMPORT), seconds)

    def seconds(self, command: Sequence[str], runs: int) -> float:
        """Return the median processor seconds of a command.

        Raises:
            FailedError: it failed.
        """
        self._once(command)  # fills caches
        return median(self._once(command) for _ in range(runs))

    @staticmethod
    def _path(python: str) -> dict[str, str]:
        """Return where this Python finds what runs here; another one has what is installed."""
        is_other = python != sys.executable
        return {} if is_other else {"PYTHONPATH": str(Path(orlop.__file__).parents[1])}

    def _once(self, command: Sequence[str]) -> float:
        before = getrusage(RUSAGE_CHILDREN)
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=self._environment | self._path(command[0]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        after = getrusage(RUSAGE_CHILDREN)
        if done.returncode:
            raise FailedError(f"{' '.join(command)}: {done.stderr}")
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _make_root(root: Path) -> None:
    """Make a root with a few images, each of a manifest that refers to a layer."""
    with orlop.open(root) as database:
        namespace = database.namespace("default")
        for number in range(_IMAGES):
            layer, manifest = f"layer {number}".encode(), f"manifest {number}".encode()
            _write_blob(namespace, layer, {})
            _write_blob(namespace, manifest, {"containerd.io/gc.ref.content.0": _digest(layer)})
            target = orlop.Descriptor(
                media_type=_MANIFEST_TYPE, digest=_digest(manifest), size=len(manifest)
            )
            namespace.images.create(orlop.Image(name=f"image-{number}", target=target))


def _write_blob(namespace: orlop.Namespace, data: bytes, labels: dict[str, str]) -> None:
    with namespace.content.writer(_digest(data)) as writer:
        writer.write(data)
        writer.commit(expected=_digest(data), labels=labels)


def _digest(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"
