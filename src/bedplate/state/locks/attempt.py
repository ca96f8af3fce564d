"""Waiting for a lock: a turn in the queue of the store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from bedplate.state.locks.errors import LockTakenError, LockUnavailableError, unavailable
from bedplate.state.locks.operations import ACQUIRE
from bedplate.state.store import StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from bedplate.state.locks.component import Locks
    from bedplate.state.locks.leader import Leader
    from bedplate.state.locks.lock import Held

__all__ = ["ALIVE", "RECHECK", "Attempt"]

#: Seconds after which who waits asks again by itself, should nobody have told him; most often it is told.
RECHECK = 1.0
#: Seconds after its last question in which a waiter counts as alive.
ALIVE = 3.0


class Attempt:
    """Waits for the turn of a token."""

    __slots__ = ("_again", "_future", "_granted", "_leader", "_left", "_locks", "moment", "wanted")

    def __init__(self, locks: Locks, wanted: Held, leader: Leader | None) -> None:
        self._locks = locks
        self.wanted = wanted
        self.moment = 0
        self._leader = leader
        self._left = 0.0
        self._again = False
        self._granted: tuple[int, float] | None = None
        self._future: asyncio.Future[None] | None = None

    async def wait(self, seconds: float, left: int) -> tuple[int, float]:
        """Wait for the turn that was taken; return the fence, and the time from which the lock counts.

        :param seconds: from when it was first asked for. :param left: ms until the lock ends by itself.
        :raises LockTakenError: when it did not come in time. :raises LockUnavailableError: when it did not, and the
            store was away at the end.
        """
        locks, token = self._locks, self.wanted.token
        end = self.wanted.began + seconds
        self._left = left / 1000
        away: StoreError | None = None
        locks.waiting[token] = self
        try:
            while True:
                if self._leader is not None:
                    self._leader.seen(away is None)
                now = locks.now()
                self._future = asyncio.get_running_loop().create_future()
                if not (self._granted or self._again):
                    locks.timers.add(self, min(now + min(RECHECK, self._left), end))
                    await self._future
                if self._granted:
                    return self._granted
                self._again = False
                if not locks.running:
                    raise LockUnavailableError(self.wanted.name, "the service stops.")
                now = locks.now()
                if now >= end:
                    raise self._too_late(seconds, away)
                try:
                    reply = await self._ask()
                except StoreError as error:
                    # Its turn may be over with the store's memory; it is taken again when the store is back.
                    away, self._left = error, RECHECK
                    continue
                away = None
                if reply[0]:
                    return int(reply[1]), now
                self._left = reply[1] / 1000
        finally:
            self._future = None
            locks.timers.remove(self)
            locks.waiting.pop(token, None)

    async def _ask(self) -> Any:
        """Ask again; the same token keeps its turn."""
        wanted = self.wanted
        wanted.under_way += 1
        try:
            return await self._locks.store.run(ACQUIRE, wanted.place.keys, (wanted.token,), parsed=wanted.answered)
        except StoreError as error:
            if not (isinstance(error, StoreUnavailableError) and error.sent):
                wanted.under_way -= 1
            raise

    def _too_late(self, seconds: float, away: StoreError | None) -> Exception:
        if away is not None:
            return unavailable(self.wanted.name, away)
        return LockTakenError(self.wanted.name, seconds)

    def grant(self, fence: int, began: float) -> None:
        """Have it: it was handed over within this process by a call that was made at ``began``."""
        self._granted = fence, began
        self.wake()

    def wake(self) -> None:
        """Ask again now."""
        self._again = True
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def due(self, now: float) -> None:
        """See :class:`~bedplate.state.locks.timers.Timed`."""
        self.wake()
