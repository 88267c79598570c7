"""Who is making or naming what in a backend, so that the cleanup leaves it alone.

Whoever makes data in a backend, or names data that is there, claims its name from before the
data exists until the metadata durably names it. The cleanup takes names of garbage for the
short moment in which it looks at the metadata once more and moves the data out of sight. It
passes over what is claimed and waits for nobody; a claim waits for that moment at most.

containerd has a lock for the whole backend instead: a cleanup waits for every prepare, and
every prepare for it.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orlop.model.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractContextManager
    from types import TracebackType


class Claims:
    """The claims on names in one backend. Every thread may use it."""

    def __init__(self, backend: str, timeout: float | None = None) -> None:
        """Begin without claims.

        Args:
            backend: what the backend is called in messages.
            timeout: how many seconds a claim waits for a cleanup at most; `None`: without end.
        """
        self._backend = backend
        self._timeout = timeout
        self._condition = threading.Condition(threading.Lock())
        self._claimed: dict[str, int] = {}
        self._taken: set[str] = set()
        self._watching: list[set[str]] = []

    def __len__(self) -> int:
        """Return how many names are claimed now."""
        with self._condition:
            return len(self._claimed)

    def is_taken(self, name: str) -> bool:
        """Tell whether the cleanup is removing what has that name."""
        with self._condition:
            return name in self._taken

    def claim(self, *names: str) -> AbstractContextManager[None]:
        """Keep the cleanup from what has these names while the block runs; others may too.

        Raises:
            UnavailableError: the cleanup was removing something of that name for too long.
        """
        return _Claim(self, names)

    def begin_claim(self, names: tuple[str, ...]) -> None:
        """Claim names until `end_claim`; otherwise as `claim`."""
        with self._condition:
            if self._taken:
                self._wait(names)
            claimed = self._claimed
            for name in names:
                claimed[name] = claimed.get(name, 0) + 1
            for watched in self._watching:
                watched.update(names)

    def end_claim(self, names: tuple[str, ...]) -> None:
        """End a claim on names."""
        with self._condition:
            claimed = self._claimed
            for name in names:
                left = claimed[name] - 1
                if left:
                    claimed[name] = left
                else:
                    del claimed[name]

    @contextmanager
    def take(self, names: Iterable[str]) -> Iterator[frozenset[str]]:
        """Have names alone while the block runs: all but those that are claimed or taken."""
        with self._condition:
            mine = frozenset(names).difference(self._claimed, self._taken)
            self._taken |= mine
        try:
            yield mine
        finally:
            with self._condition:
                self._taken -= mine
                self._condition.notify_all()

    @contextmanager
    def watch(self) -> Iterator[AbstractSet[str]]:
        """Yield the names that are claimed at any time while the block runs.

        What is not among them was not named meanwhile. To ask that of a name, take it first:
        then the answer stays what it is.
        """
        with self._condition:
            watched = set(self._claimed)
            self._watching.append(watched)
        try:
            yield watched
        finally:
            with self._condition:
                # By identity: two sets may be equal.
                self._watching = [one for one in self._watching if one is not watched]

    def _wait(self, names: Iterable[str]) -> None:
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        while not self._taken.isdisjoint(names):
            remaining = None if deadline is None else deadline - time.monotonic()
            if remaining is not None and remaining <= 0:
                raise UnavailableError(
                    f"{self._backend} did not end a cleanup within {self._timeout} seconds: "
                    "try again later"
                )
            self._condition.wait(remaining)


class _Claim:
    """Names that are claimed while a block runs."""

    __slots__ = ("_claims", "_names")

    def __init__(self, claims: Claims, names: tuple[str, ...]) -> None:
        self._claims = claims
        self._names = names

    def __enter__(self) -> None:
        self._claims.begin_claim(self._names)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._claims.end_claim(self._names)
