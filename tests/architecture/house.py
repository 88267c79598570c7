"""The layers as a table: the floor of each part, and the imports of each module.

A part is a package or module directly below `orlop`. Imports point down only, whatever
form they take: at the top of a module, inside a function, for the type checker alone.
"""

from __future__ import annotations

import ast
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "src" / "orlop"

FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"concurrency", "kv", "lazy_names"}),
    frozenset({"bolt", "errors"}),
    frozenset({"filters", "records"}),
    frozenset({"schema"}),
    frozenset({"storage", "transactions"}),
    frozenset({"layout", "stores"}),
    frozenset({"safety"}),
    frozenset({"gc"}),
    frozenset({"database"}),
    frozenset({"explain", "maintenance", "oci", "testing"}),
    frozenset({"cli", "report", "server"}),
)

DATABASE_MODULES = frozenset(
    {
        "creation",
        "database",
        "environment",
        "namespace",
        "opening",
    }
)
"""The modules that make a database out of the floors below: one part in several files."""

RECORD_MODULES = frozenset({"clock", "digests", "events", "identifiers", "labels", "records"})
"""The modules of records and of the values in them: one part in several files."""

FACADE = "orlop"
"""The package's own `__init__`: what users see. It stands directly below the faces."""

FACADE_FLOOR = len(FLOORS) - 1.5

BOLT_USERS = frozenset({"orlop.database", "orlop.maintenance"})
"""Who may name the engine; everybody else sees `orlop.kv`."""

TRANSACTION_MODULES = frozenset({"changes", "lease_blocks", "open_writers", "transactions"})
"""The modules of transactions, of their changes, and of the leases and writers that are open."""

STORAGE_CONTRACT = "orlop.storage.contract"
"""What the stores may know of the backends: any backend that keeps the contract serves them."""


NEUTRAL = frozenset({"concurrency", "lazy_names"})
"""The parts of floor 0 that know nothing of databases: locks, processes, names loaded late."""


@dataclass(frozen=True, slots=True)
class Import:
    """One import of one module of ours by another."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def modules() -> dict[str, Path]:
    """Return every module of the package with its file, packages under their own name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def recipe(target: str) -> str:
    """Return the commands of a target of the Makefile, which are not run."""
    return subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "--always-make", target],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def part_of(module: str) -> str:
    """Return the part that a module belongs to: `orlop.stores.images` is of `stores`."""
    names = module.split(".")
    if len(names) == 1:
        return FACADE
    if names[1] == "__main__":
        return "cli"
    if names[1] in RECORD_MODULES:
        return "records"
    if names[1] in TRANSACTION_MODULES:
        return "transactions"
    return "database" if names[1] in DATABASE_MODULES else names[1]


def floor_of(part: str) -> float | None:
    """Return the floor of a part, None where the table does not know it."""
    if part == FACADE:
        return FACADE_FLOOR
    return next((number for number, parts in enumerate(FLOORS) if part in parts), None)


def imports_of(module: str, source: str, known: frozenset[str]) -> Iterator[Import]:
    """Yield the imports in `source`, the text of `module`, of modules in `known`."""
    for node in ast.walk(ast.parse(source)):
        for name in _names(node, known):
            if name == FACADE or name.startswith(f"{FACADE}."):
                yield Import(module, name, getattr(node, "lineno", 0))


def dependencies() -> dict[str, set[str]]:
    """Return the modules that each module imports, by any form of import."""
    found = modules()
    known = frozenset(found)
    return {
        module: {
            inside
            for one in imports_of(module, path.read_text(encoding="utf-8"), known)
            if (inside := _module_of(one.imported, known)) != module
        }
        for module, path in found.items()
    }


def _module_of(name: str, known: frozenset[str]) -> str:
    """Return the module that a dotted name is in."""
    while name not in known:
        name = name.rpartition(".")[0]
    return name


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules that import each other, directly or indirectly."""
    reached = {module: _reachable(graph, module) for module in graph}
    groups = {
        tuple(sorted(other for other in reached[module] if module in reached[other]))
        for module in graph
        if module in reached[module]
    }
    return [list(group) for group in sorted(groups)]


def _reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    pending = [*graph[start]]
    while pending:
        module = pending.pop()
        if module not in found:
            found.add(module)
            pending += graph.get(module, ())
    return found


def _names(node: ast.AST, known: frozenset[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        # `from orlop import kv` names a module, `from orlop.kv import Engine` something in one.
        inner = [f"{base}.{alias.name}" for alias in node.names]
        return [name if name in known else base for name in inner]
    if isinstance(node, ast.Call):
        return _dynamic(node)
    return []


def _dynamic(call: ast.Call) -> list[str]:
    called = call.func.attr if isinstance(call.func, ast.Attribute) else call.func
    name = called.id if isinstance(called, ast.Name) else called
    if name not in {"import_module", "__import__"} or not call.args:
        return []
    first = call.args[0]
    return [first.value] if isinstance(first, ast.Constant) and isinstance(first.value, str) else []
