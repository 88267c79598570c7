"""The operations of a script, on Orlop."""

from __future__ import annotations

import base64
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

import orlop
from differential import records_as_json as json_of
from orlop import ContentInfo, LeaseResource, OrlopError, SnapshotInfo, SnapshotKind, filters
from orlop.bolt import open_engine
from orlop.schema import migrations
from orlop.storage.native import NativeSnapshotter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Self

    from orlop import Namespace
    from orlop.stores.content_writer import ContentWriter
    from orlop.stores.snapshots import SnapshotStore

    Operation = dict[str, Any]
    Answer = dict[str, Any]

SNAPSHOTTERS = ("native", "second")
SCHEMA_VERSION = 3
"""What containerd 1.6.20 writes; Orlop works on it as it is."""


class _RolledBackError(Exception):
    """Ends a transaction without a commit."""


class Player:
    """Orlop on a root directory, answering in the words of the script."""

    def __init__(self, root: Path) -> None:
        with orlop.open(root, sync=False) as fresh, fresh.update() as update:
            migrations.write_version(update.transaction, SCHEMA_VERSION)
        self.root = root
        self.database = orlop.open(root, sync=False)
        # A second snapshotter of the same kind: containerd's overlay would have to mount.
        self.database._environment.backends.snapshotters["second"] = NativeSnapshotter(
            root / "io.containerd.snapshotter.v1.second",
            partial(open_engine, sync=False),
            clock=self.database.clock,
        )
        self._writers: dict[str, ContentWriter] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers.values():
            writer.close()
        self.database.close()

    def answer(self, given: Operation) -> Answer:
        """Return the answer to the operation: `ok`, or `error` with the kind and `message`."""
        if given["op"] == "transaction":
            return {"ok": self._transaction(given)}
        try:
            return {"ok": self._call(given)}
        except OrlopError as error:
            return {"error": error.kind, "message": str(error)}

    def _transaction(self, given: Operation) -> list[Answer]:
        answers: list[Answer] = []
        with contextlib.suppress(_RolledBackError), self.database.update():
            for step in given["steps"]:
                answers.append(self.answer(step))
                if "error" in answers[-1]:
                    raise _RolledBackError
            if given.get("rollback"):
                raise _RolledBackError
        return answers

    def _call(self, given: Operation) -> Any:
        store, name = given["op"].partition(".")[::2]
        if store in {"namespace", "gc", "filter"}:
            run: Callable[[Operation], Any] = getattr(self, f"_{store}_{name}".rstrip("_"))
            return run(given)
        namespace = self.database.namespace(given["ns"])
        with contextlib.ExitStack() as lease:
            if given.get("lease") is not None:
                lease.enter_context(namespace.using_lease(given["lease"]))
            result = getattr(self, f"_{store}_{name}")(namespace, given)
        return "done" if result is None else result

    # Namespaces.

    def _namespace_create(self, given: Operation) -> str:
        self.database.namespaces.create(given["name"], given.get("labels"))
        return "done"

    def _namespace_list(self, _: Operation) -> list[str]:
        return self.database.namespaces.list()

    def _namespace_labels(self, given: Operation) -> dict[str, str]:
        return self.database.namespaces.labels(given["name"])

    def _namespace_label(self, given: Operation) -> str:
        self.database.namespaces.set_label(given["name"], given["key"], given["value"])
        return "done"

    def _namespace_delete(self, given: Operation) -> str:
        self.database.namespaces.delete(given["name"])
        return "done"

    # Images.

    def _image_get(self, namespace: Namespace, given: Operation) -> Any:
        return json_of.image_result(namespace.images.get(given["name"]))

    def _image_list(self, namespace: Namespace, given: Operation) -> Any:
        return [json_of.image_result(one) for one in namespace.images.list(*given["filters"])]

    def _image_create(self, namespace: Namespace, given: Operation) -> Any:
        return json_of.image_result(namespace.images.create(json_of.image_given(given["image"])))

    def _image_update(self, namespace: Namespace, given: Operation) -> Any:
        image = json_of.image_given(given["image"])
        return json_of.image_result(namespace.images.update(image, given["paths"]))

    def _image_delete(self, namespace: Namespace, given: Operation) -> None:
        namespace.images.delete(given["name"])

    # Containers.

    def _container_get(self, namespace: Namespace, given: Operation) -> Any:
        return json_of.container_result(namespace.containers.get(given["name"]))

    def _container_list(self, namespace: Namespace, given: Operation) -> Any:
        found = namespace.containers.list(*given["filters"])
        return [json_of.container_result(one) for one in found]

    def _container_create(self, namespace: Namespace, given: Operation) -> Any:
        container = json_of.container_given(given["container"])
        return json_of.container_result(namespace.containers.create(container))

    def _container_update(self, namespace: Namespace, given: Operation) -> Any:
        container = json_of.container_given(given["container"])
        return json_of.container_result(namespace.containers.update(container, given["paths"]))

    def _container_delete(self, namespace: Namespace, given: Operation) -> None:
        namespace.containers.delete(given["name"])

    # Leases.

    def _lease_create(self, namespace: Namespace, given: Operation) -> Any:
        made = namespace.leases.create(given["name"], labels=given.get("labels"))
        return json_of.lease_result(made)

    def _lease_delete(self, namespace: Namespace, given: Operation) -> None:
        namespace.leases.delete(given["name"])

    def _lease_list(self, namespace: Namespace, given: Operation) -> Any:
        return [json_of.lease_result(one) for one in namespace.leases.list(*given["filters"])]

    def _lease_add(self, namespace: Namespace, given: Operation) -> None:
        namespace.leases.add_resource(given["name"], LeaseResource(**given["resource"]))

    def _lease_remove(self, namespace: Namespace, given: Operation) -> None:
        namespace.leases.delete_resource(given["name"], LeaseResource(**given["resource"]))

    def _lease_resources(self, namespace: Namespace, given: Operation) -> Any:
        found = namespace.leases.resources(given["name"])
        return [json_of.resource_result(one) for one in found]

    # Content.

    def _content_info(self, namespace: Namespace, given: Operation) -> Any:
        return json_of.blob_result(namespace.content.info(given["digest"]))

    def _content_walk(self, namespace: Namespace, given: Operation) -> Any:
        return [json_of.blob_result(one) for one in namespace.content.walk(*given["filters"])]

    def _content_update(self, namespace: Namespace, given: Operation) -> Any:
        info = ContentInfo(digest=given["digest"], size=0, labels=given.get("labels") or {})
        return json_of.blob_result(namespace.content.update(info, given["paths"]))

    def _content_delete(self, namespace: Namespace, given: Operation) -> None:
        namespace.content.delete(given["digest"])

    def _content_read(self, namespace: Namespace, given: Operation) -> str:
        with namespace.content.open(given["digest"]) as blob:
            return blob.read().decode()

    def _content_status(self, namespace: Namespace, given: Operation) -> Any:
        return json_of.status_result(namespace.content.status(given["ref"]))

    def _content_statuses(self, namespace: Namespace, given: Operation) -> Any:
        found = namespace.content.statuses(*given["filters"])
        return [json_of.status_result(one) for one in sorted(found, key=lambda one: one.ref)]

    def _content_abort(self, namespace: Namespace, given: Operation) -> None:
        namespace.content.abort(given["ref"])

    # Writers.

    def _writer_open(self, namespace: Namespace, given: Operation) -> Any:
        self._writers[given["writer"]] = namespace.content.writer(
            given["ref"], size=given.get("size", 0), expected=given.get("digest", ""), resume=True
        )
        return self._writer_status(namespace, given)

    def _writer_write(self, _: Namespace, given: Operation) -> int:
        return self._writers[given["writer"]].write(base64.b64decode(given["data"]))

    def _writer_truncate(self, _: Namespace, given: Operation) -> None:
        self._writers[given["writer"]].truncate(given["size"])

    def _writer_status(self, _: Namespace, given: Operation) -> Any:
        writer = self._writers[given["writer"]]
        return {**json_of.status_result(writer.status()), "digest": writer.digest()}

    def _writer_commit(self, _: Namespace, given: Operation) -> None:
        with self._writers.pop(given["writer"]) as writer:
            writer.commit_as_given(
                size=given.get("size", 0),
                expected=given.get("digest", ""),
                labels=given.get("labels"),
                relabel=False,
            )

    def _writer_close(self, _: Namespace, given: Operation) -> None:
        self._writers.pop(given["writer"]).close()

    # Snapshots.

    def _snapshot_stat(self, namespace: Namespace, given: Operation) -> Any:
        return json_of.snapshot_result(_snapshots(namespace, given).stat(given["key"]))

    def _snapshot_update(self, namespace: Namespace, given: Operation) -> Any:
        info = SnapshotInfo(
            kind=SnapshotKind.UNKNOWN, name=given["key"], labels=given.get("labels") or {}
        )
        changed = _snapshots(namespace, given).update(info, given["paths"])
        return json_of.snapshot_result(changed)

    def _snapshot_usage(self, namespace: Namespace, given: Operation) -> Sequence[int]:
        usage = _snapshots(namespace, given).usage(given["key"])
        return [usage.inodes, usage.size]

    def _snapshot_mounts(self, namespace: Namespace, given: Operation) -> Any:
        found = _snapshots(namespace, given).mounts(given["key"])
        return json_of.mount_results(found, self.root)

    def _snapshot_prepare(self, namespace: Namespace, given: Operation) -> Any:
        made = _snapshots(namespace, given).prepare(
            given["key"], given.get("parent", ""), given.get("labels")
        )
        return json_of.mount_results(made, self.root)

    def _snapshot_view(self, namespace: Namespace, given: Operation) -> Any:
        made = _snapshots(namespace, given).view(
            given["key"], given.get("parent", ""), given.get("labels")
        )
        return json_of.mount_results(made, self.root)

    def _snapshot_commit(self, namespace: Namespace, given: Operation) -> None:
        _snapshots(namespace, given).commit(given["name"], given["key"], given.get("labels"))

    def _snapshot_remove(self, namespace: Namespace, given: Operation) -> None:
        _snapshots(namespace, given).remove(given["key"])

    def _snapshot_walk(self, namespace: Namespace, given: Operation) -> Any:
        found = _snapshots(namespace, given).walk(*given["filters"])
        return [json_of.snapshot_result(one) for one in found]

    # What belongs to no namespace.

    def _gc(self, _: Operation) -> str:
        failures = self.database.gc.run().failures
        assert not failures, failures
        return "done"

    @staticmethod
    def _filter(given: Operation) -> list[int]:
        wanted = filters.parse(given["filters"])
        return [
            place
            for place, record in enumerate(given["records"])
            if wanted.matches(_adaptor(record))
        ]


def _snapshots(namespace: Namespace, given: dict[str, Any]) -> SnapshotStore:
    return namespace.snapshots(given["snapshotter"])


def _adaptor(record: dict[str, Any]) -> filters.Adaptor:
    def look_up(path: Sequence[str]) -> tuple[str, bool]:
        if path[0] in {"name", "other"}:
            value = record.get(path[0], "")
            return value, bool(value)
        key = ".".join(path[1:])
        labels = record.get("labels") or {}
        return (labels[key], True) if path[0] == "labels" and key in labels else ("", False)

    return look_up
