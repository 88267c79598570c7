"""google.protobuf.Any, the envelope around values that only their owner understands.

Source: google/protobuf/any.proto; containerd's metadata writes specs, runtime options and
extensions in it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProtoAny:
    """A value with the name of its type. Both may be empty; the value is opaque.

    `unknown` holds fields that the message has but this version of its definition does not,
    as encoded: they are kept, so that a record survives being read and written.
    """

    type_url: str = ""
    value: bytes = b""
    unknown: bytes = b""
