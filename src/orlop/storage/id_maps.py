"""Owner of a snapshot's root directory, for a container with mapped user and group ids.

Labels of the snapshot say so: `containerd.io/snapshot/uidmapping` and `gidmapping`, each with
entries `<id in the container>:<id here>:<how many>` and commas between.

Source: github.com/containerd/containerd, core/snapshots, and pkg/userns.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from orlop.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

UID_MAPPING: Final = "containerd.io/snapshot/uidmapping"
"""The label with the ids of users."""
GID_MAPPING: Final = "containerd.io/snapshot/gidmapping"
"""The label with the ids of groups."""

_ENTRY: Final = re.compile(r"([0-9]{1,10}):([0-9]{1,10}):([0-9]{1,10})", re.ASCII)
_IDS: Final = 1 << 32
_NO_ID: Final = _IDS - 1


def mapped_root(labels: Mapping[str, str]) -> tuple[int, int] | None:
    """Return user and group that stand for a container's root; `None` where no label says so.

    Raises:
        InvalidArgumentError: a label cannot be read, is missing beside the other, or maps no root.
    """
    if UID_MAPPING not in labels and GID_MAPPING not in labels:
        return None
    return _root(labels, UID_MAPPING), _root(labels, GID_MAPPING)


def _root(labels: Mapping[str, str], label: str) -> int:
    """Return the id on the host that the container's id 0 maps to."""
    text = labels.get(label, "")
    found: int | None = None
    for entry in text.split(","):
        match = _ENTRY.fullmatch(entry)
        numbers = [int(one) for one in match.groups()] if match else []
        if not numbers or numbers[1] >= _NO_ID or max(numbers) >= _IDS:
            raise InvalidArgumentError(
                f"label {label}={text!r}: write container:host:count, as in 0:100000:65536"
            )
        inside, here, count = numbers
        if found is None and inside == 0 and count:
            found = here
    if found is None:
        raise InvalidArgumentError(f"label {label}={text!r} maps no root")
    return found
