"""The command line, on a root of its own."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from cli.players import Orlop
from oci.builder import Built, entry, layer

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove environment variables of the user that could change an answer."""
    for name in ("CONTAINERD_NAMESPACE", "CONTAINERD_SNAPSHOTTER", "ORLOP_ROOT", "ORLOP_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def orlop(tmp_path: Path) -> Orlop:
    """Return the command line, on a root that is not there yet."""
    return Orlop(tmp_path / "root")


@pytest.fixture
def greeting() -> Path:
    """Return the archive of the example image."""
    return EXAMPLES / "greeting.tar"


@pytest.fixture
def with_image(orlop: Orlop, greeting: Path) -> Orlop:
    """Return the command line, on a root with the example image, unpacked with `native`."""
    orlop("image", "import", greeting, "--unpack", "native", "--quiet")
    return orlop


@pytest.fixture
def long_image(tmp_path: Path) -> Path:
    """Return an archive that takes a while to import."""
    noise = random.Random(3).randbytes(8_000_000)
    image = Built()
    image.image(
        [layer(entry("file", data=noise[number:] + noise)) for number in range(3)], compress=False
    )
    return image.archive(tmp_path / "long.tar")
