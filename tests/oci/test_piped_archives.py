"""Archives that come through a pipe are imported as those in files."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orlop.errors import DataLossError, InvalidArgumentError
from orlop.oci import import_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.namespace import Namespace

EXAMPLE = Path("examples/greeting.tar").absolute()
NAME = "example.com/greeting:v1"


@pytest.fixture
def piped() -> Iterator[int]:
    """Return the end of a pipe from which the example can be read."""
    reading, writing = os.pipe()

    def write() -> None:
        with open(writing, "wb") as pipe:  # noqa: PTH123 -- a descriptor
            pipe.write(EXAMPLE.read_bytes())

    thread = threading.Thread(target=write)
    thread.start()
    yield reading
    thread.join()


def names(namespace: Namespace) -> list[str]:
    return [image.name for image in namespace.images.list()]


def nothing_is_left(namespace: Namespace) -> bool:
    root = namespace.environment.root
    assert root is not None
    return {path.name for path in root.iterdir() if not path.name.startswith("io.")} == set()


def test_an_open_pipe(namespace: Namespace, piped: int) -> None:
    with open(piped, "rb") as pipe:
        import_image(namespace, pipe, unpack="native")
    assert names(namespace) == [NAME]
    assert nothing_is_left(namespace)


def test_the_name_of_an_open_pipe(namespace: Namespace, piped: int) -> None:
    import_image(namespace, f"/dev/fd/{piped}", unpack="native")
    os.close(piped)
    assert names(namespace) == [NAME]


def test_a_named_pipe(namespace: Namespace, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["sh", "-c", 'cat "$0" > "$1"', EXAMPLE, pipe]):
        import_image(namespace, pipe)
    assert names(namespace) == [NAME]
    assert nothing_is_left(namespace)


def test_what_python_has_in_memory(namespace: Namespace) -> None:
    import_image(namespace, io.BytesIO(EXAMPLE.read_bytes()))
    assert names(namespace) == [NAME]


def test_a_pipe_that_is_read_in_small_pieces(namespace: Namespace) -> None:
    class Slow(io.RawIOBase):
        """Gives one byte at a time at the beginning."""

        def __init__(self) -> None:
            self._data = io.BytesIO(EXAMPLE.read_bytes())

        def read(self, size: int = -1) -> bytes:
            return self._data.read(1 if self._data.tell() < 700 else size)

    import_image(namespace, Slow())  # type: ignore[arg-type]  # what it reads of a stream
    assert names(namespace) == [NAME]


def test_what_is_no_archive_is_refused_before_it_is_copied(
    namespace: Namespace, tmp_path: Path
) -> None:
    class Endless(io.RawIOBase):
        name = "endless"

        def read(self, size: int = -1) -> bytes:
            return b"x" * size

    for stream, reason in (
        (Endless(), "endless: not a tar archive"),
        (io.BytesIO(b"\x1f\x8b\x08" + bytes(1000)), "compressed with gzip as a whole"),
        (io.BytesIO(b""), "too short"),
    ):
        with pytest.raises(InvalidArgumentError, match=reason):
            import_image(namespace, stream)  # type: ignore[arg-type]
    for device in ("/dev/zero", "/dev/null"):
        with pytest.raises(InvalidArgumentError, match="neither a plain file nor a pipe"):
            import_image(namespace, device)
    cut = io.BytesIO(EXAMPLE.read_bytes()[:-12_000])
    with pytest.raises(DataLossError):
        import_image(namespace, cut)
    assert nothing_is_left(namespace)
    assert not namespace.leases.list()
    del tmp_path


SHELL = {
    "a pipe": 'cat "$1" | "$0" -m orlop --root "$2" image import -',
    "a file": '"$0" -m orlop --root "$2" image import - < "$1"',
    "the device of a pipe": 'cat "$1" | "$0" -m orlop --root "$2" image import /dev/stdin',
    "the device of a file": '"$0" -m orlop --root "$2" image import /dev/stdin < "$1"',
    "a substitution": '"$0" -m orlop --root "$2" image import <(cat "$1")',
    "an export": (
        '"$0" -m orlop --root "$2.from" image import "$1" && '
        f'"$0" -m orlop --root "$2.from" image export - {NAME} | '
        '"$0" -m orlop --root "$2" image import - --unpack native'
    ),
}


@pytest.mark.parametrize("way", SHELL)
def test_a_shell_pipes_an_archive(tmp_path: Path, way: str) -> None:
    root = tmp_path / "root"
    command: list[str | Path] = [
        "bash",
        "-o",
        "pipefail",
        "-c",
        SHELL[way],
        sys.executable,
        EXAMPLE,
        root,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == NAME
    assert all(path.name.startswith("io.") for path in root.iterdir())


def test_a_closed_standard_input_is_refused(tmp_path: Path) -> None:
    script = '"$0" -m orlop --root "$1" image import - <&-'
    done = subprocess.run(
        ["bash", "-c", script, sys.executable, tmp_path / "root"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 8
    assert "standard input: it is closed" in done.stderr
    assert "Traceback" not in done.stderr
