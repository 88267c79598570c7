"""The whole database against dictionaries: all stores, collections, time, reopening, crashes."""

from __future__ import annotations

import contextlib
import copy
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from whenever import TimeDelta

import orlop
from collector.settable import SettableClock
from orlop import Container, Descriptor, Image, ProtoAny, Runtime
from orlop.errors import NotFoundError, OrlopError
from orlop.schema.codec import timestamps
from stores.blobs import digest_of
from stores.consistency import check_data, check_nothing_unnamed, check_records
from stores.crashing import Crash, crashing
from stores.model_world import ACTIVE, LOST, VIEW, Space
from stores.observing import observed

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from orlop import Database, Namespace

    Act = Callable[[Namespace], object]
    Expect = Callable[[Space], object]

NAMESPACES = ("one", "two")
DATA = [b"first", b"second", b"third"]
DIGESTS = [digest_of(data) for data in DATA]
DAY = TimeDelta(hours=24)

places = st.sampled_from(NAMESPACES)
names = st.sampled_from(["a", "b", "c"])
optional = st.sampled_from(["", "a", "b", "c"])
leases = st.sampled_from([None, None, "l", "m"])
numbers = st.integers(0, len(DATA) - 1)
hours = st.sampled_from([None, 1, 5])
deaths = st.one_of(st.none(), st.none(), st.integers(0, 15))


class DatabaseMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.lives = 0
        self.clock = SettableClock()
        self.spaces = {name: Space() for name in NAMESPACES}
        self.db = self.opened()

    def teardown(self) -> None:
        self.db.close()
        shutil.rmtree(self.folder)

    def opened(self) -> Database:
        return orlop.open(self.folder / str(self.lives), clock=self.clock, sync=False)

    def do(
        self, place: str, act: Act, *expected: Expect, lease: str | None = None, death: int | None
    ) -> None:
        """Do it in the database and in the model; a crash may leave any part of it done."""
        stages = [copy.deepcopy(self.spaces[place])]
        wanted: type[Exception] | None = None
        for part in expected:
            space = copy.deepcopy(stages[-1])
            try:
                part(space)
            except OrlopError as error:
                wanted = type(error)
            stages.append(space)
            if wanted is not None:
                break
        ns = self.db.namespace(place)
        holding = ns.using_lease(lease) if lease else contextlib.nullcontext()
        said: type[Exception] | None = None
        try:
            with holding, self.crashing(death):
                act(ns)
        except OrlopError as error:
            said = type(error)
        except Crash:
            self.come_back()
            found = observed(self.db.namespace(place))
            assert found.without_loss() in stages, (found, stages)
            self.spaces[place] = found
            return
        assert said is wanted, (said, wanted)
        self.spaces[place] = stages[-1]

    def crashing(self, death: int | None) -> AbstractContextManager[None]:
        return crashing(self.folder / str(self.lives), self.folder / str(self.lives + 1), death)

    def come_back(self) -> None:
        self.db.close()
        shutil.rmtree(self.folder / str(self.lives))
        self.lives += 1
        self.db = self.opened()

    @rule(place=places, lease=st.sampled_from(["l", "m"]), expires=hours, death=deaths)
    def add_lease(self, place: str, lease: str, expires: int | None, death: int | None) -> None:
        expiry = None if expires is None else self.clock.now() + TimeDelta(hours=expires)
        labels = (
            {} if expiry is None else {"containerd.io/gc.expire": timestamps.format_rfc3339(expiry)}
        )
        self.do(
            place,
            lambda ns: ns.leases.create(lease, labels=labels),
            lambda space: space.add_lease(lease, expiry),
            death=death,
        )

    @rule(place=places, lease=st.sampled_from(["l", "m"]), death=deaths)
    def delete_lease(self, place: str, lease: str, death: int | None) -> None:
        self.do(
            place,
            lambda ns: ns.leases.delete(lease),
            lambda space: space.delete_lease(lease),
            death=death,
        )

    @rule(
        place=places,
        lease=leases,
        number=numbers,
        is_root=st.booleans(),
        refers=st.one_of(st.none(), numbers),
        death=deaths,
    )
    def write(
        self,
        place: str,
        lease: str | None,
        number: int,
        is_root: bool,  # noqa: FBT001 -- hypothesis names it
        refers: int | None,
        death: int | None,
    ) -> None:
        labels = {"containerd.io/gc.root": "x"} if is_root else {}
        if refers is not None:
            labels["containerd.io/gc.ref.content"] = DIGESTS[refers]

        def act(ns: Namespace) -> None:
            with ns.content.writer("w") as writer:
                writer.truncate(0)
                writer.write(DATA[number])
                writer.commit(expected=DIGESTS[number], labels=labels)

        below = "" if refers is None else DIGESTS[refers]
        expiry = self.clock.now() + DAY
        self.do(
            place,
            act,
            lambda space: space.open_ingest("w", lease, expiry),
            lambda space: space.commit_ingest(
                "w", lease, DIGESTS[number], is_root=is_root, refers=below
            ),
            lease=lease,
            death=death,
        )

    @rule(place=places, lease=leases, ref=names, death=deaths)
    def begin_ingest(self, place: str, lease: str | None, ref: str, death: int | None) -> None:
        expiry = self.clock.now() + DAY

        def act(ns: Namespace) -> None:
            with ns.content.writer(ref) as writer:
                writer.write(b"some")

        self.do(
            place,
            act,
            lambda space: space.open_ingest(ref, lease, expiry),
            lease=lease,
            death=death,
        )

    @rule(place=places, lease=leases, ref=names, death=deaths)
    def abort(self, place: str, lease: str | None, ref: str, death: int | None) -> None:
        self.do(
            place,
            lambda ns: ns.content.abort(ref),
            lambda space: space.abort(ref, lease),
            lease=lease,
            death=death,
        )

    @rule(place=places, lease=leases, number=numbers, death=deaths)
    def delete_blob(self, place: str, lease: str | None, number: int, death: int | None) -> None:
        self.do(
            place,
            lambda ns: ns.content.delete(DIGESTS[number]),
            lambda space: space.delete_blob(DIGESTS[number], lease),
            lease=lease,
            death=death,
        )

    @rule(
        place=places,
        lease=leases,
        name=names,
        number=numbers,
        refers=optional,
        expires=hours,
        death=deaths,
    )
    def add_image(
        self,
        place: str,
        lease: str | None,
        name: str,
        number: int,
        refers: str,
        expires: int | None,
        death: int | None,
    ) -> None:
        expiry = None if expires is None else self.clock.now() + TimeDelta(hours=expires)
        labels = {"containerd.io/gc.ref.snapshot.native": refers} if refers else {}
        if expiry is not None:
            labels["containerd.io/gc.expire"] = timestamps.format_rfc3339(expiry)
        target = Descriptor(media_type="m", digest=DIGESTS[number], size=1)
        self.do(
            place,
            lambda ns: ns.images.create(Image(name=name, target=target, labels=labels)),
            lambda space: space.add_image(name, lease, DIGESTS[number], refers, expiry),
            lease=lease,
            death=death,
        )

    @rule(place=places, lease=leases, name=names, death=deaths)
    def delete_image(self, place: str, lease: str | None, name: str, death: int | None) -> None:
        self.do(
            place,
            lambda ns: ns.images.delete(name),
            lambda space: space.delete_image(name, lease),
            lease=lease,
            death=death,
        )

    @rule(
        place=places,
        lease=leases,
        key=names,
        parent=optional,
        kind=st.sampled_from([ACTIVE, ACTIVE, VIEW]),
        death=deaths,
    )
    def prepare(
        self, place: str, lease: str | None, key: str, parent: str, kind: str, death: int | None
    ) -> None:
        self.do(
            place,
            lambda ns: (
                ns.snapshots("native").prepare(key, parent)
                if kind == ACTIVE
                else ns.snapshots("native").view(key, parent)
            ),
            lambda space: space.prepare(key, parent, kind, lease),
            lease=lease,
            death=death,
        )

    @rule(place=places, lease=leases, name=names, key=names, death=deaths)
    def commit(self, place: str, lease: str | None, name: str, key: str, death: int | None) -> None:
        if self.spaces[place].is_lost(key) and name not in self.spaces[place].snapshots:
            # The same again may finish it; nothing else can.
            with contextlib.suppress(NotFoundError):
                self.db.namespace(place).snapshots("native").commit(name, key)
            self.spaces[place] = observed(self.db.namespace(place))
            return
        self.do(
            place,
            lambda ns: ns.snapshots("native").commit(name, key),
            lambda space: space.commit(name, key, lease),
            lease=lease,
            death=death,
        )

    @rule(place=places, lease=leases, key=names, death=deaths)
    def remove(self, place: str, lease: str | None, key: str, death: int | None) -> None:
        self.do(
            place,
            lambda ns: ns.snapshots("native").remove(key),
            lambda space: space.remove(key, lease),
            lease=lease,
            death=death,
        )

    @rule(place=places, name=names, key=names, death=deaths)
    def add_container(self, place: str, name: str, key: str, death: int | None) -> None:
        container = Container(
            id=name,
            snapshotter="native",
            snapshot_key=key,
            runtime=Runtime(name="runc"),
            spec=ProtoAny(type_url="t", value=b"s"),
        )
        self.do(
            place,
            lambda ns: ns.containers.create(container),
            lambda space: space.add_container(name, key),
            death=death,
        )

    @rule(place=places, name=names, death=deaths)
    def delete_container(self, place: str, name: str, death: int | None) -> None:
        self.do(
            place,
            lambda ns: ns.containers.delete(name),
            lambda space: space.delete_container(name),
            death=death,
        )

    @rule(death=deaths)
    def collect(self, death: int | None) -> None:
        now = self.clock.now()
        after = copy.deepcopy(self.spaces)
        for space in after.values():
            space.collect(now)
        try:
            with self.crashing(death):
                self.db.gc.run()
        except Crash:
            self.come_back()
            found = {name: observed(self.db.namespace(name)) for name in NAMESPACES}
            assert found in (self.spaces, after), (found, self.spaces, after)
            self.spaces = found
            return
        self.spaces = after
        check_nothing_unnamed(self.db)

    @rule(passed=st.sampled_from([1, 2, 23]))
    def let_time_pass(self, passed: int) -> None:
        self.clock.advance(hours=passed, seconds=1)

    @rule()
    def reopen(self) -> None:
        self.db.close()
        self.db = self.opened()

    @invariant()
    def nothing_differs(self) -> None:
        for name, space in self.spaces.items():
            assert observed(self.db.namespace(name)) == space
        check_records(self.db)
        check_data(self.db, lost=self.lost())

    def lost(self) -> frozenset[str]:
        """Return the snapshots that may lack data after a crash between backend and metadata."""
        keys = {
            key
            for space in self.spaces.values()
            for key, (_, kind) in space.snapshots.items()
            if kind == LOST
        }
        return frozenset(keys | {ref for space in self.spaces.values() for ref in space.ingests})


TestDatabaseMachine = DatabaseMachine.TestCase
TestDatabaseMachine.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
