"""The fields that Orlop reads of an image document, in the form that the Go oracle returns."""

from __future__ import annotations

from orlop.errors import InvalidArgumentError
from orlop.oci import documents
from orlop.oci.json_reader import Kind, Raw, decode

KINDS: dict[str, tuple[Kind, bool]] = {
    "index": (documents.INDEX, True),
    "manifest": (documents.MANIFEST, True),
    "config": (documents.CONFIG, True),
    "saved": (documents.SAVED, False),
    "layout": (documents.LAYOUT, False),
}


def read_document(kind: str, data: bytes) -> tuple[object, str]:
    """Return the non-empty fields of a document, and the error; empty for none."""
    schema, whole = KINDS[kind]
    try:
        return filled(decode(data, schema, "here", whole=whole)), ""
    except InvalidArgumentError as error:
        return None, str(error)


def filled(value: object) -> object:
    """Return a value without fields that are empty: Go tells them from missing ones no more."""
    if isinstance(value, dict):
        inner = {key: filled(one) for key, one in value.items() if not isinstance(one, Raw)}
        return {key: one for key, one in inner.items() if one not in (None, "", 0, [], {})}
    if isinstance(value, list):
        return [filled(one) for one in value]
    return value
