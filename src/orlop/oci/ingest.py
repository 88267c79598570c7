"""Ingests the blobs of an image: copied, verified, durable, and kept by a lease.

`import_lease` holds imported blobs and snapshots until an image does. `labels_for` returns the
labels by which a manifest or index refers to its children (`containerd.io/gc.ref.content.*`,
numbered by kind as containerd numbers them).

Source: behaviour of containerd's client (WithLease); github.com/containerd/containerd,
core/images (ChildGCLabels).
"""

from __future__ import annotations

import contextlib
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from orlop import digests
from orlop.concurrency.interrupts import suppress_os_errors
from orlop.errors import (
    AlreadyExistsError,
    DataLossError,
    NotFoundError,
    OrlopError,
    UnavailableError,
)
from orlop.labels import GC_REF_CONTENT
from orlop.oci import mediatypes
from orlop.oci.progress import Stage, Work
from orlop.oci.tar_stream import CHUNK
from orlop.records import ContentInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from orlop.namespace import Namespace
    from orlop.oci.progress import Progress
    from orlop.records import Descriptor
    from orlop.stores.content import ContentStore
    from orlop.stores.content_writer import ContentWriter


_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 1.0
_PATIENCE: Final = 60.0


def ingest(
    content: ContentStore,
    descriptor: Descriptor,
    opener: Callable[[], BinaryIO],
    *,
    labels: Callable[[Mapping[str, str]], Mapping[str, str]],
    progress: Progress,
    verify: bool = False,
) -> None:
    """Bring a blob in, or only its labels where it is there already.

    A blob that is named and whose file is missing, or has another size, is not there.

    After an error nothing is left of it, but what the next collection deletes.

    Args:
        content: where to.
        descriptor: what the blob must be.
        opener: opens the data.
        labels: returns the labels to add, given those that the blob has.
        progress: is told.
        verify: read the data of a blob that is there, and replace it if it is damaged.

    Raises:
        UnavailableError: somebody else has been writing the same blob for a minute without
            getting on.
        DataLossError: the data has another size or digest, or is cut off.
    """
    work = Work(
        stage=Stage.IMPORT,
        digest=descriptor.digest,
        media_type=descriptor.media_type,
        total=descriptor.size,
    )
    progress.started(work)
    reused = False
    try:
        with _writer(content, descriptor, verify=verify) as writer:
            _write(content, writer, descriptor, opener, labels({}), work, progress)
    except AlreadyExistsError:
        reused = True
        add_labels(content, descriptor.digest, labels)
    progress.finished(work, reused=reused)


def add_labels(
    content: ContentStore,
    digest: str,
    labels: Callable[[Mapping[str, str]], Mapping[str, str]],
) -> None:
    """Add the labels that `labels` returns for those of a stored blob.

    Raises:
        NotFoundError: there is no such blob.
    """
    if not labels(content.info(digest).labels):
        return
    with content.scope.transactor.update():
        # Computed again: another import may have used the same label names meanwhile.
        wanted = labels(content.info(digest).labels)
        if wanted:
            info = ContentInfo(digest=digest, size=0, labels=wanted)
            content.update(info, [f"labels.{key}" for key in wanted])


def reference(digest: str) -> str:
    """Return the reference of the ingest of a blob: the same for all importers."""
    return f"import-{digest}"


def _writer(content: ContentStore, descriptor: Descriptor, *, verify: bool) -> ContentWriter:
    """Open the ingest; wait while another import is writing the same blob and gets on."""
    ref = reference(descriptor.digest)
    pause = _FIRST_PAUSE
    seen, until = -1, time.monotonic() + _PATIENCE
    while True:
        try:
            return content.writer(
                ref,
                size=descriptor.size,
                expected=descriptor.digest,
                media_type=descriptor.media_type,
                verify=verify,
            )
        except UnavailableError:
            with contextlib.suppress(NotFoundError):
                offset = content.status(ref).offset
                if offset != seen:
                    seen, until = offset, time.monotonic() + _PATIENCE
            if time.monotonic() > until:
                raise
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _write(
    content: ContentStore,
    writer: ContentWriter,
    descriptor: Descriptor,
    opener: Callable[[], BinaryIO],
    labels: Mapping[str, str],
    work: Work,
    progress: Progress,
) -> None:
    """Write and commit; abort the ingest where that fails."""
    try:
        status = writer.status()
        # A writer that knows its digest stands for a blob of another namespace: complete.
        if status.expected != descriptor.digest:
            _copy(writer, opener, descriptor, work, progress)
        writer.commit(size=descriptor.size, expected=descriptor.digest, labels=labels)
    except AlreadyExistsError:
        raise
    except BaseException:
        # At worst it stays: the lease goes with the import, and the ingest with the next
        # collection. What went wrong first matters more.
        with suppress_os_errors(OrlopError):
            writer.close()
        with suppress_os_errors(OrlopError):
            content.abort(reference(descriptor.digest))
        raise


def _copy(
    writer: ContentWriter,
    opener: Callable[[], BinaryIO],
    descriptor: Descriptor,
    work: Work,
    progress: Progress,
) -> None:
    done = 0
    with opener() as data:
        while chunk := data.read(CHUNK):
            done += len(chunk)
            if done > descriptor.size:
                raise DataLossError(
                    f"blob {descriptor.digest}: more than the {descriptor.size} bytes announced"
                )
            writer.write(chunk)
            progress.advanced(work, done)
    if done != descriptor.size:
        raise DataLossError(
            f"blob {descriptor.digest}: {done} bytes where {descriptor.size} were announced"
        )
    actual = writer.digest()
    if actual != descriptor.digest and digests.algorithm(actual) == digests.algorithm(
        descriptor.digest
    ):
        raise DataLossError(f"blob {descriptor.digest} has the digest {actual}")


_LASTS = timedelta(hours=24)


@contextmanager
def import_lease(namespace: Namespace) -> Iterator[str]:
    """Use a lease while the block runs, and yield its id.

    The one that is in force already is kept; else one is made, and deleted at the end.
    """
    current = namespace.leases.scope.transactor.lease(namespace.name)
    if current is not None:
        yield current
        return
    with namespace.lease(expires=_LASTS) as lease:
        yield lease.id


def labels_for(
    children: Sequence[Descriptor], existing: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the labels that a document needs to hold `children`.

    Args:
        children: what it points at, in the document's order.
        existing: the labels that it has. None of them is given another value: it may hold
            what an earlier import of another platform has brought.
    """
    taken = existing or {}
    held = {value for key, value in taken.items() if key.startswith(GC_REF_CONTENT)}
    free: dict[str, Iterator[str]] = {}
    labels: dict[str, str] = {}
    for child in children:
        if child.digest in held:
            continue
        prefix = _prefix(child.media_type)
        names = free.setdefault(prefix, _numbered(prefix))
        name = next(name for name in names if name not in taken)
        labels[name] = child.digest
    return labels


def _prefix(media_type: str) -> str:
    if mediatypes.is_config(media_type):
        return f"{GC_REF_CONTENT}.config"
    if mediatypes.is_manifest(media_type):
        return f"{GC_REF_CONTENT}.m."
    if mediatypes.is_layer(media_type):
        return f"{GC_REF_CONTENT}.l."
    return f"{GC_REF_CONTENT}."


def _numbered(prefix: str) -> Iterator[str]:
    """Yield the names of one kind: a name that ends in a dot is always numbered."""
    number = 0
    while True:
        yield f"{prefix}{number}" if number or prefix.endswith(".") else prefix
        number += 1
