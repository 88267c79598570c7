"""Which blobs make up an image, from its top document down, for the platforms wanted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orlop import digests
from orlop.errors import DataLossError, InvalidArgumentError, NotFoundError
from orlop.oci import documents, mediatypes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import BinaryIO

    from orlop.oci.documents import Child
    from orlop.oci.platforms import Chooser
    from orlop.records import Descriptor

_DEEPEST = 8
_MOST_BLOBS = 100_000
_LONGEST_MEDIA_TYPE = 1024

ALL_PLATFORMS = "name another with --platform, or import all platforms with --all-platforms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A blob of an image, with the children that it must hold."""

    descriptor: Descriptor
    children: tuple[Descriptor, ...] = ()


@dataclass(slots=True)
class Selection:
    """Gathers the blobs of images: children before those that point at them.

    Attributes:
        size: returns the size of a blob in bytes; `None` where it is missing.
        opener: opens a blob.
        chooser: tells which platforms of an index are taken.
        label: what to call where the images come from in errors.
    """

    size: Callable[[str], int | None]
    opener: Callable[[str], BinaryIO]
    chooser: Chooser
    label: str
    _members: dict[str, Member] = field(default_factory=dict)

    def members(self) -> list[Member]:
        """Return the selected blobs, each once."""
        return list(self._members.values())

    def choose(self, children: Iterable[Child]) -> list[Child]:
        """Return the children for the chosen platforms."""
        listed = list(children)
        chosen = self.chooser([child.platform for child in listed])
        return [child for child, is_chosen in zip(listed, chosen, strict=True) if is_chosen]

    def add(self, descriptor: Descriptor, depth: int = 0) -> None:
        """Gather a blob with all below it.

        Raises:
            NotFoundError: a blob is missing, or none below an index has a wanted platform.
            DataLossError: a blob has another size or digest than announced.
            InvalidArgumentError: a document is faulty, or they go too deep.
        """
        if descriptor.digest in self._members:
            return
        length = len(descriptor.media_type)
        if length > _LONGEST_MEDIA_TYPE:
            raise InvalidArgumentError(f"{self.label}: a media type of {length} characters")
        if depth > _DEEPEST or len(self._members) > _MOST_BLOBS:
            raise InvalidArgumentError(f"{self.label}: an image nested too deep, or too large")
        if not documents.is_followed(descriptor.media_type):
            if self._is_there(descriptor):
                self._members[descriptor.digest] = Member(descriptor=_pointer(descriptor))
            return
        where = f"{self.label}: document {descriptor.digest}"
        self._is_there(descriptor)
        children = self._children(descriptor, where)
        for child in children:
            self.add(child, depth + 1)
        self._members[descriptor.digest] = Member(
            descriptor=_pointer(descriptor), children=children
        )

    def _children(self, descriptor: Descriptor, where: str) -> tuple[Descriptor, ...]:
        """Return the chosen children of a document; the document itself is not kept."""
        found = documents.children(descriptor.media_type, self._read(descriptor), where)
        children = tuple(_pointer(child.descriptor) for child in self.choose(found))
        if found and not children:
            raise NotFoundError(f"{where}: an image for this platform", hint=ALL_PLATFORMS)
        return children

    def _is_there(self, descriptor: Descriptor) -> bool:
        """Check the size of a blob; false for a layer that archives may leave out."""
        size = self.size(descriptor.digest)
        if size is None:
            if mediatypes.is_foreign(descriptor.media_type):
                return False
            raise NotFoundError(f"{self.label}: blob {descriptor.digest} ({descriptor.media_type})")
        if size != descriptor.size:
            raise DataLossError(
                f"{self.label}: blob {descriptor.digest} has {size} bytes where"
                f" {descriptor.size} were announced"
            )
        return True

    def _read(self, descriptor: Descriptor) -> bytes:
        with self.opener(descriptor.digest) as file:
            return read_document(file, descriptor, self.label)


def _pointer(descriptor: Descriptor) -> Descriptor:
    """Return a descriptor without its annotations: an archive may have gigabytes of them."""
    return replace(descriptor, annotations={}) if descriptor.annotations else descriptor


def read_document(file: BinaryIO, descriptor: Descriptor, label: str) -> bytes:
    """Return a document, checked against its digest; `label` names where it comes from.

    Raises:
        InvalidArgumentError: it is larger than a document may be.
        DataLossError: it is not what its digest says.
    """
    data = documents.read_document(file, f"{label}: document {descriptor.digest}")
    actual = digests.from_bytes(data, digests.algorithm(descriptor.digest))
    if actual != descriptor.digest:
        raise DataLossError(f"{label}: document {descriptor.digest} has the digest {actual}")
    return data
