"""The store of images.

Source: containerd, core/metadata/images.go; spec/metadata.md 2.3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from orlop.model import digest, filters
from orlop.model import labels as label_names
from orlop.model.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError
from orlop.schema import images, leases
from orlop.stores import adaptors, attachment
from orlop.stores.checks import check_key, check_labels, check_map, check_size, check_texts
from orlop.stores.masks import masked_map, refusal

if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping, Sequence

    from whenever import Instant

    from orlop.kv import Transaction
    from orlop.model.records import Descriptor, Image
    from orlop.stores.scope import Scope, Update

_MUTABLE: Final = ("labels", "target")
"""What an update without paths replaces."""


@dataclass(frozen=True, slots=True)
class ImageStore:
    """The images of a namespace."""

    scope: Scope

    def get(self, name: str) -> Image:
        """Return an image.

        Raises:
            NotFoundError: there is none of that name.
        """
        return self.scope.transactor.read(lambda transaction: self._get(transaction, name))

    def list(self, *filters_: str) -> builtins.list[Image]:
        """Return the images that any of the filters matches, in byte order of their names.

        Raises:
            InvalidArgumentError: a filter cannot be understood.
        """
        wanted = adaptors.IMAGE.wanted(filters.parse(filters_))

        def read(transaction: Transaction) -> builtins.list[Image]:
            bucket = images.find(transaction, self.scope.namespace)
            return images.read_all(bucket, wanted)

        return self.scope.transactor.read(read)

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
        now = source_date or self.scope.transactor.clock.now()
        with self.scope.transactor.update() as update:
            self._check_lease(update, image)
            if images.exists(images.find(update.transaction, self.scope.namespace), image.name):
                raise AlreadyExistsError(f'image "{image.name}"')
            stored = self._write(update, replace(image, created_at=now, updated_at=now))
            self.scope.tell(update, "/images/create", name=stored.name, labels=dict(stored.labels))
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
        if labels is not None:
            image = replace(image, labels={**image.labels, **labels})
            paths = (*paths, *(f"labels.{key}" for key in labels))
            if not paths:
                return self.get(image.name)
        now = source_date or self.scope.transactor.clock.now()
        with self.scope.transactor.update() as update:
            changed = _masked(self._get(update.transaction, image.name), image, paths)
            _check(changed)
            self._check_lease(update, changed)
            stored = self._write(update, replace(changed, updated_at=now))
            self.scope.tell(update, "/images/update", name=stored.name, labels=dict(stored.labels))
        return stored

    def delete(self, name: str, target: Descriptor | None = None) -> None:
        """Delete an image; what it held goes with the next collection.

        Args:
            name: the image.
            target: what it must still point at, by digest.

        Raises:
            NotFoundError: there is none of that name, or it points at something else.
        """
        with self.scope.transactor.update() as update:
            stored = self._get(update.transaction, name)
            if target is not None and target.digest and target.digest != stored.target.digest:
                raise NotFoundError(
                    f'image "{name}" with target {target.digest}: its target is '
                    f"{stored.target.digest}"
                )
            attachment.detach(self.scope, update, leases.IMAGES, name)
            images.delete(images.find(update.transaction, self.scope.namespace), name)
            update.changes.deletions += 1
            self.scope.tell(update, "/images/delete", name=name)

    def _get(self, transaction: Transaction, name: str) -> Image:
        image = images.read(images.find(transaction, self.scope.namespace), name)
        if image is None:
            raise NotFoundError(f'image "{name}" in namespace "{self.scope.namespace}"')
        return image

    def _check_lease(self, update: Update, image: Image) -> None:
        if label_names.GC_EXPIRE in image.labels:
            attachment.check_lease(self.scope, update.transaction)

    def _write(self, update: Update, image: Image) -> Image:
        stored = images.write(images.create(update.transaction, self.scope.namespace), image)
        if label_names.GC_EXPIRE in image.labels:
            attachment.attach(self.scope, update, leases.IMAGES, image.name)
        return stored


def _masked(stored: Image, given: Image, paths: Sequence[str]) -> Image:
    result = stored
    for path in paths or _MUTABLE:
        labels = masked_map(result.labels, given.labels, path, "labels")
        annotations = masked_map(
            result.target.annotations, given.target.annotations, path, "annotations"
        )
        if labels is not None:
            result = replace(result, labels=labels)
        elif annotations is not None:
            result = replace(result, target=replace(result.target, annotations=annotations))
        elif path == "target":
            result = replace(result, target=given.target)
        else:
            raise refusal(path, f'image "{stored.name}"')
    return result


def _check(image: Image) -> None:
    check_key(image.name, "the name of an image")
    check_labels(image.labels, "image.Labels")
    check_map(image.target.annotations, "image.Target.Annotations")
    digest.validate(image.target.digest)
    check_size(image.target.size, f'the size of the target of image "{image.name}"')
    if not image.target.media_type:
        raise InvalidArgumentError(f'the target of image "{image.name}" needs a media type')
    check_texts(image.target.media_type)
