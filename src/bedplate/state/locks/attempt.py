"""One try to take a lock, from the first question until it is held or given up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bedplate.state.locks.errors import LockTakenError, LockUnavailableError, unavailable
from bedplate.state.locks.operations import ACQUIRE
from bedplate.state.store import StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from bedplate.state.locks.component import Locks
    from bedplate.state.locks.lock import Place

__all__ = ["ALIVE", "RECHECK", "Attempt"]

#: Seconds after which who waits asks again by itself, should nobody have told him; most often it is told.
RECHECK = 1.0
#: Seconds after its last question in which a waiter counts as alive.
ALIVE = 3.0


class Attempt:
    """A token that wants a lock.

    :param seen: is told whether anybody is known to hold it, whenever that is learnt.
    """

    __slots__ = (
        "_again",
        "_future",
        "_granted",
        "_left",
        "_locks",
        "began",
        "given_up",
        "moment",
        "place",
        "seen",
        "token",
        "ttl",
        "under_way",
    )

    def __init__(
        self, locks: Locks, place: Place, token: str, ttl: float, seen: Callable[[bool], None] | None = None
    ) -> None:
        self._locks = locks
        self.place = place
        self.token = token
        self.ttl = ttl
        self.seen = seen
        #: When the question was asked whose answer counts.
        self.began = 0.0
        #: Questions that have not been answered and may still reach the store.
        self.under_way = 0
        self.given_up = False
        self.moment = 0
        self._left = 0.0
        self._again = False
        self._granted = 0
        self._future: asyncio.Future[None] | None = None

    def parsed(self, reply: Any) -> None:
        """Take an answer as it comes, whether or not somebody still waits for it."""
        self.under_way -= 1
        if self.given_up:
            self._locks.give_up(self)

    def failed(self, error: BaseException) -> None:
        """Note that a question has failed; unless it was sent and not answered, nothing of it is under way."""
        if isinstance(error, StoreError) and not (isinstance(error, StoreUnavailableError) and error.sent):
            self.under_way = max(0, self.under_way - 1)

    async def ask(self) -> int:
        """Ask again; return the fence, 0 when somebody else has it.

        :raises StoreUnavailableError: when the store is away.
        """
        locks = self._locks
        began = locks.now()
        self.under_way += 1
        try:
            reply = await locks.store.run(ACQUIRE, self.place.keys, (self.token,), parsed=self.parsed)
        except StoreError as error:
            self.failed(error)
            raise
        if reply[0]:
            self.began = began
            return int(reply[1])
        self._left = reply[1] / 1000
        return 0

    async def wait(self, seconds: float, asked: float, left: int) -> int:
        """Wait for the turn that was taken; return the fence.

        :param asked: when it was first asked for. :param left: ms until the lock ends by itself, as far as known.
        :raises LockTakenError: when it did not come in time. :raises LockUnavailableError: when it did not, and the
            store was away at the end.
        """
        locks, timers = self._locks, self._locks.timers
        end = asked + seconds
        self._left = left / 1000
        away: StoreError | None = None
        locks.waiting[self.token] = self
        try:
            while True:
                if self.seen is not None:
                    self.seen(away is None)
                now = locks.now()
                self._future = asyncio.get_running_loop().create_future()
                if not (self._granted or self._again):
                    timers.add(self, min(now + min(RECHECK, self._left), end))
                    await self._future
                if self._granted:
                    return self._granted
                self._again = False
                if not locks.running:
                    raise LockUnavailableError(self.place.name, "the service stops.")
                if locks.now() >= end:
                    raise self._too_late(seconds, away)
                try:
                    fence = await self.ask()
                except StoreError as error:
                    # Its turn may be over with the store's memory; it is taken again when the store is back.
                    away, self._left = error, RECHECK
                    continue
                away = None
                if fence:
                    return fence
        finally:
            self._future = None
            timers.remove(self)
            locks.waiting.pop(self.token, None)

    def _too_late(self, seconds: float, away: StoreError | None) -> Exception:
        if away is not None:
            return unavailable(self.place.name, away)
        return LockTakenError(self.place.name, seconds)

    def grant(self, fence: int, began: float) -> None:
        """Have it: it was handed over within this process by a call that was made at ``began``."""
        self._granted, self.began = fence, began
        self.wake()

    def wake(self) -> None:
        """Ask again now."""
        self._again = True
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def due(self, now: float) -> None:
        """See :class:`~bedplate.state.locks.timers.Timed`."""
        self.wake()
