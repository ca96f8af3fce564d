"""Those who wait for a decision."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from bedplate.component import Host
from bedplate.state.confirmations.errors import (
    ConfirmationExpiredError,
    ConfirmationUnavailableError,
    UnknownConfirmationError,
)
from bedplate.state.pausing import pause

if TYPE_CHECKING:
    from bedplate.state.confirmations.component import Confirmations
    from bedplate.state.confirmations.confirmation import Confirmation

__all__ = ["Waiting"]

T = TypeVar("T")
#: Seconds after which who waits looks by himself, should a message have been lost.
_LOOK = 15.0


class Waiting:
    """Events by the id of what is waited for."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._events: dict[str, dict[asyncio.Event, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._events.values()))

    def heard(self, id: str) -> None:
        """Let those look who wait for this one."""
        for event in self._events.get(id, ()):
            event.set()

    def all(self) -> None:
        """Let all look: messages may have been missed."""
        for id in self._events:
            self.heard(id)

    async def decided(self, confirmations: Confirmations[T], id: str, timeout: float | None) -> Confirmation[T]:
        """See :meth:`Confirmations.wait`."""
        clock = self._host.clock
        end = None if timeout is None else clock.monotonic() + timeout
        event = asyncio.Event()
        self._events.setdefault(id, {})[event] = None
        known = False
        try:
            while True:
                event.clear()
                seconds = _LOOK
                try:
                    found = await confirmations.get(id)
                except ConfirmationUnavailableError:
                    if not known or not confirmations.running:
                        raise
                else:
                    if found is None:
                        raise (ConfirmationExpiredError if known else UnknownConfirmationError)(id)
                    if not found.pending:
                        return found
                    known = True
                    # Expiry is told, too; this is for a message that was lost.
                    seconds = min(_LOOK, max(0.05, found.expires.timestamp() + 0.05 - clock.time()))
                left = seconds if end is None else min(seconds, end - clock.monotonic())
                if left <= 0:
                    raise TimeoutError(f"The confirmation {id} is still pending.")
                await pause(clock, left, event)
        finally:
            events = self._events[id]
            del events[event]
            if not events:
                del self._events[id]
