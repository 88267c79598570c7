"""The filter language: which records of a list are wanted.

A filter is a list of expressions, of which one must match. An expression is a list of
selectors with commas between them, all of which must match: `name==redis,labels.team!=a`.

    selector:  field path                 the field is present
               field path == value        it is present and equals the value
               field path != value        it does not equal the value, or is absent
               field path ~= value        the regular expression (RE2) matches somewhere in it
    path:      fields with dots between them; `labels."containerd.io/gc.root"`
    field:     ASCII letters, digits and underscores, or a quoted text
    value:     anything up to a space or a comma, or a quoted text; a regular expression may
               also be quoted as /.../ or |...|

Quoted texts have the escapes of Go's strings.

Source: github.com/containerd/containerd, pkg/filters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.lazy_names import lazy_names

if TYPE_CHECKING:
    from orlop.filters.parser import parse
    from orlop.filters.selector import Adaptor, Filter
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "Adaptor": "orlop.filters.selector:Adaptor",
            "Filter": "orlop.filters.selector:Filter",
            "parse": "orlop.filters.parser:parse",
        },
    )

__all__ = ["Adaptor", "Filter", "parse"]
