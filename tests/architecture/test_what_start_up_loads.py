"""Start-up loads only the modules that a program uses, since every command pays for it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import orlop

if TYPE_CHECKING:
    from pathlib import Path

NEVER = frozenset({"argparse", "click", "pydantic", "typer"})
"""Option parsers that would take longer than most commands; see decision 36."""

HEAVY = NEVER | {
    "hashlib",
    "json",
    "orlop.bolt.tools.compaction",
    "orlop.bolt.engine",
    "orlop.bolt.live_copy",
    "orlop.gc.collector",
    "orlop.gc.facts_graph",
    "orlop.maintenance",
    "orlop.oci.importer",
    "orlop.oci.unpacker",
    "orlop.storage",
    "orlop.safety",
    "prometheus_client",
    "re2",
    "rich",
    "secrets",
    "shutil",
    "sqlite3",
    "tempfile",
}
"""What no listing needs."""

LIBRARY = HEAVY | {
    "dataclasses",
    "logging",
    "orlop.bolt",
    "orlop.gc",
    "orlop.database",
    "orlop.explain",
    "orlop.records",
    "orlop.oci",
    "orlop.schema",
    "orlop.stores",
    "whenever",
}
"""What `import orlop` alone does not need, either."""


def loaded_by(statement: str) -> set[str]:
    """Return the modules that are loaded after a statement in an interpreter of its own."""
    program = f"import sys\n{statement}\nprint(*sys.modules, sep='\\n', file=sys.stderr)"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(ended.stderr.split())


@pytest.fixture(scope="module")
def bare() -> set[str]:
    """The modules of an interpreter that does nothing: site-packages may bring some."""
    return loaded_by("pass")


def test_importing_the_library(bare: set[str]) -> None:
    loaded = loaded_by("import orlop\nassert orlop.__version__") - bare

    assert loaded & LIBRARY == set()
    assert {one for one in loaded if one.startswith("orlop.")} == {"orlop.lazy_names"}


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_version_and_help(option: str, bare: set[str]) -> None:
    loaded = loaded_by(f"from orlop.cli.main import main\nassert main([{option!r}]) == 0") - bare
    without = {"orlop.storage", "orlop.gc", "orlop.database", "orlop.oci", "orlop.stores"}

    assert loaded & (HEAVY | without | {"orlop.records", "whenever"}) == set()


def test_a_listing_of_a_root(tmp_path: Path, bare: set[str]) -> None:
    with orlop.open(tmp_path / "root") as database:
        with database.namespace("default").content.writer("blob") as writer:
            writer.write(b"blob")
            writer.commit()
        target = orlop.Descriptor(media_type="application/x", digest=writer.digest(), size=4)
        database.namespace("default").images.create(orlop.Image(name="image", target=target))
    arguments = ["--root", str(tmp_path / "root"), "image", "ls"]
    program = f"from orlop.cli.main import main\nassert main({arguments!r}) == 0"

    # It looks whether the data is there, and so needs the backends.
    assert (loaded_by(program) - bare) & (HEAVY - {"json", "orlop.storage"}) == set()


@pytest.mark.parametrize("command", ["image", "content", "snapshot", "gc", "db"])
def test_help_of_a_group_loads_no_parser_of_others(command: str, bare: set[str]) -> None:
    program = f"from orlop.cli.main import main\nassert main([{command!r}, '--help']) == 0"

    assert (loaded_by(program) - bare) & (NEVER | {"rich", "re2"}) == set()
