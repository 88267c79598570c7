"""Layers of random trees, as the programs that people use write them, in all their formats."""

from __future__ import annotations

import io
import os
import random
import stat
import subprocess
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PRODUCERS = (
    ("tar", "--format=v7"),
    ("tar", "--format=ustar"),
    ("tar", "--format=oldgnu"),
    ("tar", "--format=gnu"),
    ("tar", "--format=posix", "--xattrs"),
    ("tar", "--format=posix", "--sparse", "--sparse-version=0.0"),
    ("tar", "--format=posix", "--sparse", "--sparse-version=0.1"),
    ("tar", "--format=posix", "--sparse", "--sparse-version=1.0", "--xattrs"),
    ("tar", "--format=posix", "--pax-option=delete=mtime"),
    ("tar", "--format=posix", "--pax-option=globexthdr.name=global,comment=x"),
    ("bsdtar", "--format=v7"),
    ("bsdtar", "--format=ustar"),
    ("bsdtar", "--format=gnutar"),
    ("bsdtar", "--format=pax", "--xattrs"),
    ("bsdtar", "--format=pax", "--read-sparse"),
    ("bsdtar", "--format=paxr"),
    ("python", str(tarfile.USTAR_FORMAT)),
    ("python", str(tarfile.GNU_FORMAT)),
    ("python", str(tarfile.PAX_FORMAT)),
)
"""Programs with the options for one format. GNU's own form of sparse files is one that containerd
does not unpack."""

_SHORT = frozenset({"--format=v7", "--format=ustar", str(tarfile.USTAR_FORMAT)})
"""Formats that keep names of less than 100 bytes, and owners that fit into seven digits."""

MAX_EXIT_CODE = 2


class Tree:
    """Makes a random tree in a folder."""

    def __init__(self, seed: int, folder: Path, *, plain: bool) -> None:
        self._random = random.Random(seed)
        self._folder = folder
        self._plain = plain

    def make(self) -> None:
        """Fill the folder; its own attributes are in no layer."""
        directories = [self._folder]
        files: list[Path] = []
        for number in range(self._random.randint(4, 14)):
            parent = self._random.choice(directories)
            path = parent / self._name(number)
            kind = self._random.choice("dffffslhp")
            if kind == "d":
                path.mkdir()
                directories.append(path)
            elif kind == "l":
                path.symlink_to(self._random.choice(("missing", "../x", "/abs", "l" * 90)))
            elif kind == "p":
                os.mkfifo(path)
            elif kind == "h" and files:
                path.hardlink_to(self._random.choice(files))
                continue
            else:
                self._write(path, sparse=kind == "s")
                files.append(path)
            self._adorn(path)
        for path in reversed(directories[1:]):
            self._set_time(path)

    def _name(self, number: int) -> str:
        names = ["a", "b c", "caf\xe9", "x.y", "-dash", "\u65e5\u672c"]
        if not self._plain:
            names += ["n" * 120, "m" * 200, "new\nline", "back\\slash"]
        return f"{self._random.choice(names)}{number}"

    def _write(self, path: Path, *, sparse: bool) -> None:
        with path.open("wb") as file:
            for _ in range(self._random.randint(0, 3)):
                if sparse:
                    file.seek(self._random.choice((4096, 65536, 1 << 20)), os.SEEK_CUR)
                file.write(self._random.randbytes(self._random.choice((0, 1, 511, 512, 9000))))
            if sparse:
                file.truncate(file.tell() + self._random.choice((0, 4096, 100_000)))

    def _adorn(self, path: Path) -> None:
        ids = [0, 1, 1000, 65534] + ([] if self._plain else [3_000_000, 4_294_967_294])
        os.lchown(path, self._random.choice(ids), self._random.choice(ids))
        state = path.lstat()
        if not stat.S_ISLNK(state.st_mode):
            path.chmod(self._random.choice((0o644, 0o600, 0o755, 0o4711, 0o2755, 0o1777, 0o444)))
        if stat.S_ISREG(state.st_mode) and self._random.randrange(3) == 0:
            os.setxattr(path, "user.note", self._random.randbytes(self._random.choice((0, 3, 60))))
        self._set_time(path)

    def _set_time(self, path: Path) -> None:
        times = [0, 1_600_000_000, 1_600_000_000_123_456_789, 4_000_000_000_000_000_000]
        time = self._random.choice(times if not self._plain else [1_600_000_000_000_000_000])
        os.utime(path, ns=(time, time), follow_symlinks=False)


def is_plain(producer: tuple[str, ...]) -> bool:
    """Whether a format keeps only the fields of a plain tar header."""
    return not _SHORT.isdisjoint(producer)


def produce(producer: tuple[str, ...], folder: Path) -> bytes:
    """Return a layer with the contents of a folder, its entries in order."""
    program, *options = producer
    names = sorted(path.name for path in folder.iterdir())
    if program == "python":
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=int(options[0])) as archive:
            for name in names:
                archive.add(folder / name, name)
        return stream.getvalue()
    listed = "".join(f"{name}\0" for name in names).encode()
    order = ["--sort=name"] if program == "tar" else []
    command = [program, *order, *options, "-C", str(folder), "--null", "-cf", "-", "-T", "-"]
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, input=listed, env=environment, check=False, capture_output=True)
    # The programs leave out what a format cannot hold, and say so with 1 or 2; the layer is whole.
    assert done.stdout, done.stderr
    assert done.returncode <= MAX_EXIT_CODE, done.stderr
    return done.stdout
