"""One subscriber: an asynchronous iterator that is never ahead of its reader by more than it may hold."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from bedplate.state.events.event import NOTHING_YET, Codec, Event, order_of
from bedplate.state.pausing import pause
from bedplate.state.store import StoreError

if TYPE_CHECKING:
    from bedplate.state.events.component import Events

__all__ = ["Subscription"]

T = TypeVar("T")

#: Events read from a history at once.
_CHUNK = 100
#: Seconds until a history that could not be read is asked for again.
_AGAIN = 1.0
#: Seconds after which a subscriber that heard nothing looks by itself, should messages be lost without a sign.
_LOOK = 15.0


class Subscription(Generic[T]):
    """Events of a topic as they happen; made by :meth:`Events.subscribe`.

    What is published while the reader is busy is held, up to ``buffer`` events. Where a topic has a history, a reader
    that falls behind further is given the rest from it; where it has none, or when it does not reach back far enough,
    the next event says ``missed``. Outages of the store are waited out in the same way.

    :ivar last: the id of the last event that was given, to go on after it with another subscription.
    """

    def __init__(
        self, events: Events, topic: str, codec: Codec[T], *, after: str | None, buffer: int, missed: Callable[[], None]
    ) -> None:
        self._events = events
        self.topic = topic
        self._codec = codec
        self._buffer = buffer
        self._told_missed = missed
        self._held: deque[tuple[str, bytes]] = deque()
        self._wake = asyncio.Event()
        self._behind = after is not None
        self._missed = self._closed = False
        #: Whether it was away, and what was published meanwhile may have ended.
        self._away = self._behind
        self.last = after or ""

    # From the hub; on the event loop, and quick.

    def heard(self, id: str, payload: bytes) -> None:
        """Hold what was published, or note that the history has it."""
        if self._behind and id:
            self._wake.set()
            return
        if len(self._held) >= self._buffer:
            if id:
                # From here on the history has it.
                self._behind = True
            else:
                self._held.popleft()
                self._missed = True
                self._held.append((id, payload))
        else:
            self._held.append((id, payload))
        self._wake.set()

    def gap(self) -> None:
        """Look into the history; where there is none, something may be missing."""
        if self._events.history:
            self._behind = self._away = True
        else:
            self._missed = True
        self._wake.set()

    def close(self) -> None:
        """End the iteration, wherever it waits."""
        self._closed = True
        self._wake.set()

    # For the reader.

    async def begin(self) -> None:
        """Hear what is published from now on, or after the event that was asked for.

        :raises StoreUnavailableError: when the store is away.
        """
        if self._events.history and not self.last:
            self.last = await self._events.last(self.topic)

    def __aiter__(self) -> Subscription[T]:
        return self

    async def __anext__(self) -> Event[T]:
        """Wait for the next event."""
        clock = self._events.clock
        while not self._closed:
            if self._held:
                id, payload = self._held.popleft()
                if id and order_of(id) <= order_of(self.last or NOTHING_YET):
                    continue  # it was in the history, too
                event = self._event(id, payload)
                if event is not None:
                    return event
                continue
            if self._behind:
                await self._catch_up()
                continue
            self._wake.clear()
            await pause(clock, _LOOK if self._events.history else None, self._wake)
            if not self._wake.is_set():
                self._behind = True
        raise StopAsyncIteration

    async def _catch_up(self) -> None:
        """Read on in the history; what is published meanwhile is held, and what comes twice is dropped."""
        after = self.last or NOTHING_YET
        away, self._away = self._away, False
        self._behind = False
        try:
            lost, entries = await self._events.since(self.topic, after, _CHUNK)
        except BaseException as error:
            # What was held meanwhile is behind what was not read.
            self._held.clear()
            self._behind, self._away = True, away or self._away
            if not isinstance(error, StoreError):
                raise
            self._wake.clear()
            await pause(self._events.clock, _AGAIN, self._wake)
            return
        # Who listened all the time has missed nothing when a silent topic's history ends.
        if lost == 1 or (lost and away):
            self._missed = True
        if len(entries) >= _CHUNK:
            self._held.clear()
            self._behind = True
        self._held.extendleft(reversed(entries))

    def _event(self, id: str, payload: bytes) -> Event[T] | None:
        if id:
            self.last = id
        try:
            what = self._codec.load(payload)
        except ValueError as error:
            self._events.unreadable(self.topic, id, error)
            return None
        missed, self._missed = self._missed, False
        if missed:
            self._told_missed()
        self._events.took()
        return Event(id=id, topic=self.topic, payload=what, missed=missed)
