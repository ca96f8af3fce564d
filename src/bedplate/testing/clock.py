"""A clock that a test drives."""

from __future__ import annotations

import asyncio
import heapq
import itertools

__all__ = ["ManualClock"]


class ManualClock:
    """A clock that stands still until a test moves it; implements :class:`bedplate.clock.Clock`.

    :param start: the Unix time at which it stands at first.
    """

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._time = start
        self._monotonic = 1000.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def time(self) -> float:
        """Return the Unix time."""
        return self._time

    def monotonic(self) -> float:
        """Return the monotonic time."""
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved by ``seconds``."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move the clock; everybody whose time comes wakes in order and runs until it sleeps again.

        :raises ValueError: when ``seconds`` is negative; for a wall clock that is set back there is :meth:`jump`.
        """
        if seconds < 0:
            raise ValueError("A monotonic clock cannot go back; use jump() to set the wall clock.")
        await settle()
        end = self._monotonic + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self._move(due)
            if not future.done():
                future.set_result(None)
                await settle()
        self._move(end)
        await settle()

    def _move(self, to: float) -> None:
        # Another task may have moved it further meanwhile.
        if to > self._monotonic:
            self._time += to - self._monotonic
            self._monotonic = to

    def jump(self, seconds: float) -> None:
        """Set the wall clock forwards or backwards, as an administrator or NTP does; the monotonic time stays."""
        self._time += seconds


async def settle(turns: int = 20) -> None:
    """Give tasks that are ready the event loop for a few turns; for fewer, when none is ready any more."""
    ready = getattr(asyncio.get_running_loop(), "_ready", None)  # asyncio's own loops have it; others take all turns
    for _ in range(turns):
        await asyncio.sleep(0)
        if ready is not None and not ready:
            return
