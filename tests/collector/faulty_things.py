"""Resources of another kind that raise, or answer nonsense, where a test says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collector.things import Things

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from orlop.gc.node import Node
    from orlop.gc.resources import ResourceSession

CALLS = (
    "begin",
    "all",
    "active",
    "back_references",
    "leased",
    "references",
    "remove",
    "cancel",
    "finish",
)
QUESTIONS = ("all", "active", "back_references", "leased", "references")


class UnspeakableError(Exception):
    """An exception that cannot even be shown."""

    def __str__(self) -> str:
        raise RuntimeError("there are no words for it")


class FaultyThings(Things):
    """As `Things`, with a lock from `begin` to the end, and faults by the name of the call.

    Attributes:
        faults: called instead of the call, or, behind `after ` and its name, after half of the
            answer.
        is_locked: whether a collection of it is open.
    """

    def __init__(self, every: Iterable[Node] = (), *, kind: str = "thing", **facts: Any) -> None:
        super().__init__(every, **facts)
        self.type = kind
        self.faults: dict[str, Callable[[], Any]] = {}
        self.is_locked = False
        self.reference_label = f"{kind}-label"
        self._removed: list[Node] = []

    def begin(self) -> ResourceSession:
        assert not self.is_locked, "the last collection has neither been cancelled nor finished"
        self._call("begin", lambda: None)
        self.is_locked = True
        self._removed = []
        return self

    def all(self) -> Any:
        return self._answer("all", super().all())

    def active(self, namespace: str) -> Any:
        return self._answer("active", super().active(namespace))

    def back_references(self, namespace: str) -> Any:
        return self._answer("back_references", super().back_references(namespace))

    def leased(self, namespace: str, lease: str) -> Any:
        return self._answer("leased", super().leased(namespace, lease))

    def references(self, node: Node) -> Any:
        return self._answer("references", super().references(node))

    def remove(self, node: Node) -> None:
        self._call("remove", lambda: self._removed.append(node))

    def cancel(self) -> None:
        self._end("cancel")

    def finish(self) -> None:
        self._end("finish")
        for node in self._removed:
            super().remove(node)

    def _end(self, how: str) -> None:
        assert self.is_locked, "no collection is open"
        self.is_locked = False
        self.ended.append(how)
        self._call(how, lambda: None)

    def _call(self, name: str, answer: Callable[[], Any]) -> Any:
        return self.faults.get(name, answer)()

    def _answer(self, name: str, answer: list[Any]) -> Any:
        fault = self.faults.get(f"after {name}")
        return self._call(name, lambda: answer if fault is None else _broken_off(answer, fault))


def _broken_off(answer: list[Any], fault: Callable[[], Any]) -> Iterator[Any]:
    yield from answer[: len(answer) // 2]
    fault()


def raising(error: BaseException) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail
