"""What the engine does not fulfil yet."""

from __future__ import annotations

from pathlib import Path

import pytest

# Handles that answer although their bucket is gone: `sequence`, `bucket` and
# `create_bucket_if_absent` of names that were opened before, and cursors and iterators of
# buckets deep inside.
_GAPS = {"test_a_handle_on_a_deleted_bucket_is_refused"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.name in _GAPS and item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.xfail(reason="handles on deleted buckets", strict=False))
