"""Images: `v1/<namespace>/images/<name>`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orlop.schema import buckets, drafts, fields, names
from orlop.schema.tables import RecordTable

if TYPE_CHECKING:
    from whenever import Instant

    from orlop.kv import Bucket, ReadableBucket, Tree
    from orlop.records import Image


def target_digest(images: ReadableBucket | None, name: str) -> str:
    """Return the digest of an image's target, without the rest of it; empty for none."""
    image = buckets.child(images, name)
    target = None if image is None else image.bucket(names.TARGET)
    return "" if target is None else fields.read_text(target, names.DIGEST)


def updated_at(images: ReadableBucket | None, name: str) -> Instant | None:
    """Return when an image was changed last; `None` where that is not known."""
    return fields.known_time(buckets.child(images, name), names.UPDATED_AT)


def write(images: Bucket, image: Image, stored: Image | None = None) -> Image:
    """Store an image; return it without the empty labels and annotations, which are dropped.

    Args:
        images: where to store it.
        image: what to store.
        stored: what is stored of it, where that is known: a target that it has is left alone.
    """
    with buckets.RecordWriter(images, image.name) as bucket:
        fields.write_time(bucket, names.CREATED_AT, image.created_at)
        fields.write_time(bucket, names.UPDATED_AT, image.updated_at)
        stored_labels = fields.write_map(bucket, names.LABELS, image.labels)
        annotations = fields.write_map(bucket, names.ANNOTATIONS, image.target.annotations)
        target = image.target
        if stored is None or stored.target != target:
            nested = bucket.create_bucket_if_absent(names.TARGET)
            fields.write_text(nested, names.DIGEST, target.digest)
            fields.write_text(nested, names.MEDIA_TYPE, target.media_type)
            fields.write_size(nested, names.SIZE, target.size)
    return drafts.image(
        image.name,
        drafts.descriptor(target.media_type, target.digest, target.size, annotations),
        stored_labels,
        (image.created_at, image.updated_at),
    )


def _decode(name: str, image: Tree) -> Image:
    target = fields.nested(image, names.TARGET)
    return drafts.image(
        name,
        drafts.descriptor(
            fields.text(target, names.MEDIA_TYPE),
            fields.text(target, names.DIGEST),
            fields.size(target, names.SIZE),
            fields.texts(image, names.ANNOTATIONS),
        ),
        fields.texts(image, names.LABELS),
        fields.times(image),
    )


TABLE: Final = RecordTable((names.IMAGES,), _decode, fields.check_times)

find, create, exists, labels = TABLE.find, TABLE.create, TABLE.exists, TABLE.labels
read, read_all, delete = TABLE.read, TABLE.read_all, TABLE.delete
