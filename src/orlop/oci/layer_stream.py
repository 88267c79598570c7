"""A layer on its way from a blob to a directory: expanded, hashed and counted as it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orlop.model import digest as digests
from orlop.oci.compression import decompress
from orlop.oci.tar_stream import CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO


class LayerStream:
    """The uncompressed bytes of a layer.

    Args:
        blob: the layer as it is stored.
        label: what to call it in errors.
        algorithm: of the digest to compute.
        advanced: is told how many bytes of the blob have been read.
    """

    def __init__(
        self, blob: BinaryIO, *, label: str, algorithm: str, advanced: Callable[[int], None]
    ) -> None:
        self._counted = _Counted(blob, advanced)
        _, self._expanded = decompress(self._counted, label=label)
        self._hash = digests.new_hash(algorithm)

    def read(self, size: int, /) -> bytes:
        """Return `size` uncompressed bytes, fewer at the end."""
        data = self._expanded.read(size)
        self._hash.update(data)
        return data

    def finish(self) -> str:
        """Read to the end, and return the digest of the uncompressed layer."""
        while self.read(CHUNK):
            pass
        return digests.of_hash(self._hash)


class _Counted:
    """Counts the bytes that are read of a blob."""

    def __init__(self, blob: BinaryIO, advanced: Callable[[int], None]) -> None:
        self._blob = blob
        self._advanced = advanced
        self._done = 0

    def read(self, size: int, /) -> bytes:
        data = self._blob.read(size)
        self._done += len(data)
        self._advanced(self._done)
        return data
