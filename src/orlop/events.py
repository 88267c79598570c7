"""Events that the stores publish after a commit: a topic and its fields.

Source: spec/metadata.md 2.1 (topics), github.com/containerd/containerd, api/events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from whenever import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change. `fields` are those of the topic's message, by their protobuf names."""

    topic: str
    namespace: str
    timestamp: Instant
    fields: Mapping[str, object]
