"""A blob in writing, under the name that its namespace gave it.

Source: containerd, core/metadata/content.go (namespacedWriter); spec/metadata.md 2.5.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from whenever import TimeDelta

from orlop.concurrency.ownership import Mutex
from orlop.errors import (
    AbortedError,
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
    UnimplementedError,
)
from orlop.records import ContentInfo, IngestStatus
from orlop.schema import content, ingests, leases
from orlop.storage.contract import INGEST_KIND, takes_argument
from orlop.stores import lease_refs
from orlop.stores.blob_faults import MISSING, blob_fault
from orlop.stores.merging import merged
from orlop.stores.validation import check_labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from whenever import Instant

    from orlop.changes import Update
    from orlop.kv import Bucket
    from orlop.storage.contract import BackendWriter, ContentBackend
    from orlop.stores.backend_claims import BackendClaims
    from orlop.transactions import Scope

_KEPT_UNLEASED: Final = TimeDelta(hours=24)
_COPY_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """The arguments of a writer.

    Attributes:
        scope: the namespace, over a source of transactions.
        backend: what keeps the data.
        claims: keep the cleanup of the backend from what is being written or named.
        ref: how the user calls the ingest.
        size: what the size will be, in bytes; 0: not known.
        expected: what the digest will be; empty: not known.
        media_type: for the event that tells of the blob.
        resume: whether to go on behind what was written before, instead of from empty.
        replace: whether the data takes the place of a file of its size, which may be damaged.
    """

    scope: Scope
    backend: ContentBackend
    claims: BackendClaims
    ref: str
    size: int = 0
    expected: str = ""
    media_type: str = ""
    resume: bool = False
    replace: bool = False

    def has_damaged_data(self) -> bool:
        """Return whether the data of the expected blob does not match its digest."""
        fault = blob_fault(self.backend, self.expected, self.size or None, verify=True)
        return bool(fault) and fault != MISSING

    def open(self, update: Update, *, shared_size: int | None) -> ContentWriter:
        """Note the ingest and return its writer.

        Args:
            update: the transaction in which to note it; a lease in force is there.
            shared_size: the size in bytes of the blob that the ingest stands for; `None`: it
                stands for none and is to be written.
        """
        namespace = self.scope.namespace
        bucket = ingests.find(update.transaction, namespace)
        backend_ref = ingests.backend_ref(bucket, namespace, self.ref)
        if not ingests.exists(bucket, self.ref):
            while self._is_suspect(backend_ref):
                backend_ref = ingests.next_backend_ref(backend_ref)
        # Claim the name before creating data, so that a cleanup cannot delete a resumed ingest.
        update.held.enter_context(self.claims.claim(backend_ref))
        started = self.scope.transactor.clock.now()
        if shared_size is not None:
            shared = replace(self, size=shared_size)
            self._note(update, started, backend_ref, expected=self.expected)
            return self._registered(ContentWriter(shared, backend_ref, started))
        # The expected digest is not passed on. It was checked against this namespace; what
        # others have must be written here before it is seen here.
        backend_writer = self.data_writer(backend_ref, self.size)
        try:
            self._note(update, started, backend_ref)
        except BaseException:
            backend_writer.close()
            raise
        update.changes.content_made = True
        return self._registered(ContentWriter(self, backend_ref, started, backend_writer))

    def _registered(self, writer: ContentWriter) -> ContentWriter:
        """Register an open writer, which protects its ingest; the caller has the shared lock."""
        self.scope.transactor.open_writers.add(writer)
        return writer

    def data_writer(self, backend_ref: str, size: int) -> BackendWriter:
        """Return a writer of the ingest's own data: empty, unless older bytes are asked for."""
        writer = self.backend.writer(backend_ref, size=size)
        try:
            if not self.resume and writer.status().offset:
                writer.truncate(0)
        except BaseException:
            writer.close()
            raise
        return writer

    def _is_suspect(self, backend_ref: str) -> bool:
        """Whether the backend has an ingest that lost metadata may have named."""
        if not self.claims.is_suspect(INGEST_KIND, backend_ref):
            return False
        try:
            self.backend.status(backend_ref)
        except NotFoundError:
            return False
        return True

    def _note(self, update: Update, now: Instant, backend_ref: str, *, expected: str = "") -> None:
        bucket = ingests.create(update.transaction, self.scope.namespace)
        ingests.open_ingest(bucket, self.scope.namespace, self.ref, backend_ref)
        if not lease_refs.attach(self.scope, update, leases.INGESTS, self.ref):
            ingests.set_expiry(bucket, self.ref, now + _KEPT_UNLEASED)
        if expected:
            ingests.set_expected(bucket, self.ref, expected)


class ContentWriter:
    """Writes a blob and makes it part of its namespace. Not to be shared between threads.

    As a context manager it closes at the end; what was written but not committed is kept,
    for a later resume. A writer that stands for a blob of another namespace is complete from
    the start. If something is written all the same, that is the whole of the data; a writer
    that resumes copies the blob first.
    """

    def __init__(
        self,
        opening: Opening,
        backend_ref: str,
        started: Instant,
        backend_writer: BackendWriter | None = None,
    ) -> None:
        """Create a writer; without a `backend_writer` it shares the expected blob."""
        self._opening = opening
        self._backend_ref = backend_ref
        self._started = started
        self._backend_writer = backend_writer
        self._older_bytes = 0 if backend_writer is None else backend_writer.status().offset
        self._is_open = True
        self._mutex = Mutex()
        self._is_ended = False
        self._is_committing = False

    @property
    def ingest(self) -> tuple[str, str]:
        """Namespace and reference of the ingest."""
        return self._opening.scope.namespace, self._opening.ref

    @property
    def is_open(self) -> bool:
        """Whether it was neither closed nor committed; as long as it is, no collection takes it."""
        return self._is_open

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append `data`; return how many bytes that was.

        Raises:
            FailedPreconditionError: the writer, or the database, was closed.
        """
        with self._mutex:
            self._require_database()
            if self._backend_writer is None:
                if not data:
                    return 0
                kept = self._opening.size if self._opening.resume else 0
                self._backend_writer = self._copied(kept)
            return self._backend_writer.write(data)

    def digest(self) -> str:
        """Return the digest of the data written so far."""
        if self._backend_writer is None:
            return self._opening.expected
        return self._backend_writer.digest()

    def status(self) -> IngestStatus:
        """Return the progress of the blob."""
        if self._backend_writer is not None:
            return replace(self._backend_writer.status(), ref=self._opening.ref)
        return IngestStatus(
            ref=self._opening.ref,
            offset=self._opening.size,
            total=self._opening.size,
            expected=self._opening.expected,
            started_at=self._started,
            updated_at=self._started,
        )

    def truncate(self, size: int) -> None:
        """Start over.

        Args:
            size: how many bytes to keep: 0, but for a blob of another namespace that nothing
                was added to yet.

        Raises:
            InvalidArgumentError: another `size` was asked for.
            FailedPreconditionError: the writer, or the database, was closed.
        """
        with self._mutex:
            self._require_database()
            if self._backend_writer is None:
                self._backend_writer = self._copied(size)
            else:
                self._backend_writer.truncate(size)
                self._older_bytes = 0

    def commit(
        self, *, size: int = 0, expected: str = "", labels: Mapping[str, str] | None = None
    ) -> None:
        """Make the blob part of the namespace, durably; the ingest ends.

        Size and digest with which the writer was opened are verified whether they are given
        again or not.

        Args:
            size: what the size must be, in bytes; 0 for that of the opening, if any.
            expected: what the digest must be; empty for that of the opening, if any.
            labels: of the blob. One that the namespace has already gets them, too.

        Raises:
            AlreadyExistsError: the namespace has that blob already, and its data was there. The
                ingest has ended, the blob has the labels, and the lease in force, if there is
                one, holds it now.
            FailedPreconditionError: size or digest differ from the data or from the opening;
                the ingest stays.
            InvalidArgumentError: a label is invalid.
            NotFoundError: the lease in force does not exist.
            AbortedError: the ingest was aborted or collected while it was written.
        """
        opened = self._opening
        try:
            self._refuse_other("size", size, opened.size)
            self._refuse_other("digest", expected, opened.expected)
        except BaseException:
            self.close()
            raise
        self.commit_as_given(
            size=size or opened.size, expected=expected or opened.expected, labels=labels
        )

    def commit_as_given(
        self,
        *,
        size: int = 0,
        expected: str = "",
        labels: Mapping[str, str] | None = None,
        relabel: bool = True,
    ) -> None:
        """Commit as `commit` does, but verify only the arguments given here, as containerd does.

        Args:
            size: as for `commit`; 0 for any.
            expected: as for `commit`; empty for any.
            labels: of the blob.
            relabel: whether a blob that the namespace has already gets the labels; containerd
                drops them.

        Raises: as `commit`.
        """
        with self._mutex:
            self._require_database()
            self._is_committing = True
        try:
            self._commit(size, expected, labels, relabel=relabel)
        finally:
            self._is_committing = False
            if self._is_ended:
                self.close()

    def _commit(
        self, size: int, expected: str, labels: Mapping[str, str] | None, *, relabel: bool
    ) -> None:
        if self._backend_writer is not None:
            self._backend_writer.sync()
        with self._opening.scope.transactor.update() as update:
            lease_refs.check_lease(self._opening.scope, update.transaction)
            named = {self._backend_ref, self.digest(), expected} - {""}
            update.held.enter_context(self._opening.claims.claim(*named))
            info, was_there = self._commit_data(update, size, expected, labels or {})
            was_named = self._note(update, info, relabel=relabel)
        self._is_open = False
        if was_named and was_there:
            raise AlreadyExistsError(f"content {info.digest}")

    def close(self) -> None:
        """Close the ingest and keep its data, for a later resume."""
        self._is_open = False
        if self._backend_writer is not None:
            self._backend_writer.close()

    def end(self) -> None:
        """Close it, since the database is being closed.

        A commit of another thread goes on: the close of the database waits for its update.
        """
        with self._mutex:
            self._is_ended = True
            if not self._is_committing:
                self.close()

    def _require_database(self) -> None:
        if self._is_ended:
            raise FailedPreconditionError(
                f'"{self._opening.ref}": the database was closed; open it again, and resume'
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _commit_data(
        self, update: Update, size: int, expected: str, labels: Mapping[str, str]
    ) -> tuple[ContentInfo, bool]:
        """Commit in the backend; nothing is written to the metadata yet.

        Returns:
            What is known of the blob, and whether its data was there already.
        """
        opening, writer = self._opening, self._backend_writer
        try:
            check_labels(labels, "info.Labels")
            actual_size = self._checked_size(size)
        except BaseException:
            self.close()
            raise
        if writer is None:
            if expected and expected != opening.expected:
                raise FailedPreconditionError(
                    f'"{opening.ref}" unexpected digest: {opening.expected} != {expected}'
                )
            self._require_shared_blob()
            actual, was_there = opening.expected, True
        else:
            update.changes.content_made = True
            was_there = self._commit_in_backend(writer, actual_size, expected)
            # What was verified may have another algorithm than the writer's own.
            actual = expected or writer.digest()
        now = opening.scope.transactor.clock.now()
        info = ContentInfo(
            digest=actual, size=actual_size, labels=labels, created_at=now, updated_at=now
        )
        return info, was_there

    def _commit_in_backend(self, writer: BackendWriter, size: int, expected: str) -> bool:
        """Commit the data; return whether it was there already, and stayed.

        Another namespace may have it, or had it until the next collection.
        """
        if self._opening.replace and not takes_argument(writer.commit, "replace"):
            raise UnimplementedError(f"{type(writer).__name__} cannot replace a damaged blob")
        # Backends that replace nothing are not asked to.
        options = {"replace": True} if self._opening.replace else {}
        try:
            with self._telling_of_older_bytes():
                writer.commit(size=size, expected=expected, **options)
        except AlreadyExistsError:
            return True
        finally:
            self._is_open = False  # it is closed, also after a failure
        return False

    def _require_shared_blob(self) -> None:
        """Refuse to name a blob that was collected with its expired ingest, or was damaged."""
        opening = self._opening
        fault = blob_fault(opening.backend, opening.expected, opening.size)
        if not fault:
            return
        what = (
            f"its ingest has expired, and content {opening.expected} was collected since"
            if fault == MISSING
            else f"content {opening.expected} was damaged since it was opened ({fault})"
        )
        raise AbortedError(f'"{opening.ref}": {what}; open it again and write the data')

    def _checked_size(self, size: int) -> int:
        writer = self._backend_writer
        actual = self._opening.size if writer is None else writer.status().offset
        if size and size != actual:
            with self._telling_of_older_bytes():
                raise FailedPreconditionError(
                    f'"{self._opening.ref}" failed size validation: {actual} != {size}'
                )
        return actual

    def _refuse_other(self, what: str, given: object, opened: object) -> None:
        if given and opened and given != opened:
            raise FailedPreconditionError(
                f'"{self._opening.ref}": the {what} {given} is not the one that the writer was '
                f"opened with, {opened}: nothing was committed"
            )

    @contextlib.contextmanager
    def _telling_of_older_bytes(self) -> Iterator[None]:
        """Add to an error about the data that part of them was not written by this writer."""
        try:
            yield
        except FailedPreconditionError as error:
            if not self._older_bytes:
                raise
            raise FailedPreconditionError(
                f"{error.context}; the writer began with {self._older_bytes} older bytes: "
                "truncate it to 0, or open it without resume, and write all data"
            ) from error

    def _note(self, update: Update, info: ContentInfo, *, relabel: bool) -> bool:
        """Name the blob, end the ingest; return whether the blob was named already."""
        scope, ref = self._opening.scope, self._opening.ref
        blobs = content.create(update.transaction, scope.namespace)
        exists = content.exists(blobs, info.digest)
        if not exists:
            content.write(blobs, info)
            scope.emit_event(
                update,
                "/content/create",
                digest=info.digest,
                size=info.size,
                media_type=self._opening.media_type,
            )
        else:
            _amend(blobs, info, relabel=relabel)
        ingests.delete(ingests.find(update.transaction, scope.namespace), ref)
        lease_refs.detach(scope, update, leases.INGESTS, ref)
        lease_refs.attach(scope, update, leases.CONTENT, info.digest)
        return exists

    def _copied(self, size: int) -> BackendWriter:
        """Return a writer of an own ingest that begins with `size` bytes of the shared blob."""
        opening = self._opening
        writer = opening.data_writer(self._backend_ref, size)
        try:
            offset = writer.status().offset
            with opening.backend.open(opening.expected) as blob:
                blob.seek(offset)
                while offset < size and (data := blob.read(min(_COPY_BYTES, size - offset))):
                    offset += writer.write(data)
        except BaseException:
            writer.close()
            raise
        self._is_open = True  # it may have been closed before
        return writer


def _amend(blobs: Bucket, given: ContentInfo, *, relabel: bool) -> None:
    """Give a named blob further labels, and its size where the record has a wrong one.

    What its own labels hold goes on being held.
    """
    if not (relabel and given.labels) and content.size(blobs, given.digest) == given.size:
        return
    stored = content.read(blobs, given.digest)
    if stored is None:
        return
    labels = merged(stored.labels, given.labels) if relabel else dict(stored.labels)
    if labels != dict(stored.labels) or stored.size != given.size:
        content.write(
            blobs,
            replace(stored, size=given.size, labels=labels, updated_at=given.updated_at),
        )
