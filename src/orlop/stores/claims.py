"""Who is making or naming what in a backend, so that the cleanup leaves it alone.

Whoever makes data in a backend, or names data that is there, claims its name from before the
data exists until the metadata durably names it. The cleanup takes names of garbage for the
short moment in which it looks at the metadata once more and moves the data out of sight. It
passes over what is claimed and waits for nobody; a claim waits for that moment at most.

A claim ends with its block, or with its object, even where an exception kept the block's way
out from running.

containerd has a lock for the whole backend instead: a cleanup waits for every prepare, and
every prepare for it.
"""

from __future__ import annotations

import threading
import time
import weakref
from typing import TYPE_CHECKING, Final, TypeVar

from orlop.errors import UnavailableError
from orlop.ownership import Hold, Mutex

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractContextManager

    from orlop.storage.contract import PendingCommit

_POLL_SECONDS: Final = 0.02
"""How long a claim waits before looking whether the cleanup is still there."""


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
        self._mutex = Mutex()
        self._claims: list[weakref.ref[_Claim]] = []
        self._takings: list[weakref.ref[_Taking]] = []
        self._watches: list[weakref.ref[_Watch]] = []
        self._wakers: list[threading.Lock] = []
        self.unsettled: set[PendingCommit] = set()
        """Commits of snapshots whose updates have not ended, or were interrupted at their end."""

    def __len__(self) -> int:
        """Return how many names are claimed now."""
        with self._mutex:
            return len(self._claimed())

    def is_taken(self, name: str) -> bool:
        """Tell whether the cleanup is removing what has that name."""
        with self._mutex:
            return name in self._taken()

    def claim(self, *names: str) -> AbstractContextManager[None]:
        """Keep the cleanup from what has these names while the block runs; others may too.

        Raises:
            UnavailableError: the cleanup was removing something of that name for too long.
        """
        return _Claim(self, names)

    def take(self, names: Iterable[str]) -> AbstractContextManager[frozenset[str]]:
        """Have names alone while the block runs: all but those that are claimed or taken."""
        return _Taking(self, names)

    def watch(self) -> AbstractContextManager[AbstractSet[str]]:
        """Yield the names that are claimed at any time while the block runs.

        What is not among them was not named meanwhile. To ask that of a name, take it first:
        then the answer stays what it is.
        """
        return _Watch(self)

    def begin_claim(self, claim: _Claim) -> None:
        """Let names be claimed; see `claim`."""
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        waker: threading.Lock | None = None
        while True:
            with self._mutex:
                if not self._takings or self._taken().isdisjoint(claim.names):
                    self._claims.append(claim.entry)
                    for watch in _living(self._watches):
                        watch.names.update(claim.names)
                    return
                waker = waker or threading.Lock()
                waker.acquire(blocking=False)
                self._wakers.append(waker)
            left = _POLL_SECONDS if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise UnavailableError(
                    f"{self._backend} did not end a cleanup within {self._timeout} seconds: "
                    "try again later"
                )
            waker.acquire(timeout=min(left, _POLL_SECONDS))

    def end_claim(self, claim: _Claim) -> None:
        """End a claim; it need not be one any more."""
        with self._mutex:
            _remove(self._claims, claim.entry)

    def begin_taking(self, taking: _Taking) -> None:
        """Let names be taken; see `take`."""
        with self._mutex:
            taking.names = taking.names.difference(self._claimed(), self._taken())
            self._takings.append(taking.entry)

    def end_taking(self, taking: _Taking) -> None:
        """Let names be claimed again; they need not be taken."""
        with self._mutex:
            _remove(self._takings, taking.entry)
            wakers, self._wakers = self._wakers, []
        for waker in wakers:
            if waker.locked():
                try:
                    waker.release()
                except RuntimeError:
                    continue  # it woke by itself

    def begin_watch(self, watch: _Watch) -> None:
        """Add what is claimed from now on to what is watched."""
        with self._mutex:
            watch.names |= self._claimed()
            self._watches.append(watch.entry)

    def end_watch(self, watch: _Watch) -> None:
        """Watch no more."""
        with self._mutex:
            _remove(self._watches, watch.entry)

    def _claimed(self) -> set[str]:
        return {name for claim in _living(self._claims) for name in claim.names}

    def _taken(self) -> set[str]:
        return {name for taking in _living(self._takings) for name in taking.names}


class _Claim(Hold):
    """Names that are claimed while a block runs."""

    __slots__ = ("_claims", "entry", "names")

    def __init__(self, claims: Claims, names: tuple[str, ...]) -> None:
        super().__init__()
        self._claims = claims
        self.names = names
        self.entry = weakref.ref(self)

    def __enter__(self) -> None:
        self._claims.begin_claim(self)

    def leave(self, error: BaseException | None) -> None:
        """End the claim."""
        del error
        self._claims.end_claim(self)


class _Taking(Hold):
    """Names that the cleanup has alone while a block runs."""

    __slots__ = ("_claims", "entry", "names")

    def __init__(self, claims: Claims, names: Iterable[str]) -> None:
        super().__init__()
        self._claims = claims
        self.names = frozenset(names)
        self.entry = weakref.ref(self)

    def __enter__(self) -> frozenset[str]:
        self._claims.begin_taking(self)
        return self.names

    def leave(self, error: BaseException | None) -> None:
        """Let others claim the names."""
        del error
        self._claims.end_taking(self)


class _Watch(Hold):
    """The names that are claimed while a block runs."""

    __slots__ = ("_claims", "entry", "names")

    def __init__(self, claims: Claims) -> None:
        super().__init__()
        self._claims = claims
        self.names: set[str] = set()
        self.entry = weakref.ref(self)

    def __enter__(self) -> AbstractSet[str]:
        self._claims.begin_watch(self)
        return self.names

    def leave(self, error: BaseException | None) -> None:
        """Watch no more."""
        del error
        self._claims.end_watch(self)


_HoldT = TypeVar("_HoldT", bound=Hold)


def _living(entries: list[weakref.ref[_HoldT]]) -> list[_HoldT]:
    """Return what has not ended, and forget what has."""
    found = []
    for entry in tuple(entries):
        hold = entry()
        if hold is not None and not hold.is_left:
            found.append(hold)
        else:
            _remove(entries, entry)
    return found


def _remove(entries: list[weakref.ref[_HoldT]], entry: weakref.ref[_HoldT]) -> None:
    if entry in entries:
        entries.remove(entry)
