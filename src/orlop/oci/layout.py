"""An OCI image layout: a directory, or an archive of one.

Source: OCI image spec, image-layout.md.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, ClassVar

from orlop import digests
from orlop.errors import InvalidArgumentError, NotFoundError
from orlop.oci import documents
from orlop.oci.tar_stream import CHUNK

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO, Self

    from orlop.oci.archive import Archive

MARK = "oci-layout"
INDEX = "index.json"
VERSION = "1.0.0"


def blob_name(digest: str) -> str:
    """Return where a layout keeps a blob.

    Raises:
        InvalidArgumentError: that is no digest.
    """
    digests.validate(digest)
    return f"blobs/{digests.algorithm(digest)}/{digests.encoded(digest)}"


def _has_digest(file: BinaryIO, digest: str) -> bool:
    """Whether the rest of an open file has this digest."""
    running = digests.new_hash(digests.algorithm(digest))
    while chunk := file.read(CHUNK):
        running.update(chunk)
    return digests.of_hash(running) == digest


def _require_version(data: bytes, label: str) -> None:
    version = documents.parse_layout(data, f"{label}: {MARK}")
    if version != VERSION:
        raise InvalidArgumentError(f"{label}: OCI layout {version!r} where {VERSION} is supported")


class LayoutDirectory:
    """A layout directory as a source of images.

    Raises:
        InvalidArgumentError: it is none, or of another version.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.label = str(path)
        self._path = path
        for name in (MARK, INDEX):
            if not (path / name).is_file():
                raise InvalidArgumentError(f"{path}: no OCI layout, {name} is missing")
        _require_version(self._read(MARK), self.label)
        self.index = self._read(INDEX)

    def size(self, digest: str) -> int | None:
        """Return the size of a blob in bytes; `None` where it is missing."""
        try:
            state = (self._path / blob_name(digest)).stat()
        except FileNotFoundError:
            return None
        return state.st_size if stat.S_ISREG(state.st_mode) else None

    def open(self, digest: str) -> BinaryIO:
        """Open a blob; NotFoundError where it is missing."""
        if self.size(digest) is None:
            raise NotFoundError(f"{self.label}: blob {digest}")
        return (self._path / blob_name(digest)).open("rb")

    def close(self) -> None:
        """Nothing is kept open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self, name: str) -> bytes:
        with (self._path / name).open("rb") as file:
            return documents.read_document(file, str(self._path / name))


class LayoutArchive:
    """An archive of a layout as a source of images; it closes the archive.

    Raises:
        InvalidArgumentError: the layout is of another version, or has no index.
    """

    MARK: ClassVar = MARK

    def __init__(self, archive: Archive) -> None:
        self.label = archive.label
        self._archive = archive
        _require_version(archive.read(MARK), self.label)
        if not archive.has(INDEX):
            raise InvalidArgumentError(f"{self.label}: an OCI archive without {INDEX}")
        self.index = archive.read(INDEX)

    def size(self, digest: str) -> int | None:
        """Return the size of a blob in bytes; `None` where it is missing.

        Of several blobs of its name it is the first that has the digest, as in containerd, which
        stores each under the digest that it has.
        """
        name = blob_name(digest)
        self._archive.choose(name, lambda file: _has_digest(file, digest))
        return self._archive.size(name)

    def open(self, digest: str) -> BinaryIO:
        """Open a blob; NotFoundError where it is missing."""
        if self.size(digest) is None:
            raise NotFoundError(f"{self.label}: blob {digest}")
        return self._archive.open(blob_name(digest))

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
