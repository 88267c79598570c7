"""Names of data by its hash: `<algorithm>:<hash in lower-case hexadecimal digits>`.

Source: OCI image spec, descriptor.md; github.com/opencontainers/go-digest, which knows the
same three algorithms.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

from orlop.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable

# Length of the hash in hexadecimal digits.
_LENGTHS: Final = {"sha256": 64, "sha384": 96, "sha512": 128}

ALGORITHMS: Final = tuple(_LENGTHS)
"""The algorithms that blobs are named by."""
_HEXADECIMAL: Final = frozenset("0123456789abcdef")
_SHOWN: Final = 160
_CHUNK_BYTES: Final = 1 << 20


class Hash(Protocol):
    """A hash in the making, as hashlib has it."""

    @property
    def name(self) -> str:
        """The algorithm's name."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Append `data` to the hashed data."""

    def hexdigest(self) -> str:
        """Return the hash of the data so far, in hexadecimal digits."""

    def copy(self) -> Hash:
        """Return an independent hash in the same state."""


def validate(text: str) -> str:
    """Return `text` if it is a digest.

    Raises:
        InvalidArgumentError: it is none; the message says why.
    """
    reason = _fault(text)
    if reason:
        raise InvalidArgumentError(f"digest {_shown(text)}: {reason}")
    return text


def is_valid(text: str) -> bool:
    """Return whether `text` is a digest of a known algorithm."""
    return not _fault(text)


def algorithm(text: str) -> str:
    """Return the algorithm of a digest, `sha256` for example.

    Raises:
        InvalidArgumentError: `text` is no digest.
    """
    return validate(text).partition(":")[0]


def encoded(text: str) -> str:
    """Return the hash of a digest, in hexadecimal digits.

    Raises:
        InvalidArgumentError: `text` is no digest.
    """
    return validate(text).partition(":")[2]


def from_bytes(data: bytes, algorithm: str = "sha256") -> str:
    """Return the digest of `data`.

    Raises:
        InvalidArgumentError: the algorithm is unknown.
    """
    return of_chunks([data], algorithm)


def of_chunks(chunks: Iterable[bytes], algorithm: str = "sha256") -> str:
    """Return the digest of chunks of data, one after the other.

    Raises:
        InvalidArgumentError: the algorithm is unknown.
    """
    running = new_hash(algorithm)
    for chunk in chunks:
        running.update(chunk)
    return of_hash(running)


def of_file(file: BinaryIO, algorithm: str = "sha256") -> str:
    """Return the digest of a file, from its position to its end.

    Raises: as `of_chunks`, and what reading raises.
    """
    return of_chunks(iter(partial(file.read, _CHUNK_BYTES), b""), algorithm)


def new_hash(algorithm: str = "sha256") -> Hash:
    """Return an empty hash.

    Raises:
        InvalidArgumentError: the algorithm is unknown.
    """
    if algorithm not in _LENGTHS:
        raise InvalidArgumentError(_unsupported(algorithm))
    import hashlib  # noqa: PLC0415 (to read metadata, nothing is hashed)

    return hashlib.new(algorithm)


def of_hash(running: Hash) -> str:
    """Return the digest of the data that a hash was given so far."""
    return f"{running.name}:{running.hexdigest()}"


def _fault(text: str) -> str:
    """Return the fault of a digest; empty if it is valid."""
    name, colon, hexadecimal = text.partition(":")
    if not colon:
        return "expected <algorithm>:<hash>"
    length = _LENGTHS.get(name)
    if length is None:
        return _unsupported(name)
    if len(hexadecimal) != length:
        return f"a hash of {name} has {length} digits, not {len(hexadecimal)}"
    if not _HEXADECIMAL.issuperset(hexadecimal):
        return "the hash must be written in lower-case hexadecimal digits"
    return ""


def _unsupported(name: str) -> str:
    return f"algorithm {_shown(name)} is not supported; known are {', '.join(_LENGTHS)}"


def _shown(text: str) -> str:
    return ascii(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


def begins_with(digest: str, text: str, *, shortest: int) -> bool:
    """Whether a text is the beginning of a digest, with its algorithm or without.

    Args:
        digest: the digest.
        text: what it may begin with.
        shortest: how many characters must be given without an algorithm.
    """
    algorithm, _, encoded = digest.partition(":")
    given, _, beginning = text.rpartition(":")
    if given:
        return given == algorithm and bool(beginning) and encoded.startswith(beginning)
    return len(text) >= shortest and encoded.startswith(text)
