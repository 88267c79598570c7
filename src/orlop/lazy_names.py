"""Public names of a package that are imported when they are first used.

A program loads the modules that it uses, and not all that a package offers.
"""

from __future__ import annotations

import sys
from importlib import import_module

TYPE_CHECKING = False  # not from typing, which takes long to import before Ctrl-C has a handler
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def lazy_names(package: str, sources: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a package's `__getattr__` that imports names from its modules.

    Args:
        package: the name of the package.
        sources: the public names, each with `module` or `module:name`; the former is the module
            itself.
    """

    def get(name: str) -> Any:
        if name not in sources:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, attribute = sources[name].partition(":")
        found = import_module(module)
        if attribute:
            found = getattr(found, attribute)
            setattr(sys.modules[package], name, found)
        return found

    module = sys.modules[package]
    # So that dir() and completion show the names that are not imported yet.
    setattr(module, "__dir__", lambda: sorted({*vars(module), *sources}))  # noqa: B010
    return get
