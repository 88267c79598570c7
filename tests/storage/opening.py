"""How tests open a snapshotter's database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.bolt import open_engine

if TYPE_CHECKING:
    from pathlib import Path

    from orlop.kv import Engine


def open_for_writing(path: Path) -> Engine:
    return open_engine(path, mode=0o600, timeout=5)


def open_for_reading(path: Path) -> Engine:
    return open_engine(path, read_only=True)
