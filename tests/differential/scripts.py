"""Random scripts of operations on all stores, each a function of its seed.

A script is played on Orlop while it is made: it looks now and then at what there is, so that
most operations hit something.
"""

from __future__ import annotations

import base64
import random
from typing import TYPE_CHECKING, Any, Final

from differential import inputs as pool
from differential.record_inputs import RecordInputs
from differential.weights import ACTS_IN_BACKEND, IN_TRANSACTION, MADE_BY, WEIGHTS
from differential.world import Known, Writer, look
from orlop import SnapshotKind
from orlop.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from differential.player import Player
    from orlop import IngestStatus

    Operation = dict[str, Any]

LOOK_EVERY: Final = 3
WRITERS_MAX: Final = 4


class Script:
    """A script in the making."""

    def __init__(self, seed: int, player: Player) -> None:
        self._in = RecordInputs(random.Random(seed))
        self._player = player
        self._known: dict[str, Known] = {}
        self._writers: dict[str, Writer] = {}
        self._made = 0
        self._unique = 0

    def next(self) -> Operation:
        """Return the next operation."""
        if not self._known:
            self.look()
        if self._made % LOOK_EVERY == 0:
            name = pool.NAMESPACES[self._made // LOOK_EVERY % len(pool.NAMESPACES)]
            self._known[name] = look(self._player.database, name)
        self._made += 1
        return self._draw(WEIGHTS)

    def look(self) -> None:
        """Read the current records of all namespaces."""
        self._known = {name: look(self._player.database, name) for name in pool.NAMESPACES}

    def played(self, operation: Operation, answer: dict[str, Any]) -> None:
        """Update the script's state with the answer to an operation."""
        if operation["op"] == "transaction":
            steps = zip(operation["steps"], answer["ok"], strict=False)
            for step, result in steps:
                self.played(step, result)
        elif operation["op"] == "gc":
            self.look()
        elif operation["op"] == "writer.open" and "ok" in answer:
            offset = answer["ok"]["offset"]
            self._writers[operation["writer"]] = Writer(
                operation["ns"],
                operation["ref"],
                data=b"" if offset == 0 else b"?",
                shared=answer["ok"]["digest"] == operation.get("digest"),
            )
        elif operation["op"] in {"writer.commit", "writer.close"}:
            self._writers.pop(operation["writer"], None)
        elif operation["op"] == "writer.write" and "ok" in answer:
            writer = self._writers[operation["writer"]]
            writer.data += base64.b64decode(operation["data"])
            writer.shared = False
        elif operation["op"] == "writer.truncate" and "ok" in answer:
            writer = self._writers[operation["writer"]]
            writer.data, writer.shared = b"" if operation["size"] == 0 else b"?", False

    def _draw(self, weights: dict[str, float] | dict[str, int]) -> Operation:
        name = self._in.random.choices([*weights], [*weights.values()])[0]
        if name == "gc" and self._writers:
            name = "writer.close"  # nothing is collected under a writer
        store, _, what = name.partition(".")
        if store == "writer" and what != "open" and not self._writers:
            name, store, what = "writer.open", "writer", "open"
        if name == "writer.open" and len(self._writers) >= WRITERS_MAX:
            what = "commit"
            name = "writer.commit"
        operation: Operation = {"op": name, "ns": self._in.one_of(pool.NAMESPACES)}
        made_by = MADE_BY.get(store)
        if made_by in weights and self._is_empty(operation["ns"], store) and self._in.chance(0.8):
            # Where there is nothing, something is made rather than missed.
            operation["op"] = made_by
            store, _, what = str(made_by).partition(".")
        flaw = self._in.chance(pool.INVALID)
        make: Callable[..., None] = getattr(self, f"_{store}")
        make(operation, what, flaw=flaw)
        return operation

    def _is_empty(self, namespace: str, store: str) -> bool:
        known = self._known[namespace]
        match store:
            case "image":
                return not known.images
            case "container":
                return not known.containers
            case "lease":
                return not known.leases
            case _:
                return not all(known.snapshots.values())

    def _here(self, operation: Operation) -> Known:
        return self._known[operation["ns"]]

    def _let_lease(self, operation: Operation, *, may_miss: bool = True) -> None:
        """Let a lease be in force, now and then one that does not exist."""
        if not self._in.chance(0.4):
            return
        existing = [
            one.id for one in self._player.database.namespace(operation["ns"]).leases.list()
        ]
        if existing and not (may_miss and self._in.chance(0.1)):
            operation["lease"] = self._in.one_of(existing)
        elif may_miss:
            operation["lease"] = self._in.one_of(pool.LEASES)

    def _bad_namespace(self, operation: Operation) -> None:
        operation["ns"] = self._in.one_of(pool.BAD_IDENTIFIERS)

    def _namespace(self, operation: Operation, what: str, *, flaw: bool) -> None:
        draw = self._in
        operation["name"] = draw.one_of((*pool.NAMESPACES, "new", "other"))
        match what:
            case "create":
                operation["labels"] = draw.labels(flaw=flaw and draw.chance(0.5))
                if flaw and "" not in (operation["labels"] or {}):
                    operation["name"] = draw.one_of((*pool.BAD_IDENTIFIERS, "version"))
            case "label":
                operation["key"] = draw.one_of(pool.NAMES)
                operation["value"] = draw.one_of(pool.VALUES)
                if flaw:
                    operation["key"], operation["value"] = draw.one_of(
                        (("", "x"), ("k" * 5000, ""), ("k", "v" * 4096))
                    )
            case "labels" | "delete" if flaw:
                operation["name"] = draw.one_of(pool.BAD_IDENTIFIERS[1:])

    def _image(self, operation: Operation, what: str, *, flaw: bool) -> None:
        draw, existing = self._in, self._here(operation).images
        share = 0.25 if what == "create" else 0.93
        name = draw.known(existing, pool.IMAGES, share)
        self._let_lease(operation)
        match what:
            case "get" | "delete":
                operation["name"] = draw.one_of(("", "nothing")) if flaw else name
                if flaw and draw.chance(0.5):
                    self._bad_namespace(operation)
            case "list":
                operation["filters"] = draw.filters(flaw=flaw)
            case _:
                operation["image"] = self._in.image(name, flaw=flaw and draw.chance(0.7))
                operation["paths"] = []
                if what == "update":
                    operation["paths"] = draw.paths(
                        ("target",),
                        ("labels", "annotations"),
                        flaw=flaw and draw.chance(0.5),
                    )

    def _container(self, operation: Operation, what: str, *, flaw: bool) -> None:
        draw, existing = self._in, self._here(operation).containers
        share = 0.25 if what == "create" else 0.93
        name = draw.known([*existing], pool.CONTAINERS, share)
        match what:
            case "get" | "delete":
                operation["name"] = draw.one_of(("", "nothing")) if flaw else name
                if flaw and draw.chance(0.5):
                    self._bad_namespace(operation)
            case "list":
                operation["filters"] = draw.filters(flaw=flaw)
            case _:
                container = self._in.container(name, flaw=flaw and draw.chance(0.7))
                operation["container"], operation["paths"] = container, []
                if what == "update":
                    operation["paths"] = draw.paths(
                        ("spec", "image", "snapshotkey"),
                        ("labels", "extensions"),
                        flaw=flaw and draw.chance(0.5),
                    )
                    if name in existing and draw.chance(0.8) and not flaw:
                        container["snapshotter"], container["runtime"] = existing[name]

    def _lease(self, operation: Operation, what: str, *, flaw: bool) -> None:
        draw, existing = self._in, self._here(operation).leases
        operation["name"] = draw.known(existing, pool.LEASES, 0.25 if what == "create" else 0.93)
        match what:
            case "create":
                operation["labels"] = draw.lease_labels(flaw=flaw and draw.chance(0.5))
                if flaw and "" not in (operation["labels"] or {}):
                    operation["name"] = ""
            case "list":
                operation["filters"] = draw.filters(flaw=flaw)
            case "add" | "remove":
                operation["resource"] = self._in.resource(self._here(operation), flaw=flaw)
                if flaw and what == "add" and draw.chance(0.2):
                    operation["resource"] = {"type": "ingests", "id": ""}
            case _ if flaw:
                operation["name"] = draw.one_of(("", "nothing"))

    def _content(self, operation: Operation, what: str, *, flaw: bool) -> None:
        draw, here = self._in, self._here(operation)
        self._let_lease(operation)
        operation["digest"] = draw.known(here.blobs, pool.DIGESTS, 0.93)
        operation["ref"] = draw.known(here.refs, pool.REFS)
        if what in {"walk", "statuses"}:
            operation["filters"] = draw.filters(flaw=flaw)
        elif what == "update":
            operation["labels"] = draw.labels(flaw=flaw and draw.chance(0.5))
            operation["paths"] = draw.paths((), ("labels",), flaw=flaw and draw.chance(0.5))
        elif flaw:
            operation["digest"], operation["ref"] = draw.one_of(pool.BAD_DIGESTS), ""
            if draw.chance(0.3):
                self._bad_namespace(operation)
        if what == "abort" and any(
            (one.namespace, one.ref) == (operation["ns"], operation["ref"])
            for one in self._writers.values()
        ):
            operation["ref"] = "nothing"

    def _writer(self, operation: Operation, what: str, *, flaw: bool) -> None:
        draw = self._in
        if what == "open":
            self._open(operation, flaw=flaw)
            return
        operation["writer"] = name = draw.one_of([*self._writers])
        writer = self._writers[name]
        operation["ns"] = writer.namespace
        has_data = self._status_of(writer.namespace, writer.ref) is not None
        if what in {"write", "truncate"} and writer.shared and has_data:
            operation["op"] = f"writer.{(what := 'status')}"
        match what:
            case "write":
                self._unique += 1
                data = draw.one_of((*pool.BLOBS, f"unique {self._unique}".encode()))
                operation["data"] = base64.b64encode(data).decode()
            case "truncate":
                operation["size"] = 0 if writer.shared or not flaw else 5
            case "commit":
                self._let_lease(operation, may_miss=False)
                operation["labels"] = draw.labels()
                if not writer.shared and b"?" not in writer.data and draw.chance(0.7):
                    operation["digest"] = pool.digest_of(writer.data)
                    operation["size"] = len(writer.data)
                if flaw:
                    operation |= draw.one_of(
                        (
                            {"size": 12345},
                            {"digest": pool.digest_of(b"other")},
                            {"labels": {"k" * 97: "v" * pool.LONG}},
                        )
                    )

    def _status_of(self, namespace: str, ref: str) -> IngestStatus | None:
        """Return the backend's ingest with that reference, even if no record names it any more.

        Bytes that a shared ingest had written before are left to a cleanup.
        """
        try:
            return self._player.database.content_backend.status(f"{namespace}/1/{ref}")
        except NotFoundError:
            return None

    def _open(self, operation: Operation, *, flaw: bool) -> None:
        draw, here = self._in, self._here(operation)
        self._let_lease(operation)
        self._unique += 1
        operation["writer"] = f"w{self._unique}"
        operation["ref"] = draw.known(here.refs, pool.REFS, 0.5)
        if draw.chance(0.4):
            operation["digest"] = draw.one_of(pool.DIGESTS)
        if flaw:
            operation |= draw.one_of(({"ref": ""}, {"digest": draw.one_of(pool.BAD_DIGESTS)}))
            if draw.chance(0.2):
                operation["ref"] = "r1"  # of two faults containerd finds the other one first
                self._bad_namespace(operation)
        if any(
            (one.namespace, one.ref) == (operation["ns"], operation["ref"])
            for one in self._writers.values()
        ) and not draw.chance(0.02):
            # containerd waits for the one who has it, up to a second: rarely is enough.
            operation["ref"] = f"r{self._unique}"
        if draw.chance(0.3) and operation["ns"] in pool.NAMESPACES:
            known = self._status_of(operation["ns"], operation["ref"])
            fits = (0, 7, 12, 21, 28) if known is None or not known.total else (0, known.total)
            operation["size"] = draw.one_of(fits)

    def _snapshot(self, operation: Operation, what: str, *, flaw: bool) -> None:
        draw = self._in
        operation["snapshotter"] = snapshotter = draw.one_of(pool.SNAPSHOTTERS)
        snapshots = self._here(operation).snapshots[snapshotter]
        operation["key"] = draw.known([*snapshots], pool.KEYS, 0.93)
        if what in {"prepare", "view"}:
            self._new_snapshot(operation, snapshots, flaw=flaw)
        elif what == "commit":
            self._commit_snapshot(operation, snapshots, flaw=flaw)
        elif what == "update":
            operation["labels"] = draw.labels(flaw=flaw and draw.chance(0.5))
            operation["paths"] = draw.paths((), ("labels",), flaw=flaw and draw.chance(0.5))
        elif what == "walk":
            operation["filters"] = draw.filters(flaw=flaw)
        elif flaw:
            operation["key"] = draw.one_of(("", "nothing"))
        if flaw and draw.chance(0.1):
            self._bad_namespace(operation)
        elif what == "remove":
            self._let_lease(operation)
        elif what in {"prepare", "view", "commit"}:
            self._lease_for_new(operation, operation["name" if what == "commit" else "key"])

    def _new_snapshot(
        self, operation: Operation, snapshots: dict[str, SnapshotKind], *, flaw: bool
    ) -> None:
        draw = self._in
        committed = [key for key, kind in snapshots.items() if kind is SnapshotKind.COMMITTED]
        operation["key"] = draw.known([*snapshots], pool.KEYS, 0.15)
        operation["parent"] = draw.known(committed, ("", "", *pool.KEYS[:2]), 0.7)
        operation["labels"] = draw.labels(flaw=flaw and draw.chance(0.3))
        if (operation["labels"] or {}).pop("", None):
            operation["parent"] = "nothing"  # an empty key would use up a number
        if flaw and draw.chance(0.5):
            others = [key for key in snapshots if key not in committed]
            operation["parent"] = draw.known(others, ("nothing",))

    def _commit_snapshot(
        self, operation: Operation, snapshots: dict[str, SnapshotKind], *, flaw: bool
    ) -> None:
        draw = self._in
        active = [key for key, kind in snapshots.items() if kind is SnapshotKind.ACTIVE]
        operation["name"] = draw.known([*snapshots], pool.KEYS, 0.15)
        operation["key"] = draw.known(active, pool.KEYS, 0.95)
        operation["labels"] = draw.labels(flaw=flaw and draw.chance(0.5))
        if flaw and draw.chance(0.5):
            operation |= draw.one_of(({"name": ""}, {"key": ""}, {"key": "nothing"}))

    def _lease_for_new(self, operation: Operation, name: str) -> None:
        """Let a lease be in force where the snapshot does not exist yet."""
        store = self._player.database.namespace(operation["ns"]).snapshots(operation["snapshotter"])
        if name not in {one.name for one in store.walk()}:
            self._let_lease(operation, may_miss=operation["op"] == "snapshot.commit")

    def _gc(self, operation: Operation, _: str, *, flaw: bool) -> None:
        del flaw, operation["ns"]

    def _transaction(self, operation: Operation, _: str, *, flaw: bool) -> None:
        del operation["ns"]
        draw = self._in
        steps = [self._draw(IN_TRANSACTION) for _ in range(draw.random.randint(1, 5))]
        operation["steps"] = steps
        if flaw:
            operation["rollback"] = True
        elif draw.chance(0.3):
            steps.append(self._draw(dict.fromkeys(ACTS_IN_BACKEND, 1)))
