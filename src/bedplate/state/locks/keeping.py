"""Keeping what is held: renewal in the background, and telling in time when it fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bedplate.component import Host
from bedplate.state.locks.lock import SAFE, Held
from bedplate.state.locks.operations import RENEW
from bedplate.state.store import Call, StoreError

if TYPE_CHECKING:
    from bedplate.state.locks.component import Locks

__all__ = ["RENEW_AFTER", "Keeping"]

#: The parts of its time after which a lock is renewed, and after which a renewal that failed is tried again.
RENEW_AFTER, _RETRY = 1 / 3, 1 / 10
#: Seconds between two counts.
_COUNT = 5.0


class Keeping:
    """Renews the locks of a process; those that come due together in one go."""

    def __init__(self, locks: Locks, host: Host) -> None:
        self._locks = locks
        self._host = host
        self._due: list[Held] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve what comes due, until cancelled."""
        await self._locks.timers.run(self._host.clock, self._failed)

    def end(self) -> None:
        """End the renewals that are under way."""
        for task in self._tasks:
            task.cancel()

    def renewed(self, held: Held, began: float, ttl: float) -> None:
        """Note that the store has renewed a lock by a call that was made at ``began``, for ``ttl`` seconds."""
        if held.why or held.released:
            return
        held.renewing = False
        held.began = began
        held.deadline = began + SAFE * ttl
        self._locks.timers.add(held, began + ttl * RENEW_AFTER)

    def doubted(self, held: Held, began: float, ttl: float) -> None:
        """Note that nobody knows whether the store has cut the time of a lock by a call that was made at ``began``."""
        if held.why or held.released or ttl >= held.ttl:
            return
        held.deadline = min(held.deadline, began + SAFE * ttl)
        self._locks.timers.add(held, min(began + ttl * RENEW_AFTER, held.began + held.ttl * RENEW_AFTER))

    def due(self, held: Held, now: float) -> None:
        """Renew a lock, or tell its holder that it is lost."""
        if now >= held.deadline:
            self._locks.lose(held, "expired")
            return
        # Whatever becomes of the renewal, its holder is told in time.
        self._locks.timers.add(held, held.deadline)
        if held.renewing:
            return
        held.renewing = True
        if not self._due:
            task = asyncio.create_task(self._renew(), name="renew locks")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._due.append(held)

    async def _renew(self) -> None:
        batch, self._due = self._due, []
        began = self._locks.now()
        # Its holder may ask for another time meanwhile: what the store has is what it was told.
        times = [one.ttl for one in batch]
        calls = [
            Call(RENEW, one.place.renewed, (one.token, int(ttl * 1000))) for one, ttl in zip(batch, times, strict=True)
        ]
        try:
            replies = await self._locks.store.run_many(calls)
        except StoreError as error:
            replies = [error] * len(batch)
        for held, ttl, reply in zip(batch, times, replies, strict=True):
            if held.why or held.released:
                continue
            if isinstance(reply, StoreError):
                held.renewing = False
                again = self._locks.now() + held.ttl * _RETRY
                self._locks.timers.add(held, min(again, held.deadline))
            elif reply:
                self.renewed(held, began, ttl)
            else:
                self._locks.lose(held, "expired")

    async def count(self) -> None:
        """Count what is held, now and then."""
        locks = self._locks
        cells = locks.cells
        while True:
            now = locks.now()
            cells.held.set(float(len(locks.held)))
            cells.waiting.set(float(len(locks.waiting)))
            cells.owed.set(float(len(locks.debts)))
            cells.longest.set(max((now - one.since for one in locks.held.values() if one.leader is None), default=0.0))
            await self._host.clock.sleep(_COUNT)

    def _failed(self, error: BaseException) -> None:
        self._host.log.error("lock_timer_failed", error=f"{type(error).__name__}: {error}")
