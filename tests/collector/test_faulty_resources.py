"""Exceptions and wrong answers of plug-ins are reported, stop no run and lose no data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from collector.faulty_things import CALLS, QUESTIONS, FaultyThings, UnspeakableError, raising
from collector.making import blobs_on_disk, make_blob, make_image
from orlop import digests
from orlop.errors import InvalidArgumentError, NotFoundError, UnavailableError
from orlop.gc.node import Node
from orlop.gc.quarantine import Quarantine

if TYPE_CHECKING:
    from orlop import Database, Namespace

NS = "ns1"
ERRORS = (
    ValueError("it is broken"),
    OSError("the disk is broken"),
    NotFoundError("the server"),
    StopIteration(),
    RecursionError(),
    UnspeakableError(),
)


class Scene:
    """Two kinds of resources between healthy neighbours, with blobs that they keep or not."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.ns: Namespace = database.namespace(NS)
        self.ns.leases.create("lease")
        self.held: set[str] = set()
        self.first = self._things("alpha")
        self.faulty = self._things("faulty")
        self.last = self._things("zulu")
        self.all = (self.first, self.faulty, self.last)
        self.garbage = {make_blob(self.ns, b"garbage")}

    def _things(self, kind: str) -> FaultyThings:
        names = ("active", "leased", "labelled", "back", "garbage")
        active, leased, labelled, back, garbage = (Node(kind, NS, name) for name in names)
        blobs = {name: self._blob(f"{kind} {name}") for name in names}
        targets = {name: Node("content", NS, digest) for name, digest in blobs.items()}
        holder = make_blob(
            self.ns,
            f"holder of {kind}".encode(),
            {"containerd.io/gc.root": "x", f"containerd.io/gc.ref.{kind}-label": "labelled"},
        )
        self.held |= {holder, *(blobs[name] for name in names if name != "garbage")}
        things = FaultyThings(
            [active, leased, labelled, back, garbage],
            kind=kind,
            active=[active],
            leased={"lease": [leased]},
            back=[(active, back)],
            forward={Node(kind, NS, name): [target] for name, target in targets.items()},
        )
        self.database.gc.register(things)
        return things

    def _blob(self, text: str) -> str:
        return make_blob(self.ns, text.encode())

    @property
    def blobs(self) -> set[str]:
        return {info.digest for info in self.ns.content.walk()}

    def check(self) -> None:
        """Check that nothing is locked or lost, and that writing still works."""
        assert not any(one.is_locked for one in self.all)
        assert self.held <= self.blobs
        assert self.held <= set(blobs_on_disk(self.database))
        with self.database.update():
            self.ns.leases.create("later")
            self.ns.leases.delete("later")

    def check_the_next_run(self) -> None:
        """Check that a run without faults deletes the garbage."""
        self.faulty.faults = {}
        statistics = self.database.gc.run()
        assert statistics.failures == {}
        assert self.blobs == self.held
        assert {one.key for one in self.faulty.every} == {"active", "leased", "labelled", "back"}
        assert [one.ended[-1] for one in self.all] == ["finish"] * 3
        self.check()


@pytest.fixture
def scene(database: Database) -> Scene:
    return Scene(database)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("call", [*CALLS, *(f"after {call}" for call in QUESTIONS)])
def test_an_exception_of_any_call_is_contained(scene: Scene, call: str, error: Exception) -> None:
    scene.faulty.faults = {call: raising(error)}
    if call == "cancel":  # which nothing calls where all goes well
        scene.last.faults = {"references": raising(error)}
    before = scene.blobs

    statistics = scene.database.gc.run()

    name = call.removeprefix("after ")
    assert name in statistics.failures["faulty"]
    assert "\n" not in statistics.failures["faulty"]
    assert statistics.failures.keys() == {"faulty"} | ({"zulu"} if call == "cancel" else set())
    assert not any(one.is_locked for one in scene.all)
    scene.check()
    if name in {"remove", "finish"}:
        assert scene.first.ended[-1] == scene.last.ended[-1] == "finish"
        assert scene.blobs & scene.garbage == set()
    else:
        assert scene.first.ended == ["cancel"]
        assert scene.last.ended == ([] if name == "begin" else ["cancel"])
        assert statistics.removed == {}
        assert scene.blobs == before
    scene.last.faults = {}
    scene.check_the_next_run()


def test_what_a_run_could_not_ask_is_in_the_journal_and_the_log(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.faulty.faults = {"references": raising(ValueError("it is broken"))}
    scene.database.gc.run()
    assert scene.database.gc.journal is not None
    *_, entry = scene.database.gc.journal.entries()
    assert entry.event == "failed"
    assert "ValueError: it is broken" in entry.reason
    assert "references of resources of type faulty failed" in caplog.text
    samples = {
        (one.name, one.labels.get("backend")): one.value for one in scene.database.gc.samples()
    }
    assert samples["orlop_gc_failed_cleanups_total", "faulty"] == 1


def test_resources_that_cannot_be_removed_stay_with_what_they_refer_to(scene: Scene) -> None:
    scene.faulty.faults = {"remove": raising(ValueError("it is in use"))}
    statistics = scene.database.gc.run()
    assert len(scene.faulty.every) == 5
    assert digests.from_bytes(b"faulty garbage") in scene.blobs
    assert statistics.removed == {"content": 3, "alpha": 1, "zulu": 1}
    assert scene.faulty.ended == ["cancel", "cancel"]
    scene.check()


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("call", [one for one in CALLS if one != "cancel"])
def test_an_interrupt_ends_the_run_when_all_others_have_ended(
    scene: Scene, call: str, interrupt: type[BaseException]
) -> None:
    scene.faulty.faults = {call: raising(interrupt())}
    before = scene.blobs
    with pytest.raises(interrupt):
        scene.database.gc.run()
    scene.check()
    if call != "begin":
        ended = "finish" if call == "finish" else "cancel"
        assert [one.ended for one in scene.all] == [[ended]] * 3
    if call != "finish":
        assert scene.blobs == before
    scene.faulty.faults = {}
    scene.database.gc.run()
    assert scene.blobs == scene.held


def test_two_interrupts_at_the_end_leave_no_lock(scene: Scene) -> None:
    scene.first.faults = {"finish": raising(KeyboardInterrupt())}
    scene.faulty.faults = {"finish": raising(SystemExit())}
    with pytest.raises(KeyboardInterrupt):
        scene.database.gc.run()
    assert [one.ended for one in scene.all] == [["finish"]] * 3
    scene.check()


BAD_ANSWERS: list[Any] = [
    None,
    7,
    [None],
    ["a"],
    [("faulty", NS, "active")],
    [Node("faulty", NS, 7)],  # type: ignore[arg-type]
    [Node("faulty", None, "a")],  # type: ignore[arg-type]
    [Node(b"faulty", NS, "a")],  # type: ignore[arg-type]
    [Node("unheard-of", NS, "a")],
    [Node("orphan", NS, "a")],
    [Node("snapshot", NS, "no-slash")],
    [Node("faulty", NS, "\ud800")],
    [(Node("faulty", NS, "a"),)],
    [(Node("faulty", NS, "a"), None)],
]


@pytest.mark.parametrize("answer", BAD_ANSWERS, ids=ascii)
@pytest.mark.parametrize("call", QUESTIONS)
def test_an_answer_that_is_none_is_a_failure(scene: Scene, call: str, answer: Any) -> None:
    scene.faulty.faults = {call: lambda: answer}
    before = scene.blobs
    statistics = scene.database.gc.run()
    assert f"{call} of resources" in statistics.failures["faulty"]
    assert scene.blobs == before
    scene.check()
    scene.check_the_next_run()


@pytest.mark.parametrize("kind", ["content", "lease", "alpha"])
def test_a_resource_lists_only_its_own(scene: Scene, kind: str) -> None:
    """Otherwise it could release resources of another type."""
    key = next(iter(scene.held)) if kind == "content" else "active"
    scene.faulty.faults = {"all": lambda: [Node(kind, NS, key)]}
    assert "no resource of this type" in scene.database.gc.run().failures["faulty"]
    scene.check()
    scene.check_the_next_run()


@pytest.mark.parametrize("begun", [None, 7, object()])
def test_a_collection_that_is_none_is_a_failure(scene: Scene, begun: object) -> None:
    before = scene.blobs
    scene.faulty.begin = lambda: begun  # type: ignore[assignment, method-assign, return-value]
    assert scene.database.gc.run().failures.keys() == {"faulty"}
    assert scene.blobs == before
    del scene.faulty.begin
    scene.check_the_next_run()


@pytest.mark.parametrize("call", QUESTIONS)
def test_no_plan_is_made_without_an_answer(scene: Scene, call: str) -> None:
    scene.faulty.faults = {call: raising(ValueError("it is broken"))}
    for question in (scene.database.gc.plan, scene.database.gc.mark):
        with pytest.raises(UnavailableError, match=f"{call} of resources of type faulty failed"):
            question()
        assert not any(one.is_locked for one in scene.all)
    scene.faulty.faults = {}
    planned = {one.type for one in scene.database.gc.plan().nodes}
    assert planned == {"content", "alpha", "faulty", "zulu"}


def test_a_plan_whose_resources_fail_to_cancel_is_a_plan(scene: Scene) -> None:
    scene.faulty.faults = {"cancel": raising(ValueError("it is broken"))}
    plan = scene.database.gc.plan()
    assert len(plan.nodes) == 7
    assert "cancel failed" in plan.failures["faulty"]
    assert [one.ended for one in scene.all] == [["cancel"]] * 3


def test_an_interrupt_in_a_plan_leaves_no_lock(scene: Scene) -> None:
    for call in ("begin", "all", "references", "cancel"):
        scene.faulty.faults = {call: raising(KeyboardInterrupt())}
        for question in (scene.database.gc.plan, scene.database.gc.mark):
            with pytest.raises(KeyboardInterrupt):
                question()
            assert not any(one.is_locked for one in scene.all)
    scene.check()


def test_a_failed_plan_confirms_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """In doubt a run follows a plan: data that the plan could not assess is kept."""
    monkeypatch.setattr(Quarantine, "initial_doubt", lambda *_: "it was written elsewhere")
    calls = iter([True])

    def fail_once() -> list[Node]:
        if next(calls, False):
            raise ValueError("not yet")
        return []

    scene.faulty.faults = {"all": fail_once}
    before = scene.blobs
    statistics = scene.database.gc.run()
    assert "all of resources" in statistics.failures["faulty"]
    assert scene.blobs == before


@pytest.mark.parametrize("kind", [None, 7, b"thing", "", "content", "orphan"])
def test_a_type_that_is_none_is_not_registered(database: Database, kind: object) -> None:
    things = FaultyThings()
    things.type = kind  # type: ignore[assignment]
    with pytest.raises(InvalidArgumentError):
        database.gc.register(things)


@pytest.mark.parametrize("label", [None, 7, b"label"])
def test_a_label_that_is_no_text_is_not_registered(database: Database, label: object) -> None:
    things = FaultyThings()
    things.reference_label = label  # type: ignore[assignment]
    with pytest.raises(InvalidArgumentError):
        database.gc.register(things)


def test_a_subscriber_that_fails_cancels_no_resource(scene: Scene) -> None:
    """Events are delivered after the commit."""
    make_image(
        scene.ns, "expired", *scene.garbage, **{"containerd.io/gc.expire": "2020-01-01T00:00:00Z"}
    )

    def fail(_: object) -> None:
        raise ValueError("no more events")

    told: list[object] = []
    scene.database.subscribe(fail)
    scene.database.subscribe(told.append)
    statistics = scene.database.gc.run()
    assert len(told) == 1
    assert statistics.failures == {"events": "ValueError: no more events"}
    assert [one.ended for one in scene.all] == [["finish"]] * 3
    scene.check_the_next_run()


def test_an_interrupted_subscriber_ends_the_run_when_all_have_finished(scene: Scene) -> None:
    make_image(
        scene.ns, "expired", *scene.garbage, **{"containerd.io/gc.expire": "2020-01-01T00:00:00Z"}
    )

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    end = scene.database.subscribe(interrupt)
    with pytest.raises(KeyboardInterrupt):
        scene.database.gc.run()
    end()
    assert [one.ended for one in scene.all] == [["finish"]] * 3
    scene.check_the_next_run()


def test_a_scheduler_tries_a_run_again_that_could_not_ask(scene: Scene) -> None:
    scene.faulty.faults = {"active": raising(ValueError("not yet"))}
    scheduler = scene.database.gc.schedule()
    statistics = scheduler.request().wait(timeout=60)
    assert "active of resources" in statistics.failures["faulty"]
    scene.faulty.faults = {}
    assert scheduler.request().wait(timeout=60).failures == {}
    assert scene.blobs == scene.held
