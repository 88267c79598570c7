"""The store of images.

Source: containerd, core/metadata/images.go; spec/metadata.md 2.3.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from orlop import digests
from orlop import labels as label_names
from orlop.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError
from orlop.records import Image
from orlop.schema import images, leases
from orlop.schema.codec.timestamps import require_instant
from orlop.stores import filter_fields, lease_refs
from orlop.stores.masks import masked_map, refusal
from orlop.stores.record_store import ListedStore
from orlop.stores.validation import (
    check_key,
    check_labels,
    check_map,
    check_size,
    check_texts,
    new_entries,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from whenever import Instant

    from orlop.changes import Update
    from orlop.kv import Bucket
    from orlop.records import Descriptor

_MUTABLE: Final = ("labels", "target")
"""What an update without paths replaces."""


class ImageStore(ListedStore[Image]):
    """The images of a namespace."""

    __slots__ = ()

    _title = "image"
    _table = images.TABLE
    _fields = filter_fields.IMAGE

    def create(self, image: Image, *, source_date: Instant | None = None) -> Image:
        """Create an image; its times are set here.

        Args:
            image: what to store.
            source_date: the time to note as that of creation and update (SOURCE_DATE_EPOCH);
                `None` for the present.

        Raises:
            AlreadyExistsError: there is one of that name.
            InvalidArgumentError: a field is invalid.
            NotFoundError: the lease in force does not exist.
        """
        _check(image)
        now = self._date(source_date)
        with self.scope.transactor.update() as update:
            self._check_lease(update, image)
            bucket = self._create(update.transaction)
            if images.exists(bucket, image.name):
                raise AlreadyExistsError(f'image "{image.name}"')
            new = Image(
                name=image.name,
                target=image.target,
                labels=image.labels,
                created_at=now,
                updated_at=now,
            )
            stored = self._write(update, bucket, new)
            self.scope.emit_event(
                update, "/images/create", name=stored.name, labels=dict(stored.labels)
            )
        return stored

    def update(
        self,
        image: Image,
        paths: Sequence[str] = (),
        *,
        labels: Mapping[str, str] | None = None,
        source_date: Instant | None = None,
    ) -> Image:
        """Change an image: `labels`, `annotations`, an entry of either, or `target` as a whole.

        Args:
            image: the name of the image, and what the paths are taken from.
            paths: which fields to change; none: labels and target are replaced.
            labels: short for an image with these labels and a path for each of them; an
                empty value removes a label.
            source_date: as in `create`, for the time of the update.

        Raises:
            NotFoundError: there is none of that name, or the lease in force does not exist.
            InvalidArgumentError: a path or a field is invalid.
        """
        if not image.name:
            raise InvalidArgumentError("the name of an image is needed to update it")
        given = image.labels
        if labels is not None:
            given = {**given, **labels}
            paths = (*paths, *(f"labels.{key}" for key in labels))
            if not paths:
                return self.get(image.name)
        now = self._date(source_date)
        with self.scope.transactor.update() as update:
            before = self._get(update.transaction, image.name)
            changed = _masked(before, given, image.target, paths, now)
            _check(changed, before)
            self._check_lease(update, changed)
            bucket = self._create(update.transaction)
            stored = self._write(update, bucket, changed, before)
            self.scope.emit_event(
                update, "/images/update", name=stored.name, labels=dict(stored.labels)
            )
        return stored

    def delete(self, name: str, target: Descriptor | None = None) -> None:
        """Delete an image; the next collection deletes unreachable resources.

        Args:
            name: the image.
            target: what it must still point at, by digest.

        Raises:
            NotFoundError: there is none of that name, or it points at something else.
        """
        with self.scope.transactor.update() as update:
            bucket = self._require(update.transaction, name)
            if target is not None and target.digest:
                stored = images.target_digest(bucket, name)
                if stored != target.digest:
                    raise NotFoundError(
                        f'image "{name}" with target {target.digest}: its target is {stored}'
                    )
            lease_refs.detach(self.scope, update, leases.IMAGES, name)
            images.delete(bucket, name)
            update.changes.deletions += 1
            self.scope.emit_event(update, "/images/delete", name=name)

    def _check_lease(self, update: Update, image: Image) -> None:
        if label_names.GC_EXPIRE in image.labels:
            lease_refs.check_lease(self.scope, update.transaction)

    def _date(self, source_date: Instant | None) -> Instant:
        """Return the time to note; the present for none."""
        if source_date is None:
            return self.scope.transactor.clock.now()
        return require_instant(source_date, "source_date")

    def _write(
        self, update: Update, bucket: Bucket, image: Image, before: Image | None = None
    ) -> Image:
        stored = images.write(bucket, image, before)
        if label_names.GC_EXPIRE in image.labels:
            lease_refs.attach(self.scope, update, leases.IMAGES, image.name)
        return stored


def _masked(
    stored: Image,
    labels: Mapping[str, str],
    target: Descriptor,
    paths: Sequence[str],
    updated_at: Instant,
) -> Image:
    """Apply the field mask `paths` of the given image to the stored one."""
    new_labels, new_target = stored.labels, stored.target
    for path in paths or _MUTABLE:
        masked = masked_map(new_labels, labels, path, "labels")
        annotations = masked_map(new_target.annotations, target.annotations, path, "annotations")
        if masked is not None:
            new_labels = masked
        elif annotations is not None:
            new_target = replace(new_target, annotations=annotations)
        elif path == "target":
            new_target = target
        else:
            raise refusal(path, f'image "{stored.name}"')
    return Image(
        name=stored.name,
        target=new_target,
        labels=new_labels,
        created_at=stored.created_at,
        updated_at=updated_at,
    )


def _check(image: Image, stored: Image | None = None) -> None:
    """Refuse an invalid image; invalid labels that are `stored` already may stay."""
    labels, annotations = image.labels, image.target.annotations
    if stored is None:
        check_key(image.name, "the name of an image")
    else:
        labels = new_entries(labels, stored.labels)
        annotations = new_entries(annotations, stored.target.annotations)
    check_labels(labels, "image.Labels")
    check_map(annotations, "image.Target.Annotations")
    digests.validate(image.target.digest)
    check_size(image.target.size, f'the size of the target of image "{image.name}"')
    if not image.target.media_type:
        raise InvalidArgumentError(f'the target of image "{image.name}" needs a media type')
    if stored is None or stored.target.media_type != image.target.media_type:
        check_texts(image.target.media_type)
