"""The store of containers.

Source: containerd, core/metadata/containers.go; spec/metadata.md 2.4.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from orlop import identifiers
from orlop.errors import AlreadyExistsError, InvalidArgumentError
from orlop.records import Container, ProtoAny
from orlop.schema import containers
from orlop.stores import filter_fields
from orlop.stores.masks import key_of, masked_map, refusal, with_entry
from orlop.stores.record_store import ListedStore
from orlop.stores.validation import check_keys, check_labels, check_texts, new_entries

if TYPE_CHECKING:
    from collections.abc import Sequence

_MUTABLE: Final = ("labels", "spec", "extensions", "image", "snapshotkey")
"""What an update without paths replaces."""


class ContainerStore(ListedStore[Container]):
    """The containers of a namespace."""

    __slots__ = ()

    _title = "container"
    _table = containers.TABLE
    _fields = filter_fields.CONTAINER

    def create(self, container: Container) -> Container:
        """Create a container; its times are set here.

        Raises:
            AlreadyExistsError: there is one of that id.
            InvalidArgumentError: a field is invalid.
        """
        _check(container)
        now = self.scope.transactor.clock.now()
        with self.scope.transactor.update() as update:
            bucket = self._create(update.transaction)
            if containers.exists(bucket, container.id):
                raise AlreadyExistsError(f'container "{container.id}"')
            return containers.write(bucket, replace(container, created_at=now, updated_at=now))

    def update(self, container: Container, paths: Sequence[str] = ()) -> Container:
        """Change a container.

        What may change is `labels`, `extensions`, an entry of either, `spec`, `image` and
        `snapshotkey`.

        Extensions are added and replaced; containerd never deletes one from the file, and so
        do we. What is returned has the extensions that were asked for.

        Args:
            container: the id of the container, and what the paths are taken from.
            paths: which fields to change; none: all of the above are replaced, and snapshotter
                and name of the runtime must be the stored ones.

        Raises:
            NotFoundError: there is none of that id.
            InvalidArgumentError: a path or a field is invalid.
        """
        if not container.id:
            raise InvalidArgumentError("the id of a container is needed to update it")
        now = self.scope.transactor.clock.now()
        with self.scope.transactor.update() as update:
            stored = self._get(update.transaction, container.id)
            if not paths:
                _refuse_immutable(stored, container)
            changed = stored
            for path in paths or _MUTABLE:
                changed = _masked(changed, container, path)
            _check(changed, stored)
            return containers.write(
                self._create(update.transaction), replace(changed, updated_at=now)
            )

    def delete(self, container_id: str) -> None:
        """Delete a container; the next collection deletes unreachable resources.

        Raises:
            NotFoundError: there is none of that id.
        """
        with self.scope.transactor.update() as update:
            bucket = self._require(update.transaction, container_id)
            containers.delete(bucket, container_id)
            update.changes.deletions += 1


def _refuse_immutable(stored: Container, given: Container) -> None:
    if stored.snapshotter != given.snapshotter:
        raise InvalidArgumentError(
            f'container.Snapshotter of "{stored.id}" is immutable: it is "{stored.snapshotter}"'
        )
    if stored.runtime.name != given.runtime.name:
        raise InvalidArgumentError(
            f'container.Runtime.Name of "{stored.id}" is immutable: it is "{stored.runtime.name}"'
        )


def _masked(stored: Container, given: Container, path: str) -> Container:
    labels = masked_map(stored.labels, given.labels, path, "labels")
    if labels is not None:
        return replace(stored, labels=labels)
    extension = key_of(path, "extensions")
    if extension is not None:
        extensions = with_entry(stored.extensions, given.extensions, extension, ProtoAny())
        return replace(stored, extensions=extensions)
    match path:
        case "spec":
            return replace(stored, spec=given.spec)
        case "extensions":
            return replace(stored, extensions=given.extensions)
        case "image":
            return replace(stored, image=given.image)
        case "snapshotkey":
            return replace(stored, snapshot_key=given.snapshot_key)
    raise refusal(path, f'container "{stored.id}"')


def _check(container: Container, stored: Container | None = None) -> None:
    """Refuse an invalid container; invalid labels that are `stored` already may stay."""
    identifiers.validate(container.id)
    check_keys(container.extensions, "container.Extensions")
    known = {} if stored is None else stored.labels
    check_labels(new_entries(container.labels, known), "container.Labels")
    if not container.runtime.name:
        raise InvalidArgumentError(f'container.Runtime.Name of "{container.id}" must be set')
    if container.spec is None:
        raise InvalidArgumentError(f'container.Spec of "{container.id}" must be set')
    if container.snapshot_key and not container.snapshotter:
        raise InvalidArgumentError(
            f'container.Snapshotter of "{container.id}" must be set if container.SnapshotKey is'
        )
    old = () if stored is None else _texts(stored)
    check_texts(*(text for text in _texts(container) if text not in old))


def _texts(container: Container) -> tuple[str, ...]:
    return (
        container.image,
        container.runtime.name,
        container.snapshot_key,
        container.snapshotter,
        container.sandbox_id,
    )
