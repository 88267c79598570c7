"""The canonical dump: the contents of a database in a form that does not depend on its pages.

`{"sequence": n, "items": [{"key": hex, "bucket": {...}} | {"key": hex, "value": hex}]}`,
items in key order. Two databases are equal exactly when their dumps are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.kv import CorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orlop.kv import Bucket, Transaction


def dump(transaction: Transaction) -> Iterator[str]:
    """Iterate over the pieces of the dump's JSON text, so that it is never whole in memory.

    Raises: what the engine raises where the file is damaged.
    """
    # A stack of its own: buckets may nest deeper than Python's bears.
    bucket = transaction.root
    yield _head(bucket)
    pending = [(bucket, bucket.items(), "")]
    while pending:
        bucket, items, separator = pending.pop()
        for key, value in items:
            if value is not None:
                yield f'{separator}{{"key": "{key.hex()}", "value": "{value.hex()}"}}'
                separator = ", "
                continue
            yield f'{separator}{{"key": "{key.hex()}", "bucket": '
            nested = bucket.bucket(key)
            if nested is None:
                raise CorruptError(f"the bucket {key!r} is listed but is not where its name leads")
            yield _head(nested)
            pending += [(bucket, items, ", "), (nested, nested.items(), "")]
            break
        else:
            yield "]}"
            if pending:
                yield "}"


def _head(bucket: Bucket) -> str:
    return f'{{"sequence": {bucket.sequence}, "items": ['
