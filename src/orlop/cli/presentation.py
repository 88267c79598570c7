"""Records as JSON and as cells of a table."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING

from whenever import Instant

from orlop.records import ProtoAny
from orlop.schema.codec.timestamps import format_rfc3339, format_rfc3339_nano

if TYPE_CHECKING:
    from orlop.gc.node import Node
    from orlop.namespace import Namespace


def as_json(value: object) -> object:
    """Return a record, or a part of one, in JSON's types.

    Times are RFC 3339 in UTC to the nanosecond, sizes are bytes; the value of an Any is the
    JSON that it holds where it holds some, else base64.
    """
    if is_dataclass(value) and not isinstance(value, ProtoAny):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_json(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(entry) for entry in value]
    return _single_as_json(value)


def _single_as_json(value: object) -> object:
    if isinstance(value, Instant):
        return format_rfc3339_nano(value)
    if isinstance(value, ProtoAny):
        return _any_as_json(value)
    return value.name.lower() if isinstance(value, enum.Enum) else value


def _any_as_json(value: ProtoAny) -> dict[str, object]:
    import base64  # noqa: PLC0415 (few answers have any)
    import json  # noqa: PLC0415

    try:
        decoded = json.loads(value.value)
    except ValueError:
        encoded = base64.b64encode(value.value).decode("ascii")
        return {"type_url": value.type_url, "value_base64": encoded}
    return {"type_url": value.type_url, "value": decoded}


def in_namespace(namespace: Namespace, record: object) -> dict[str, object]:
    """Return a record as JSON, with the namespace that it is in first."""
    shown = as_json(record)
    if not isinstance(shown, dict):
        raise TypeError(f"{record!r} is no record")
    return {"namespace": namespace.name, **shown}


def node_as_json(node: Node) -> dict[str, object]:
    """Return a node in JSON's types."""
    return {"type": node.type, "namespace": node.namespace, "key": node.key}


def fault_of(fault: str | None) -> tuple[dict[str, object], str]:
    """Return the fault of a record as JSON to add to it, and as a cell."""
    return ({"fault": fault}, fault) if fault else ({}, "")


def faults_as_json(faults: Mapping[Node, str]) -> dict[str, object]:
    """Return the faults of several records, to add to a JSON document."""
    if not faults:
        return {}
    return {"faults": [{**node_as_json(node), "fault": fault} for node, fault in faults.items()]}


def labels_cell(labels: Mapping[str, str]) -> str:
    """Return labels as one cell: `key=value` with commas, `-` for none."""
    if not labels:
        return "-"
    return ",".join(f"{key}={labels[key]}" if labels[key] else str(key) for key in sorted(labels))


def time_cell(time: Instant | None) -> str:
    """Return a time to the second; `-` for none."""
    return "-" if time is None else format_rfc3339(time)


def cell(text: str) -> str:
    """Return a text as a cell; `-` for an empty one."""
    return text or "-"
