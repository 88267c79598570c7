"""Claims on names: exclusive ones, and shared ones that a cleanup respects.

A claim ends with its block, or with its object, even if an exception kept `__exit__` from running.
"""

from __future__ import annotations

import threading
import time
import weakref
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from orlop.concurrency.ownership import Hold, Mutex, discard_entry, living, wake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractContextManager

_POLL_SECONDS: Final = 0.02
"""How long a claim waits between two checks whether the cleanup has ended."""

OwnerT = TypeVar("OwnerT", bound=Hold)


class ExclusiveClaims(Generic[OwnerT]):
    """Names with one owner each, for as long as it lives and its block runs. Thread-safe."""

    def __init__(self) -> None:
        self._mutex = Mutex()
        self._owners: dict[str, weakref.ref[OwnerT]] = {}

    def acquire(self, name: str, owner: OwnerT) -> OwnerT | None:
        """Claim a name for `owner`; return the one that has it already, `None` on success."""
        with self._mutex:
            present = self._owner(name)
            if present is None:
                self._owners[name] = weakref.ref(owner)
            return present

    def release(self, name: str, owner: OwnerT) -> None:
        """End the claim of `owner` on a name; it may have none."""
        with self._mutex:
            if self._owner(name) is owner:
                del self._owners[name]

    def is_claimed(self, name: str) -> bool:
        """Return whether a name has an owner."""
        with self._mutex:
            return self._owner(name) is not None

    def claim(self: ExclusiveClaims[ExclusiveClaim], name: str) -> AbstractContextManager[bool]:
        """Claim a name while the block runs; yield whether it was free."""
        return ExclusiveClaim(self, name)

    def unclaimed(self, names: Callable[[], AbstractSet[str]]) -> tuple[set[str], set[str]]:
        """Return the result of `names`, and which of it were unclaimed all the time it ran."""
        with self._mutex:
            found = set(names())
            return found, {name for name in found if self._owner(name) is None}

    def _owner(self, name: str) -> OwnerT | None:
        entry = self._owners.get(name)
        owner = None if entry is None else entry()
        if entry is not None and (owner is None or owner.is_left):
            del self._owners[name]
            return None
        return owner


class ExclusiveClaim(Hold):
    """A name that has one owner while a block runs."""

    __slots__ = ("_claims", "name")

    def __init__(self, claims: ExclusiveClaims[ExclusiveClaim], name: str) -> None:
        super().__init__()
        self._claims = claims
        self.name = name

    def __enter__(self) -> bool:
        return self._claims.acquire(self.name, self) is None

    def leave(self, error: BaseException | None) -> None:
        """End the claim."""
        del error
        self._claims.release(self.name, self)


class Claims:
    """Shared claims on the names of data in one backend. Thread-safe.

    A writer claims the name of its data before the data exists, until the metadata durably names
    it. A cleanup takes the names of garbage for the moment in which it looks at the metadata once
    more and moves the data out of sight; it skips claimed names and waits for no claim. A claim
    waits for a taken name.

    containerd has one lock for the whole backend instead: a cleanup waits for every prepare, and
    every prepare for it.
    """

    def __init__(
        self,
        backend: str,
        timeout: float | None = None,
        *,
        timeout_error: Callable[[str], Exception] = TimeoutError,
    ) -> None:
        """Begin without claims.

        Args:
            backend: the name of the backend in messages.
            timeout: how many seconds a claim waits for a cleanup at most; `None`: no limit.
            timeout_error: makes the exception of a claim that waited longer.
        """
        self._backend = backend
        self._timeout = timeout
        self._timeout_error = timeout_error
        self._mutex = Mutex()
        self._claims: list[weakref.ref[_Claim]] = []
        self._takings: list[weakref.ref[_Taking]] = []
        self._watches: list[weakref.ref[_Watch]] = []
        self._wakers: list[threading.Lock] = []

    def __len__(self) -> int:
        """Return how many names are claimed now."""
        with self._mutex:
            return len(self._claimed())

    def is_taken(self, name: str) -> bool:
        """Return whether a cleanup has taken a name."""
        with self._mutex:
            return name in self._taken()

    def claim(self, *names: str) -> AbstractContextManager[None]:
        """Claim names while the block runs; other claims on them are allowed.

        Raises:
            Exception: a cleanup did not give a name back in time; see `timeout_error`.
        """
        return _Claim(self, names)

    def take(self, names: Iterable[str]) -> AbstractContextManager[frozenset[str]]:
        """Take names while the block runs; yield them without those that are claimed or taken."""
        return _Taking(self, names)

    def watch(self) -> AbstractContextManager[AbstractSet[str]]:
        """Yield a set of the names that are claimed at any time while the block runs.

        The set grows. To rely on the absence of a name, take that name first.
        """
        return _Watch(self)

    def begin_claim(self, claim: _Claim) -> None:
        """Add a claim; see `claim`."""
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        waker: threading.Lock | None = None
        while True:
            with self._mutex:
                if not self._takings or self._taken().isdisjoint(claim.names):
                    self._claims.append(claim.entry)
                    for watch in living(self._watches):
                        watch.names.update(claim.names)
                    return
                waker = waker or threading.Lock()
                waker.acquire(blocking=False)
                self._wakers.append(waker)
            left = _POLL_SECONDS if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise self._timeout_error(
                    f"{self._backend} did not end a cleanup within {self._timeout} seconds: "
                    "try again later"
                )
            waker.acquire(timeout=min(left, _POLL_SECONDS))

    def end_claim(self, claim: _Claim) -> None:
        """Remove a claim; it may be missing."""
        with self._mutex:
            discard_entry(self._claims, claim.entry)

    def begin_taking(self, taking: _Taking) -> None:
        """Take names; see `take`."""
        with self._mutex:
            taking.names = taking.names.difference(self._claimed(), self._taken())
            self._takings.append(taking.entry)

    def end_taking(self, taking: _Taking) -> None:
        """Give names back; they may be free already."""
        with self._mutex:
            discard_entry(self._takings, taking.entry)
            wakers, self._wakers = self._wakers, []
        for waker in wakers:
            wake(waker)

    def begin_watch(self, watch: _Watch) -> None:
        """Add a watch; see `watch`."""
        with self._mutex:
            watch.names |= self._claimed()
            self._watches.append(watch.entry)

    def end_watch(self, watch: _Watch) -> None:
        """Remove a watch; it may be missing."""
        with self._mutex:
            discard_entry(self._watches, watch.entry)

    def _claimed(self) -> set[str]:
        return {name for claim in living(self._claims) for name in claim.names}

    def _taken(self) -> set[str]:
        return {name for taking in living(self._takings) for name in taking.names}


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
    """Names that a cleanup has taken while a block runs."""

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
        """Give the names back."""
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
        """End the watch."""
        del error
        self._claims.end_watch(self)
