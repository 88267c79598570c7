"""Lease blocks that end in any order: the innermost open one counts, and an ended one never."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import random
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest

from orlop.errors import NotFoundError
from stores.blobs import DATA, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from orlop import Database, Namespace


def generator(namespace: Namespace, lease_id: str) -> Iterator[None]:
    with namespace.lease(lease_id):
        yield


def in_force(namespace: Namespace) -> str | None:
    return namespace.leases.scope.transactor.lease(namespace.name)


def test_a_block_holds_although_one_that_began_before_it_has_ended(
    ns: Namespace, db: Database
) -> None:
    first = generator(ns, "one")
    next(first)
    with ns.lease("two"):
        first.close()  # type: ignore[attr-defined]
        digest = put(ns)
        assert [one.id for one in ns.leases.resources("two")] == [digest]
        db.gc.run()
        assert ns.content.info(digest).size == len(DATA)
    assert in_force(ns) is None


def test_an_ended_lease_does_not_come_back_when_a_later_block_ends(ns: Namespace) -> None:
    first = generator(ns, "one")
    next(first)
    second = ns.lease("two")
    second.__enter__()
    first.close()  # type: ignore[attr-defined]
    second.__exit__(None, None, None)
    assert in_force(ns) is None
    put(ns)


@pytest.mark.parametrize("how", ["thread", "context", "collected"])
def test_a_block_that_ends_elsewhere_is_over_here(ns: Namespace, how: str) -> None:
    found = [generator(ns, "one")]
    next(found[0])
    with ns.lease("two"):
        if how == "thread":
            thread = threading.Thread(target=found[0].close)  # type: ignore[attr-defined]
            thread.start()
            thread.join()
        elif how == "context":
            contextvars.Context().run(found[0].close)  # type: ignore[attr-defined]
        else:
            found.clear()
            gc.collect()
        assert in_force(ns) == "two"
    assert in_force(ns) is None
    assert ns.leases.list() == []


def test_a_block_inside_of_a_view_that_is_collected_leaves_its_lease_for_the_close(
    ns: Namespace, db: Database
) -> None:
    found = [generator(ns, "one")]
    next(found[0])
    with db.view():
        found.clear()
        gc.collect()
        assert in_force(ns) is None


def test_tasks_inherit_a_block_for_as_long_as_it_is_open(ns: Namespace) -> None:
    async def work(ready: asyncio.Event, ended: asyncio.Event, found: list[str | None]) -> None:
        found.append(in_force(ns))
        with ns.lease("inner"):
            found.append(in_force(ns))
            ready.set()
            await ended.wait()
            found.append(in_force(ns))
        found.append(in_force(ns))

    async def run() -> list[str | None]:
        ready, ended = asyncio.Event(), asyncio.Event()
        found: list[str | None] = []
        with ns.lease("outer"):
            task = asyncio.create_task(work(ready, ended, found))
            await ready.wait()
            assert in_force(ns) == "outer", "the block of a task is not that of another"
        ended.set()
        await task
        return found

    assert asyncio.run(run()) == ["outer", "inner", "inner", None]


def test_an_error_at_the_end_of_a_block_ends_it_all_the_same(
    ns: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no")

    with ns.lease("outer"):
        block = ns.lease("inner")
        block.__enter__()
        with monkeypatch.context() as patched:
            patched.setattr(type(ns.leases), "delete", fail)
            with pytest.raises(OSError, match="no"):
                block.__exit__(None, None, None)
        assert in_force(ns) == "outer"


@pytest.mark.parametrize("seed", range(60))
def test_any_order_of_begins_and_ends(db: Database, seed: int) -> None:
    """Open lease blocks in several namespaces, compared with a model of leases in force."""
    draw = random.Random(seed)
    namespaces = [db.namespace(name) for name in ("one", "two")]
    for namespace in namespaces:
        namespace.leases.create("standing")
    blocks: list[tuple[Namespace, str, Callable[[], object]]] = []
    with ExitStack() as stack:
        for step in range(25):
            if blocks and draw.random() < 0.45:
                _, _, end = blocks.pop(draw.randrange(len(blocks)))
                end()
            else:
                namespace = draw.choice(namespaces)
                is_new = draw.random() < 0.7
                lease_id = f"l{step}" if is_new else "standing"
                block: AbstractContextManager[object] = (
                    namespace.lease(lease_id) if is_new else namespace.using_lease(lease_id)
                )
                if draw.random() < 0.5:
                    inner = ExitStack()
                    inner.enter_context(block)
                    end = inner.close
                else:
                    running = running_block(block)
                    next(running)
                    end = running.close  # type: ignore[attr-defined]
                blocks.append((namespace, lease_id, end))
                stack.callback(end)
            for namespace in namespaces:
                mine = [lease_id for one, lease_id, _ in blocks if one is namespace]
                assert in_force(namespace) == (mine[-1] if mine else None)
        namespace = draw.choice(namespaces)
        mine = [lease_id for one, lease_id, _ in blocks if one is namespace]
        digest = put(namespace)
        db.gc.run()
        if mine:
            held = [one.id for one in namespace.leases.resources(mine[-1])]
            assert digest in held
            assert namespace.content.info(digest).size == len(DATA)
        else:
            with pytest.raises(NotFoundError):
                namespace.content.info(digest)
    assert all(in_force(namespace) is None for namespace in namespaces)
    assert {one.id for namespace in namespaces for one in namespace.leases.list()} == {"standing"}


def running_block(block: AbstractContextManager[object]) -> Iterator[None]:
    with block:
        yield


def test_threads_have_blocks_of_their_own(ns: Namespace) -> None:
    wrong: list[str | None] = []

    def work(number: int) -> None:
        for turn in range(10):
            with ns.lease(f"{number}-{turn}") as lease, suppress(NotFoundError):
                if in_force(ns) != lease.id:
                    wrong.append(in_force(ns))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    with ns.lease("outer"):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert in_force(ns) == "outer"
    assert wrong == []
