from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from architecture.house import REPOSITORY, recipe
from orlop.explain.rules_page import page
from orlop.gc.rules import FIELD_RULES, LABEL_RULES, ROOTS_BY_TYPE

if TYPE_CHECKING:
    from orlop.gc.rules import LabelRule


def test_the_page_of_the_rules_is_current() -> None:
    stored = (REPOSITORY / "docs" / "collection-rules.md").read_text(encoding="utf-8")
    assert page() == stored, "the rules have changed: make docs"


def test_the_target_writes_what_is_compared_here() -> None:
    commands = recipe("docs")
    assert "python -m orlop.explain.rules_page > docs/collection-rules.md" in commands
    printed = subprocess.run(
        [sys.executable, "-m", "orlop.explain.rules_page"], capture_output=True, check=True
    ).stdout
    assert printed.decode() == page()


@pytest.mark.parametrize("rule", LABEL_RULES, ids=lambda rule: rule.name)
def test_every_label_is_on_it_with_its_types(rule: LabelRule) -> None:
    rows = [line for line in page().splitlines() if line.startswith(f"| `{rule.name}")]
    assert len(rows) == 1
    assert all(f"`{one}`" in rows[0] for one in rule.on)


def test_every_field_and_root_is_on_it() -> None:
    rows = page().splitlines()
    for field in FIELD_RULES:
        flat = "yes" if field.follows_flat else "no"
        assert f"| `{field.on}` | `{field.name}` | `{field.target}` | {flat} |" in rows
    for kind, words in ROOTS_BY_TYPE.items():
        assert f"| `{kind}` | {words} |" in rows
