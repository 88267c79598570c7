"""The store of sandboxes.

Source: containerd, core/metadata/sandbox.go; spec/metadata.md 2.9.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from orlop import identifiers
from orlop.errors import AlreadyExistsError, InvalidArgumentError
from orlop.records import ProtoAny, Sandbox
from orlop.schema import sandboxes
from orlop.stores import filter_fields
from orlop.stores.masks import key_of, masked_map, refusal, with_entry
from orlop.stores.record_store import ListedStore
from orlop.stores.validation import check_keys, check_map, check_texts, new_entries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orlop.kv import Bucket
    from orlop.schema.fields import Wanted

_MUTABLE: Final = ("labels", "extensions", "spec", "runtime")
"""What an update without paths replaces."""


class SandboxStore(ListedStore[Sandbox]):
    """The sandboxes of a namespace.

    `list` raises DataLossError if there is a plain key among the sandboxes, as in containerd.
    """

    __slots__ = ()

    _title = "sandbox"
    _table = sandboxes.TABLE
    _fields = filter_fields.SANDBOX

    def create(self, sandbox: Sandbox) -> Sandbox:
        """Create a sandbox; its times are set here.

        Raises:
            AlreadyExistsError: there is one of that id.
            InvalidArgumentError: a field is invalid.
        """
        _check(sandbox)
        now = self.scope.transactor.clock.now()
        with self.scope.transactor.update() as update:
            bucket = self._create(update.transaction)
            if sandboxes.exists(bucket, sandbox.id):
                raise AlreadyExistsError(f'sandbox "{sandbox.id}"')
            return sandboxes.write(bucket, replace(sandbox, created_at=now, updated_at=now))

    def update(self, sandbox: Sandbox, paths: Sequence[str] = ()) -> Sandbox:
        """Change a sandbox: `labels`, `extensions`, an entry of either, `runtime`, `spec`.

        Extensions are added and replaced, never deleted; a spec or options that are not given
        leave the stored ones: containerd's file keeps them too.

        Args:
            sandbox: the id of the sandbox, and what the paths are taken from.
            paths: which fields to change; none: all of the above are replaced, and the name of
                the runtime must be the stored one.

        Raises:
            NotFoundError: there is none of that id.
            InvalidArgumentError: a path or a field is invalid.
        """
        now = self.scope.transactor.clock.now()
        with self.scope.transactor.update() as update:
            stored = self._get(update.transaction, sandbox.id)
            if not paths and stored.runtime.name != sandbox.runtime.name:
                raise InvalidArgumentError(
                    f'sandbox.Runtime.Name of "{stored.id}" is immutable: '
                    f'it is "{stored.runtime.name}"'
                )
            changed = stored
            for path in paths or _MUTABLE:
                changed = _masked(changed, sandbox, path)
            _check(changed, stored)
            if changed.created_at is None:
                raise InvalidArgumentError(f'sandbox "{stored.id}" has no time of creation')
            return sandboxes.write(
                self._create(update.transaction), replace(changed, updated_at=now)
            )

    def delete(self, sandbox_id: str) -> None:
        """Delete a sandbox.

        Raises:
            NotFoundError: there is none of that id.
        """
        with self.scope.transactor.update() as update:
            bucket = self._require(update.transaction, sandbox_id)
            sandboxes.delete(bucket, sandbox_id)

    def _read_all(self, bucket: Bucket | None, wanted: Wanted | None) -> list[Sandbox]:
        sandboxes.refuse_plain_keys(bucket)
        return super()._read_all(bucket, wanted)


def _masked(stored: Sandbox, given: Sandbox, path: str) -> Sandbox:
    labels = masked_map(stored.labels, given.labels, path, "labels")
    if labels is not None:
        return replace(stored, labels=labels)
    extension = key_of(path, "extensions")
    if extension is not None:
        extensions = with_entry(stored.extensions, given.extensions, extension, ProtoAny())
        return replace(stored, extensions=extensions)
    match path:
        case "extensions":
            return replace(stored, extensions=given.extensions)
        case "runtime":
            return replace(stored, runtime=given.runtime)
        case "spec":
            return replace(stored, spec=given.spec)
    raise refusal(path, f'sandbox "{stored.id}"')


def _check(sandbox: Sandbox, stored: Sandbox | None = None) -> None:
    """Refuse an invalid sandbox; invalid labels that are `stored` already may stay."""
    identifiers.validate(sandbox.id)
    # The length of labels is not limited here: containerd does not limit it either.
    known = {} if stored is None else stored.labels
    check_map(new_entries(sandbox.labels, known), "sandbox.Labels")
    check_keys(sandbox.extensions, "sandbox.Extensions")
    old = () if stored is None else (stored.runtime.name, stored.sandboxer)
    check_texts(*(one for one in (sandbox.runtime.name, sandbox.sandboxer) if one not in old))
