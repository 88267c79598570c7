"""Small files that are endless, or nearly so, for a reader that follows every reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bolt.crafted_files import ROOT, branch, buckets, crafted, leaf

if TYPE_CHECKING:
    from collections.abc import Iterator

LEVELS = 40
DEEP = "buckets, five thousand deep"
"""The only one that is sound, and ends."""


def bombs() -> Iterator[tuple[str, bytes]]:
    """Iterate over the files, each with a name."""
    yield "a bucket in itself", _file({ROOT: buckets(ROOT, {b"self": ROOT})})
    yield (
        "a bucket twice in itself",
        _file({ROOT: buckets(ROOT, {b"one": ROOT, b"two": ROOT})}),
    )
    yield (
        "two buckets in each other",
        _file({ROOT: buckets(ROOT, {b"in": 4}), 4: buckets(4, {b"out": ROOT, b"x": 4})}),
    )
    last = ROOT + LEVELS
    doubled = {
        page: buckets(page, {b"one": page + 1, b"two": page + 1}) for page in range(ROOT, last)
    }
    yield "buckets, doubled at each level", _file({**doubled, last: leaf(last, {b"a": b""})})
    top = {ROOT: buckets(ROOT, {b"tree": 4})}
    yield "a branch in itself", _file({**top, 4: branch(4, {b"a": 4, b"b": 4})})
    branches = {page: branch(page, {b"a": page + 1, b"b": page + 1}) for page in range(4, last)}
    tree = {**top, **branches}
    yield "branches, doubled at each level", _file({**tree, last: leaf(last, {b"a": b""})})
    yield "branches over empty leaves", _file({**tree, last: leaf(last, {})})
    deep = {page: buckets(page, {b"in": page + 1}) for page in range(ROOT, 5000)}
    yield DEEP, _file({**deep, 5000: leaf(5000, {b"a": b"value", b"b": b"value"})})


def _file(pages: dict[int, bytes]) -> bytes:
    return crafted(pages).durable
