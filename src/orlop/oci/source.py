"""Where an image comes from: an index, and blobs by digest."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from orlop.errors import InvalidArgumentError, NotFoundError
from orlop.oci.docker_archive import DockerArchive
from orlop.oci.layout import LayoutArchive, LayoutDirectory
from orlop.oci.spooling import open_archive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO, Self

    from orlop.records import Descriptor


class Source(Protocol):
    """An image, or several, in a file or a directory; a context manager that closes it."""

    @property
    def label(self) -> str:
        """The name of the source in errors."""

    @property
    def index(self) -> bytes:
        """The document that names the images: an OCI index."""

    def size(self, digest: str) -> int | None:
        """Return the size of a blob in bytes; `None` where it is missing."""

    def open(self, digest: str) -> BinaryIO:
        """Open a blob for reading front to back; the caller closes it.

        Raises:
            NotFoundError: it is missing.
        """

    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def open_source(
    path: Path | BinaryIO,
    compressed: Callable[[str], Descriptor | None],
    *,
    root: Path | None = None,
) -> Source:
    """Open the layout or the archive at `path`.

    Args:
        path: an OCI layout directory, or an archive of one, or one of `docker save`; or an open
            file with an archive, which may be a pipe.
        compressed: returns the compressed form of a layer that is there already, by the
            digest of the uncompressed one; an archive of `docker save` is read with it.
        root: where a copy of what comes through a pipe is made.

    Raises:
        NotFoundError: there is no such file, or something is missing in it.
        InvalidArgumentError: it is nothing of this kind.
        DataLossError: it is cut off or damaged.
    """
    if isinstance(path, os.PathLike):
        if not path.exists():
            raise NotFoundError(f"{path}: no such file or directory")
        if path.is_dir():
            return LayoutDirectory(path)
    archive = open_archive(path, root)
    try:
        if archive.has(LayoutArchive.MARK):
            return LayoutArchive(archive)
        if archive.has(DockerArchive.MARK):
            return DockerArchive(archive, compressed)
    except BaseException:
        archive.close()
        raise
    archive.close()
    raise InvalidArgumentError(
        f"{archive.label}: neither an OCI archive ({LayoutArchive.MARK}) nor one of docker save"
        f" ({DockerArchive.MARK})"
    )
