"""Base classes of the stores: access to the records of one type in one namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from orlop.errors import NotFoundError

if TYPE_CHECKING:
    import builtins
    from typing import ClassVar

    from orlop.kv import Bucket, Transaction
    from orlop.schema.fields import Wanted
    from orlop.schema.tables import RecordTable, Table
    from orlop.stores.filter_fields import FilterFields
    from orlop.transactions import Scope

R = TypeVar("R")


class RecordStore:
    """The records of one type in a namespace.

    Attributes:
        scope: the namespace, over a source of transactions.
    """

    __slots__ = ("scope",)

    _title: ClassVar[str]
    """What a record is called in messages."""

    _table: Table

    def __init__(self, scope: Scope) -> None:
        """Bind a namespace."""
        self.scope = scope

    def _find(self, transaction: Transaction) -> Bucket | None:
        """Return the bucket of the records; `None` if it does not exist."""
        return self._table.find(transaction, self.scope.namespace)

    def _create(self, transaction: Transaction) -> Bucket:
        """Return the bucket of the records, which is created if it does not exist."""
        return self._table.create(transaction, self.scope.namespace)

    def _require(self, transaction: Transaction, name: str) -> Bucket:
        """Return the bucket of the records.

        Raises:
            NotFoundError: it has no record of that name.
        """
        bucket = self._find(transaction)
        if bucket is None or not self._table.exists(bucket, name):
            raise self._missing(name)
        return bucket

    def _missing(self, name: str) -> NotFoundError:
        return NotFoundError(f'{self._title} "{name}" in namespace "{self.scope.namespace}"')


class ListedStore(RecordStore, Generic[R]):
    """A store that lists its records as they are stored."""

    __slots__ = ()

    _table: RecordTable[R]
    _fields: ClassVar[FilterFields]

    def get(self, name: str) -> R:
        """Return a record.

        Raises:
            NotFoundError: there is none of that name or id.
        """
        return self.scope.transactor.read(lambda transaction: self._get(transaction, name))

    def list(self, *filters_: str) -> builtins.list[R]:
        """Return the records that any of the filters matches, in byte order of names or ids.

        Raises:
            InvalidArgumentError: a filter cannot be understood.
        """
        wanted = self._fields.wanted(filters_)
        return self.scope.transactor.read(
            lambda transaction: self._read_all(self._find(transaction), wanted)
        )

    def _get(self, transaction: Transaction, name: str) -> R:
        record = self._table.read(self._find(transaction), name)
        if record is None:
            raise self._missing(name)
        return record

    def _read_all(self, bucket: Bucket | None, wanted: Wanted | None) -> builtins.list[R]:
        return self._table.read_all(bucket, wanted)
