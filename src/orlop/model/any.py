"""google.protobuf.Any, the envelope around values that only their owner understands.

Source: google/protobuf/any.proto; spec/metadata.md 1.1.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProtoAny:
    """A value with the name of its type. Both may be empty; the value is opaque."""

    type_url: str = ""
    value: bytes = b""
