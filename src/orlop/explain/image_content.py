"""The content of an image: the blobs below its target, and the snapshots made from them.

It follows the labels that hold content, not the documents: so it can be asked of a database
without its content, and says what a collection would keep for the image's sake.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orlop.errors import NotFoundError
from orlop.gc.node import CONTENT, SNAPSHOT, Node, snapshot_node
from orlop.gc.rules import Effect, RuleBook

if TYPE_CHECKING:
    from orlop.namespace import Namespace
    from orlop.records import ContentInfo, Image


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageContent:
    """The content of an image.

    Attributes:
        blobs: each once, the target first.
        missing: digests that a blob refers to and that the namespace does not have, such as
            the layers of other platforms.
        snapshots: snapshotter and key of those that the blobs refer to.
        nodes: the blobs, and the snapshots with all that they stand on, as the collector
            names them.
    """

    blobs: tuple[ContentInfo, ...]
    missing: tuple[str, ...]
    snapshots: tuple[tuple[str, str], ...]
    nodes: tuple[Node, ...]

    @property
    def size(self) -> int:
        """The size of all blobs in bytes; shared blobs count, too."""
        return sum(blob.size for blob in self.blobs)


def content_of(namespace: Namespace, image: Image) -> ImageContent:
    """Return the content of an image of a namespace.

    Raises:
        UnavailableError: the file changes all the time.
        DataLossError: the database is damaged.
    """
    rules = RuleBook()
    content = namespace.content
    blobs: list[ContentInfo] = []
    missing: list[str] = []
    snapshots: dict[tuple[str, str], None] = {}
    seen = {image.target.digest}
    pending = [image.target.digest]
    for digest in pending:
        try:
            info = content.info(digest)
        except NotFoundError:
            missing.append(digest)
            continue
        blobs.append(info)
        for meaning in rules.meanings(CONTENT, dict(info.labels)):
            if meaning.rule.effect is not Effect.REFERENCE:
                continue
            if meaning.rule.target == SNAPSHOT:
                snapshots[meaning.snapshotter, meaning.value] = None
            elif meaning.rule.target == CONTENT and meaning.value not in seen:
                seen.add(meaning.value)
                pending.append(meaning.value)
    nodes = [Node(CONTENT, namespace.name, blob.digest) for blob in blobs]
    for snapshotter, key in snapshots:
        nodes += (
            snapshot_node(namespace.name, snapshotter, one)
            for one in namespace.snapshots(snapshotter).chain(key)
        )
    return ImageContent(
        blobs=tuple(blobs),
        missing=tuple(missing),
        snapshots=tuple(snapshots),
        nodes=tuple(dict.fromkeys(nodes)),
    )
