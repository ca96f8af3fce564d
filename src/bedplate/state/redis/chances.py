"""Operations whose answer was lost: those that have a second chance wait for the next connection, others are told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from bedplate.state.redis.meters import OperationMeter
from bedplate.state.redis.replies import away
from bedplate.state.redis.slots import DEADLINE, FUTURE, METER, Slot

__all__ = ["Chances", "Entry"]

#: An operation, and whether it had left.
Entry = tuple[Slot, bool]

#: How many are told in one turn of the loop that they failed.
_PORTION = 50


class Chances:
    """The operations that wait for a connection, none beyond its caller's own deadline."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: list[Entry] = []
        self._guard: asyncio.TimerHandle | None = None

    def wait(self, entries: Sequence[Entry]) -> None:
        """Let operations wait for the next connection."""
        if entries:
            self._waiting.extend(entries)
            self._watch()

    def take(self) -> list[Slot]:
        """Return those that wait and that somebody still waits for; they are the caller's now."""
        waiting, self._waiting = self._waiting, []
        return [slot for slot, _ in waiting if not slot[FUTURE].done()]

    def end(self, why: str) -> None:
        """Tell all who wait that there is no connection."""
        waiting, self._waiting = self._waiting, []
        self.fail(waiting, why)

    def fail(self, entries: Sequence[Entry], why: str, start: int = 0) -> None:
        """Tell that operations failed; others have a turn in between, as whoever is told runs at once."""
        end = start + _PORTION
        for slot, sent in entries[start:end]:
            if isinstance(slot[METER], OperationMeter):
                slot[METER].count("lost")
            if not slot[FUTURE].done():
                slot[FUTURE].set_exception(away(self._name, why, sent=sent))
        if end < len(entries):
            asyncio.get_running_loop().call_soon(self.fail, entries, why, end)

    def _watch(self) -> None:
        if self._guard is not None:
            self._guard.cancel()
            self._guard = None
        if self._waiting:
            soonest = min(slot[DEADLINE] for slot, _ in self._waiting)
            wait = max(0.001, soonest - time.monotonic())
            self._guard = asyncio.get_running_loop().call_later(wait, self._overdue)

    def _overdue(self) -> None:
        now, waiting = time.monotonic(), self._waiting
        self._waiting = [entry for entry in waiting if entry[0][DEADLINE] > now]
        self.fail([entry for entry in waiting if entry[0][DEADLINE] <= now], "it did not come back in time")
        self._guard = None
        self._watch()
