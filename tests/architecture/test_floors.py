"""Imports point down the floors only, and the engine is named in two places only."""

from __future__ import annotations

import ast

import pytest

from architecture.house import (
    BOLT_USERS,
    DATABASE_MODULES,
    FACADE,
    FLOORS,
    NEUTRAL,
    RECORD_MODULES,
    STORAGE_CONTRACT,
    TRANSACTION_MODULES,
    Import,
    circles,
    dependencies,
    floor_of,
    imports_of,
    modules,
    part_of,
)


def every_import() -> list[Import]:
    found = modules()
    known = frozenset(found)
    return [
        one
        for module, path in found.items()
        for one in imports_of(module, path.read_text(encoding="utf-8"), known)
    ]


def points_down(one: Import) -> bool:
    upper, lower = part_of(one.importer), part_of(one.imported)
    if upper == lower:
        return True
    upper_floor, lower_floor = floor_of(upper), floor_of(lower)
    return upper_floor is not None and lower_floor is not None and lower_floor < upper_floor


def test_every_module_lives_on_a_floor() -> None:
    homeless = [module for module in modules() if floor_of(part_of(module)) is None]

    assert homeless == [], "add the part to FLOORS, and to the design, or move the module"


def test_imports_point_down() -> None:
    assert [str(one) for one in every_import() if not points_down(one)] == []


def test_only_the_database_and_the_maintenance_name_the_engine() -> None:
    engine = [one for one in every_import() if part_of(one.imported) == "bolt"]
    strangers = [
        str(one)
        for one in engine
        if part_of(one.importer) not in {"bolt", FACADE}
        and not any(
            one.importer == user or one.importer.startswith(f"{user}.") for user in BOLT_USERS
        )
    ]

    assert strangers == []


def test_the_stores_know_the_contract_of_the_backends_only() -> None:
    known = [
        str(one)
        for one in every_import()
        if part_of(one.importer) == "stores" and part_of(one.imported) == "storage"
        if one.imported != STORAGE_CONTRACT
    ]

    assert known == []


def test_no_modules_import_each_other() -> None:
    assert circles(dependencies()) == []


@pytest.mark.parametrize(
    ("graph", "found"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"a"}, "c": {"a"}}, [["a", "b"]]),
        (
            {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"e"}, "e": {"d"}},
            [["a", "b", "c"], ["d", "e"]],
        ),
    ],
)
def test_the_search_for_circles_itself(graph: dict[str, set[str]], found: list[list[str]]) -> None:
    assert circles(graph) == found


def test_the_engine_stands_alone() -> None:
    below = {
        f"{module} imports {imported}"
        for module, imports in dependencies().items()
        for imported in imports
        if part_of(module) == "bolt" and part_of(imported) not in {"bolt", "kv"} | NEUTRAL
    }

    assert below == set()


def test_the_engine_does_not_import_its_tools() -> None:
    tools = "orlop.bolt.tools"
    upwards = {
        f"{module} imports {imported}"
        for module, imports in dependencies().items()
        for imported in imports
        # `orlop.bolt` itself offers names of both, and imports them when they are asked for.
        if part_of(module) == "bolt" and module != "orlop.bolt"
        if imported.startswith(tools) and not module.startswith(tools)
    }

    assert upwards == set()


def test_neutral_parts_import_no_other_part() -> None:
    strangers = {
        f"{module} imports {imported}"
        for module, imports in dependencies().items()
        for imported in imports
        if part_of(module) in NEUTRAL and part_of(imported) != part_of(module)
    }

    assert strangers == set()


def test_no_relative_imports() -> None:
    # They would be a second way to name a module, and one that this test does not follow.
    relative = [
        f"{module}:{node.lineno}"
        for module, path in modules().items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
    ]

    assert relative == []


@pytest.mark.parametrize(
    ("importer", "source", "down"),
    [
        ("orlop.stores.images", "from orlop.schema import images", True),
        ("orlop.stores.images", "import orlop.kv.contract", True),
        ("orlop.stores.images", "from orlop.stores import scope", True),
        ("orlop.stores.images", "from orlop import database", False),
        ("orlop.stores.images", "import orlop", False),
        ("orlop.storage.content", "from orlop.stores.images import ImageStore", False),
        ("orlop.errors", "from orlop.bolt import open_engine", False),
        ("orlop.kv.contract", "if TYPE_CHECKING:\n    from orlop.records import ProtoAny", False),
        ("orlop.schema.images", "def late() -> None:\n    import orlop.stores.images", False),
        ("orlop.gc.mark", "import_module('orlop.database')", False),
        ("orlop.oci.unpack", "importlib.import_module('orlop.explain')", False),
        ("orlop.namespace", "from orlop.database import Database", True),
        ("orlop", "from orlop.database import open", True),
        ("orlop.cli.main", "from orlop import __version__", True),
        ("orlop", "from orlop.cli.main import main", False),
    ],
)
def test_the_rule_itself(importer: str, source: str, down: bool) -> None:  # noqa: FBT001 -- a table's column
    known = frozenset({"orlop", "orlop.database", "orlop.schema.images", "orlop.changes"})
    found = list(imports_of(importer, source, known))

    assert found
    assert all(points_down(one) for one in found) is down


def test_the_table_names_each_part_once() -> None:
    parts = [part for floor in FLOORS for part in floor]

    assert len(parts) == len(set(parts))
    assert DATABASE_MODULES.isdisjoint(set(parts) - {"database"})
    assert RECORD_MODULES.isdisjoint(set(parts) - {"records"})
    assert TRANSACTION_MODULES.isdisjoint(set(parts) - {"transactions"})
