"""The version of the schema: `v1/version`.

Source: containerd, core/metadata/db.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orlop.model import encoding
from orlop.model.errors import DataLossError
from orlop.schema import names

if TYPE_CHECKING:
    from orlop.kv import Transaction

CURRENT: Final = 4
"""The version that this code writes into a new file."""

OLDEST_WRITABLE: Final = 3
"""The oldest version that may be worked on as it is: below it, child links or ingests lack."""


def read(transaction: Transaction) -> int | None:
    """Return the version of the schema; 0 where none is written, `None` without a schema."""
    schema = transaction.root.bucket(names.SCHEMA)
    if schema is None:
        return None
    value = schema.get(names.VERSION)
    if value is None:
        return 0
    try:
        return encoding.decode_varint(value)
    except (ValueError, DataLossError):
        return 0  # containerd passes over a decoding error: the version counts as unknown


def write(transaction: Transaction, number: int) -> None:
    """Write the version of the schema, which is created where it is missing."""
    schema = transaction.root.create_bucket_if_absent(names.SCHEMA)
    schema.put(names.VERSION, encoding.encode_varint(number))
