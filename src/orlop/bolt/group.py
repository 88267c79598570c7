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
import threading
from typing import TYPE_CHECKING

from orlop.kv.errors import EnginePoisonedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from orlop.bolt.edit import Edit
    from orlop.bolt.node import BucketState


class Group:
    """Transactions that become durable together.

    Attributes:
        edits: what each of them did, in order.
        state: the root bucket after the last of them.
        number: the version that made them durable; 0 before.
        serial: the number of the last of them, counted over all groups.
        waiting: is held by the one of them who flushes, or waits for the flush before; all
            others wait for it.
    """

    __slots__ = ("edits", "is_durable", "number", "serial", "state", "waiting")

    def __init__(self, state: BucketState) -> None:
        """Begin a group whose last state is `state`."""
        self.edits: list[Edit] = []
        self.state = state
        self.number = 0
        self.serial = 0
        self.is_durable = False
        self.waiting = threading.Lock()


class Groups:
    """The group that gathers, and the one flush at a time.

    Attributes:
        head: the root bucket after the last transaction that ended, durable or not.
        serial: how many transactions have ended with a change, durable or not.
        durable_serial: up to which of them all are durable.
        failure: why nothing is accepted any more; None while all is well.
    """

    def __init__(self, head: BucketState, flush: Callable[[Group], int]) -> None:
        """Begin at the durable state `head`.

        `flush` makes a group durable and returns the number of the version; it is called by
        one thread at a time.
        """
        self.head = head
        self.serial = 0
        self.durable_serial = 0
        self.failure: str | None = None
        self._cause: BaseException | None = None
        self._flush = flush
        self._flushing = threading.Lock()
        self._gathering_lock = threading.Lock()
        self._gathering: Group | None = None
        self._last: Group | None = None

    @property
    def undurable(self) -> Group | None:
        """The group that made `head` what it is, unless it is durable."""
        last = self._last
        return None if last is None or last.is_durable else last

    def add(self, edit: Edit, state: BucketState) -> Group:
        """Let a transaction's changes be part of the group that gathers.

        Only the holder of the writer's turn may call this, before handing it on.
        """
        with self._gathering_lock:
            group = self._gathering
            if group is None:
                group = self._gathering = Group(state)
            # First: an interrupt leaves a number without a change, never a change without one.
            self.serial = group.serial = self.serial + 1
            group.edits.append(edit)
            group.state = self.head = state
            self._last = group
        return group

    def wait(self, group: Group) -> None:
        """Return when the group is durable; whoever comes first does the work for all.

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
                raise EnginePoisonedError(self.failure) from error
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

    def _flush_gathered(self, group: Group) -> None:
        # While nobody flushes and nothing has failed, what is not durable is what gathers.
        with self._gathering_lock:
            self._gathering = None
        group.number = self._flush(group)
        self.durable_serial = group.serial
        group.is_durable = True
        # Its nodes have their pages: what it replaced needs no memory any more.
        group.edits.clear()

    def fail(self, error: BaseException) -> None:
        """Accept nothing any more, since `error` leaves in doubt what is there."""
        if self.failure is None:
            self._cause = error
            self.failure = (
                f"a commit failed ({str(error) or type(error).__name__}): nothing of it was "
                "acknowledged; open the database again to go on"
            )
