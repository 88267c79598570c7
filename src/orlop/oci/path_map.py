"""A mapping from paths that stores each name once, so that long paths take little memory.

A layer may bring millions of directories that lie hundreds of levels deep: their paths as keys
of a dictionary would take kilobytes each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

_Value = TypeVar("_Value")


class _Node(Generic[_Value]):
    """A path: its value, and its children."""

    __slots__ = ("below", "has_value", "value")

    def __init__(self) -> None:
        self.below: dict[bytes, _Node[_Value]] | None = None
        self.value: _Value | None = None
        self.has_value = False


class PathMap(Generic[_Value]):
    """A mapping from paths, as a tree of their names."""

    def __init__(self) -> None:
        self._root: _Node[_Value] = _Node()

    def __setitem__(self, path: tuple[bytes, ...], value: _Value) -> None:
        node = self._root
        for name in path:
            if node.below is None:
                node.below = {}
            inner = node.below.get(name)
            if inner is None:
                inner = node.below[name] = _Node()
            node = inner
        node.value, node.has_value = value, True

    def get(self, path: tuple[bytes, ...]) -> _Value | None:
        """Return the value of a path, `None` where it has none."""
        node: _Node[_Value] | None = self._root
        for name in path:
            node = None if node is None or node.below is None else node.below.get(name)
        return None if node is None else node.value

    def innermost_first(self) -> Iterator[tuple[bytes, ...]]:
        """Iterate over the paths that have a value, each after all that lie below it."""
        path: list[bytes] = []
        stack = [(self._root, iter(self._root.below or {}))]
        while stack:
            node, names = stack[-1]
            name = next(names, None)
            if name is not None and node.below is not None:
                path.append(name)
                inner = node.below[name]
                stack.append((inner, iter(inner.below or {})))
                continue
            stack.pop()
            if node.has_value:
                yield tuple(path)
            if path:
                path.pop()
