"""The store of blobs: records by namespace, over data that the content backend keeps by digest.

A blob lies once on disk and may be named in many namespaces. Deleting it here takes only the
name away; the data goes with the collection after the last name.

Source: containerd, core/metadata/content.go; spec/metadata.md 2.5.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, Final

from orlop import digests, filters
from orlop import labels as label_names
from orlop.errors import (
    REPLACE_BLOBS,
    AlreadyExistsError,
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    OrlopError,
)
from orlop.schema import content, ingests, leases, namespaces
from orlop.stores import filter_fields, lease_refs
from orlop.stores.blob_faults import blob_fault, fault_of, size_fault
from orlop.stores.masks import masked_labels
from orlop.stores.record_store import RecordStore
from orlop.stores.validation import check_key, check_labels, new_entries

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterator, Sequence

    from orlop.changes import Update
    from orlop.kv import Transaction
    from orlop.records import ContentInfo, IngestStatus
    from orlop.schema.ingests import Ingest
    from orlop.storage.contract import ContentBackend
    from orlop.stores.backend_claims import BackendClaims
    from orlop.stores.content_writer import ContentWriter, Opening
    from orlop.transactions import Scope

SHARED: Final = "shared"
"""The sharing policy in which a digest is enough to name a blob of another namespace."""

ISOLATED: Final = "isolated"
"""The sharing policy in which each namespace must be given the whole data of a blob."""


def check_sharing(policy: str) -> None:
    """Raise InvalidArgumentError where `policy` is no sharing policy."""
    if policy not in {SHARED, ISOLATED}:
        raise InvalidArgumentError(
            f'the content sharing policy is "{SHARED}" or "{ISOLATED}", not "{policy}"'
        )


class _UnknownSizeError(OrlopError):
    """Nothing says how large a blob is that is there, and that no namespace names."""


@dataclass(frozen=True, slots=True)
class ContentStore(RecordStore):
    """The blobs of a namespace.

    Attributes:
        scope: the namespace, over a source of transactions.
        backend: returns what keeps the data; raises FailedPreconditionError for a bare database,
            whose metadata can be read.
        claims: keep the cleanup of the backend from what is being written or named.
        sharing: `SHARED` or `ISOLATED`.
    """

    scope: Scope
    backend: Callable[[], ContentBackend]
    claims: BackendClaims
    sharing: str = SHARED

    _table = content.TABLE

    def info(self, digest: str) -> ContentInfo:
        """Return the record of a blob.

        Raises:
            NotFoundError: this namespace has none of that digest.
        """
        return self.scope.transactor.read(lambda transaction: self._get(transaction, digest))

    def walk(self, *filters_: str) -> Iterator[ContentInfo]:
        """Iterate over the blobs that any of the filters matches, in byte order of digests.

        All are read before the first is handed out.

        Raises:
            InvalidArgumentError: a filter cannot be understood.
        """
        wanted = filter_fields.CONTENT.wanted(filters_)

        def read(transaction: Transaction) -> builtins.list[ContentInfo]:
            bucket = self._find(transaction)
            return content.read_all(bucket, digests.is_valid, wanted)

        return iter(self.scope.transactor.read(read))

    def update(self, info: ContentInfo, paths: Sequence[str] = ()) -> ContentInfo:
        """Change the labels of a blob: all of them, or those that `paths` name.

        Raises:
            NotFoundError: this namespace has none of that digest.
            InvalidArgumentError: a path or a label is invalid.
        """
        now = self.scope.transactor.clock.now()
        with self.scope.transactor.update() as update:
            stored = self._get(update.transaction, info.digest)
            labels = masked_labels(stored.labels, info.labels, paths, f"content {info.digest}")
            check_labels(new_entries(labels, stored.labels), "info.Labels")
            return content.write(
                self._create(update.transaction),
                replace(stored, labels=labels, updated_at=now),
            )

    def delete(self, digest: str) -> None:
        """Delete the record of a blob; the next collection deletes its data.

        Raises:
            NotFoundError: this namespace has none of that digest.
        """
        with self.scope.transactor.update() as update:
            self._get(update.transaction, digest)
            content.delete(self._find(update.transaction), digest)
            lease_refs.detach(self.scope, update, leases.CONTENT, digest)
            update.changes.deletions += 1
            update.changes.content = True
            self.scope.emit_event(update, "/content/delete", digest=digest)

    def open(self, digest: str) -> BinaryIO:
        """Open a blob for (seekable) reading.

        Raises:
            NotFoundError: this namespace has none of that digest, or the data is missing.
            DataLossError: the data has another size than the metadata says.
        """
        recorded = self.info(digest).size
        try:
            blob = self.backend().open(digest)
        except NotFoundError as error:
            raise NotFoundError(
                f'content {digest} in namespace "{self.scope.namespace}": '
                f"{fault_of(error, digest)}",
                hint=REPLACE_BLOBS,
            ) from error
        found = blob.seek(0, os.SEEK_END)
        if found != recorded:
            blob.close()
            raise DataLossError(
                f'content {digest} in namespace "{self.scope.namespace}": '
                f"{size_fault(found, recorded)}",
                hint=REPLACE_BLOBS,
            )
        blob.seek(0)
        return blob

    def fault(self, digest: str, *, verify: bool = False) -> str:
        """Return why the data of a blob is not there as the metadata says; empty where it is.

        One look at the size of the file tells, unless all of it is to be read.

        Args:
            digest: of the blob.
            verify: also read the data, and compare it with the digest.

        Raises:
            NotFoundError: this namespace has none of that digest.
        """
        return blob_fault(self.backend(), digest, self.info(digest).size, verify=verify)

    def status(self, ref: str) -> IngestStatus:
        """Return the progress of an ingest.

        Raises:
            NotFoundError: there is no such ingest.
        """
        ingest = self.scope.transactor.read(lambda transaction: self._ingest(transaction, ref))
        return replace(self.backend().status(ingest.backend_ref), ref=ref)

    def statuses(self, *filters_: str) -> builtins.list[IngestStatus]:
        """Return the progress of each ingest that any of the filters matches.

        Raises:
            InvalidArgumentError: a filter cannot be understood.
        """
        wanted = filters.parse(filters_)

        def read(transaction: Transaction) -> builtins.list[Ingest]:
            bucket = ingests.find(transaction, self.scope.namespace)
            names = ingests.all_names(bucket)
            return [one for ref in names if (one := ingests.read(bucket, ref))]

        statuses = []
        for ingest in self.scope.transactor.read(read):
            try:
                status = self.backend().status(ingest.backend_ref)
            except NotFoundError:
                continue  # a shared ingest has no data of its own
            statuses.append(replace(status, ref=ingest.ref))
        return [one for one in statuses if wanted.matches(filter_fields.ingest(one))]

    def abort(self, ref: str) -> None:
        """Delete an ingest and the data written so far.

        Raises:
            NotFoundError: there is no such ingest.
        """
        with self.scope.transactor.update() as update:
            ingest = self._ingest(update.transaction, ref)
            if ingest.expected:
                # As in containerd the backend is not asked: mostly it has no data of its own.
                # If it has, of an open after the shared one, that is for the next cleanup.
                update.changes.content = True
            else:
                # An attempt that was rolled back, or died, may have taken the data already.
                with contextlib.suppress(NotFoundError):
                    self.backend().abort(ingest.backend_ref)
            ingests.delete(ingests.find(update.transaction, self.scope.namespace), ref)
            lease_refs.detach(self.scope, update, leases.INGESTS, ref)

    def writer(
        self,
        ref: str,
        *,
        size: int = 0,
        expected: str = "",
        media_type: str = "",
        resume: bool = False,
        verify: bool = False,
    ) -> ContentWriter:
        """Open the ingest `ref`, empty: data of an earlier writer is discarded.

        Where the backend has the expected blob already, and the sharing policy allows it, the
        ingest stands for that blob: it is complete, and only needs to be committed.

        A blob is there when its file has the size that the metadata says. Else it is to be
        written, also where this namespace names it; the commit puts its data back.

        While its writer is open, an ingest is kept; after that by the lease in force, or without
        one until 24 hours from now.

        Args:
            ref: what to call it.
            size: what the size will be, in bytes; 0: not known. The commit verifies it.
            expected: what the digest will be; empty: not known. The commit verifies it.
            media_type: of the blob, for the event that tells of it.
            resume: whether to go on behind the bytes that an earlier writer left; how many
                there are is the `offset` of the writer's status.
            verify: whether a blob is there only when its file, which is read, has its digest;
                what is committed takes the place of a file of the same size, too.

        Raises:
            AlreadyExistsError: this namespace has the expected blob, and its data is there. The
                lease in force, if there is one, holds it now.
            UnavailableError: another writer has that ingest.
            InvalidArgumentError: `ref` is empty or too long.
            NotFoundError: the lease in force does not exist.
        """
        from orlop.stores.content_writer import Opening  # noqa: PLC0415 (not to read)

        check_key(ref, "the reference of an ingest")
        opening = Opening(
            scope=self.scope,
            backend=self.backend(),
            claims=self.claims,
            ref=ref,
            size=size,
            expected=expected,
            media_type=media_type,
            resume=resume,
            replace=verify,
        )
        must_read = verify and bool(expected)
        while True:
            # Before the update: it may take long.
            is_damaged = must_read and opening.has_damaged_data()
            try:
                return self._opened(opening, is_damaged=is_damaged, was_read=must_read)
            except _UnknownSizeError:
                must_read = True

    def _opened(self, opening: Opening, *, is_damaged: bool, was_read: bool) -> ContentWriter:
        """Open an ingest, knowing whether the blob was read, and whether it was damaged.

        Raises:
            _UnknownSizeError: it must be read before it can be shared.
        """
        expected = opening.expected
        exists, writer = False, None
        try:
            with self.scope.transactor.update() as update:
                lease_refs.check_lease(self.scope, update.transaction)
                blobs = self._find(update.transaction)
                is_named = content.exists(blobs, expected)
                exists = (
                    is_named
                    and not is_damaged
                    and not blob_fault(opening.backend, expected, content.size(blobs, expected))
                )
                if exists:
                    lease_refs.attach(self.scope, update, leases.CONTENT, expected)
                else:
                    shares = not is_named and not is_damaged
                    size = self._shared_size(update, opening, was_read=was_read) if shares else None
                    writer = opening.open(update, shared_size=size)
        except BaseException:
            if writer is not None:
                writer.close()
            raise
        if exists or writer is None:
            raise AlreadyExistsError(f"content {expected}")
        return writer

    def _shared_size(self, update: Update, opening: Opening, *, was_read: bool) -> int | None:
        """Return the size of the blob that an ingest may share, `None` where it may not.

        Raises:
            _UnknownSizeError: neither a record nor the caller says how large it is. Only reading
                it tells a file that was cut from a whole one.
        """
        if not opening.expected or not self._may_share(update.transaction, opening.expected):
            return None
        # Claimed before it is looked up: a cleanup may be about to delete it.
        update.held.enter_context(self.claims.claim(opening.expected))
        try:
            found = self.backend().info(opening.expected)
        except OrlopError:
            return None  # the backend does not have it, or it is no digest: it will be written
        known = set(_recorded_sizes(update.transaction, opening.expected))
        if opening.size:
            known.add(opening.size)
        if not known and not was_read:
            raise _UnknownSizeError(f"content {opening.expected}: its size is not known")
        return found.size if known <= {found.size} else None

    def _may_share(self, transaction: Transaction, digest: str) -> bool:
        if self.sharing == SHARED:
            return True
        return any(
            namespaces.labels(transaction, name).get(label_names.SHAREABLE) == "true"
            and content.exists(content.find(transaction, name), digest)
            for name in namespaces.all_names(transaction)
        )

    def _get(self, transaction: Transaction, digest: str) -> ContentInfo:
        info = content.read(self._find(transaction), digest)
        if info is None:
            raise self._missing(digest)
        return info

    def _missing(self, name: str) -> NotFoundError:
        return NotFoundError(f'content {name} in namespace "{self.scope.namespace}"')

    def _ingest(self, transaction: Transaction, ref: str) -> Ingest:
        ingest = ingests.read(ingests.find(transaction, self.scope.namespace), ref)
        if ingest is None or not ingest.backend_ref:
            raise NotFoundError(f'reference "{ref}" in namespace "{self.scope.namespace}"')
        return ingest


def _recorded_sizes(transaction: Transaction, digest: str) -> Iterator[int]:
    """Iterate over the sizes of a blob in bytes, as the namespaces have it that name it."""
    for name in namespaces.all_names(transaction):
        blobs = content.find(transaction, name)
        if content.exists(blobs, digest):
            yield content.size(blobs, digest)
