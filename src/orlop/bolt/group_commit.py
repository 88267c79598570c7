"""Group commit: many transactions, one flush.

A writer hands its turn on before anything reaches the disk; the next one builds on its nodes
in memory. Whoever first gets to flush makes all that has gathered durable at once, as ONE
transaction: the durable one plus one, so that its meta never takes the place of the newest
durable meta.

An acknowledged transaction is durable: everyone waits for the flush of their group. So does
who rolls back after having seen what was not durable yet, for the answer tells of it. A
failed flush fails its group and everything built on it.

Source: the idea is that of group commit in databases (DeWitt et al., 1984); bbolt's `Batch`
joins functions instead, before they run.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from orlop.concurrency.ownership import Mutex
from orlop.kv.errors import EnginePoisonedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.bolt.dirty import DirtyNodes
    from orlop.bolt.node import BucketState


class Member(NamedTuple):
    """One transaction of a group: its dirty nodes, its state and its number.

    Attributes:
        dirty: the nodes that it made and replaced.
        state: the root bucket after it.
        serial: its number, counted over all groups.
    """

    dirty: DirtyNodes
    state: BucketState
    serial: int


class Group:
    """Transactions that become durable together.

    Attributes:
        members: what each of them did, in order.
        number: the version that made them durable; 0 before.
        is_closed: whether it gathers no more.
        is_durable: whether the disk has them.
        waiting: is held by the one of them who flushes, or waits for the flush before; all
            others wait for it.
    """

    __slots__ = ("is_closed", "is_durable", "members", "number", "waiting")

    def __init__(self, first: Member) -> None:
        """Begin with one member."""
        self.members = [first]
        self.is_closed = False
        self.number = 0
        self.is_durable = False
        self.waiting = Mutex()


class Groups:
    """The group that gathers, and the one flush at a time.

    Attributes:
        failure: why nothing is accepted any more; None while all is well.
    """

    def __init__(
        self, head: BucketState, flush: Callable[[BucketState, list[DirtyNodes]], int]
    ) -> None:
        """Begin at the durable state `head`.

        `flush` makes the last state of a group durable, which its dirty nodes lead to, and returns
        the number of the version; it is called by one thread at a time.
        """
        self.failure: str | None = None
        self._cause: BaseException | None = None
        self._durable = Durable(head, 0)
        self._flush = flush
        self._flushing = Mutex()
        self._flushed: Group | None = None
        self._gathering_lock = Mutex()
        self._last: Group | None = None

    @property
    def head(self) -> BucketState:
        """The root bucket after the last transaction that ended, durable or not."""
        return self._newest().state

    @property
    def serial(self) -> int:
        """How many transactions have ended with a change, durable or not."""
        return self._newest().serial

    @property
    def durable_serial(self) -> int:
        """Up to which of them all are durable."""
        return self._durable.serial

    @property
    def undurable(self) -> Group | None:
        """The group of the last transaction, unless it is durable."""
        last = self._last
        return None if last is None or last.is_durable else last

    def add(self, dirty: DirtyNodes, state: BucketState) -> Group:
        """Add a transaction's changes to the open group.

        Only the holder of the writer's turn may call this, before handing it on. The changes are
        part of it entirely or not at all, whatever interrupts this.
        """
        member = Member(dirty, state, self.serial + 1)
        with self._gathering_lock:
            group = self._last
            # A closed group is being flushed: its last state is on the way to the disk, and a
            # member that came now would be acknowledged without having been written.
            if group is None or group.is_closed:
                group = self._last = Group(member)
            else:
                group.members.append(member)
        return group

    def wait(self, group: Group) -> None:
        """Wait until the group is durable; the first caller flushes for all.

        Raises:
            EnginePoisonedError: its flush failed, or one that it was built on.
        """
        try:
            # One of a group waits for the flush before, and the others for that one: if all
            # waited in one line, they would stand in it behind the flush after their own.
            with group.waiting:
                if not group.is_durable:
                    with self._flushing:
                        self.require_sound()
                        self._flush_gathered(group)
        except EnginePoisonedError:
            raise
        except BaseException as error:
            # Whether the disk has it is not known: nothing may be built on either answer.
            self.fail(error)
            if isinstance(error, Exception):
                raise EnginePoisonedError(self.failure or "") from error
            raise

    def drain(self) -> None:
        """Wait until all that was added is durable, or has failed; its writers are told of that.

        Nothing may be added meanwhile.
        """
        group = self.undurable
        if group is not None:
            with contextlib.suppress(EnginePoisonedError):
                self.wait(group)

    def require_sound(self) -> None:
        """Raise EnginePoisonedError after a failure."""
        if self.failure is not None:
            raise EnginePoisonedError(self.failure) from self._cause

    def _newest(self) -> Member | Durable:
        """Return the last transaction that ended, or the durable state."""
        last = self._last
        # In this order: what is durable is noted before it is forgotten here.
        members = [] if last is None else last.members[-1:]
        return members[0] if members else self._durable

    def _flush_gathered(self, group: Group) -> None:
        if self._flushed is not None:
            # An interrupt has ended the flush before this one, and not even that could be noted.
            self.fail(InterruptedError("it was interrupted"))
            self.require_sound()
        self._flushed = group
        # While nobody flushes and nothing has failed, what is not durable is what gathers.
        with self._gathering_lock:
            group.is_closed = True
        # The last state is built on all states before it, so that one version makes all durable.
        # Their dirty nodes are needed, too: each knows the pages that it no longer uses.
        last = group.members[-1]
        group.number = self._flush(last.state, [member.dirty for member in group.members])
        # Noted before the members are dropped: `_newest` finds the state in either place.
        self._durable = Durable(last.state, last.serial)
        group.is_durable = True
        # Its nodes have their pages: what it replaced needs no memory any more.
        group.members.clear()
        self._flushed = None

    def fail(self, error: BaseException) -> None:
        """Poison the engine: after `error` the state of the file is not known."""
        if self.failure is None:
            self._cause = error
            self.failure = (
                f"a commit failed ({str(error) or type(error).__name__}): nothing of it was "
                "acknowledged; open the database again to go on"
            )


class Durable(NamedTuple):
    """The durable state.

    Attributes:
        state: the root bucket.
        serial: up to which transaction.
    """

    state: BucketState
    serial: int
