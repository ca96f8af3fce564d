"""Many things that come due, one task that waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Protocol

from bedplate.clock import Clock
from bedplate.state.pausing import pause

__all__ = ["Timed", "Timers"]

#: Moments a second: what falls into one of them is due together.
_MOMENTS = 100
#: What a time may be off by when it is taken as so many moments.
_ROUNDING = 1e-6


class Timed(Protocol):
    """Something that comes due."""

    #: The moment in which it stands; 0 for none.
    moment: int

    def due(self, now: float) -> None:
        """Do what is due; it no longer stands in any moment."""
        ...


class Timers:
    """Things by the hundredth of a second in which they come due, so that entering and leaving cost next to nothing.

    A task or a timer of the loop for each of them would cost more than all else about a lock.
    """

    def __init__(self) -> None:
        self._moments: dict[int, dict[Timed, None]] = {}
        self._order: list[int] = []
        self._sooner: asyncio.Event | None = None
        self._until = 0

    def add(self, timed: Timed, due: float) -> None:
        """Let it come due at a monotonic time, or up to a moment later."""
        if timed.moment:
            self.remove(timed)
        moment = timed.moment = int(due * _MOMENTS) + 1
        standing = self._moments.get(moment)
        if standing is None:
            self._moments[moment] = {timed: None}
            heappush(self._order, moment)
            if moment < self._until and self._sooner is not None:
                self._sooner.set()
        else:
            standing[timed] = None

    def remove(self, timed: Timed) -> None:
        """Let it never come due."""
        standing = self._moments.get(timed.moment)
        if standing is not None:
            standing.pop(timed, None)
        timed.moment = 0

    async def run(self, clock: Clock, failed: Callable[[BaseException], None]) -> None:
        """Serve them, until cancelled.

        :param failed: is told of an exception of one of them; the others go on.
        """
        self._sooner = asyncio.Event()
        try:
            while True:
                self._serve(clock, failed)
                await self._rest(clock, self._sooner)
        finally:
            self._sooner = None

    def _serve(self, clock: Clock, failed: Callable[[BaseException], None]) -> None:
        now = clock.monotonic()
        while self._order and self._order[0] <= now * _MOMENTS + _ROUNDING:
            for timed in self._moments.pop(heappop(self._order)):
                timed.moment = 0
                try:
                    timed.due(now)
                except Exception as error:
                    failed(error)

    async def _rest(self, clock: Clock, sooner: asyncio.Event) -> None:
        """Return when the next comes due, or one that comes sooner has been added."""
        sooner.clear()
        while self._order and not self._moments[self._order[0]]:
            del self._moments[heappop(self._order)]  # all have left
        self._until = self._order[0] if self._order else 1 << 62
        left = self._until / _MOMENTS - clock.monotonic() if self._order else None
        try:
            await pause(clock, left, sooner)
        finally:
            self._until = 0
