"""A consumer: what one process does for a group of a stream."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from uuid_utils import uuid4

from bedplate.component import Host
from bedplate.state.events.event import Event
from bedplate.state.events.metrics import CONSUMED, HANDLING
from bedplate.state.events.operations import ACK, BURY, CLAIM, HOLD, OPEN, TAKE
from bedplate.state.events.stream import Group, Stream
from bedplate.state.pausing import pause
from bedplate.state.store import StoreError, StoreReplyError

if TYPE_CHECKING:
    from bedplate.state.events.component import Events

__all__ = ["Consumer"]

#: Seconds after which a consumer that heard nothing looks for new events by itself.
_LOOK = 5.0
_AGAIN = 1.0
#: Seconds between two tries of an event: 1, 2, 4 … up to this, each shortened by chance.
_LONGEST = 60.0
#: Events that were given up and are kept, for each stream.
_DEAD = 10_000


class Consumer:
    """Takes events, calls the handler, and answers for them.

    An event that has been taken is its consumer's until it is done, given up, or the consumer is silent for ``idle``
    seconds; while its handler runs, and between two tries, the consumer says that it is at work.
    """

    def __init__(self, events: Events, stream: Stream[Any], group: Group, host: Host) -> None:
        self._store = events.store
        self._host = host
        self._clock = host.clock
        self._stream, self._group = stream, group
        self._name = f"{host.service}-{uuid4().hex}"
        self._wake = asyncio.Event()
        self._tasks: dict[bytes, asyncio.Task[None]] = {}
        labels = {"stream": stream.name, "group": group.name}
        self._outcomes = {
            outcome: host.bind(CONSUMED, outcome=outcome, **labels) for outcome in ("done", "failed", "dead")
        }
        self._handling = host.bind(HANDLING, **labels)
        self._opened = False

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        listening = self._store.listen(self._stream.key, lambda message: self.wake(), missed=self.wake)
        claimed = beaten = self._clock.monotonic() - self._group.idle
        try:
            while True:
                self._wake.clear()
                now = self._clock.monotonic()
                rest = _LOOK
                try:
                    if not self._opened:
                        await self._open()
                    if self._tasks and now - beaten >= self._group.idle / 3:
                        await self._run(HOLD, (self._name, *self._tasks))
                        beaten = now
                    if now - claimed >= self._group.idle / 2:
                        await self._claim()
                        claimed = now
                    await self._take()
                except StoreError as error:
                    # After a restore or a flush there is no group any more.
                    self._opened = not (isinstance(error, StoreReplyError) and error.code == "NOGROUP")
                    rest = _AGAIN
                await pause(self._clock, min(rest, self._group.idle / 3), self._wake)
        finally:
            listening.close()
            for task in self._tasks.values():
                task.cancel()
            if self._tasks:
                await asyncio.wait(list(self._tasks.values()))

    @property
    def _room(self) -> int:
        return self._group.concurrency - len(self._tasks)

    async def _run(self, operation: Any, args: tuple[Any, ...], *keys: str) -> Any:
        return await self._store.run(operation, (self._stream.key, *keys), (self._group.name, *args))

    async def _open(self) -> None:
        await self._run(OPEN, ("0" if self._group.start == "first" else "$",))
        self._opened = True

    async def _claim(self) -> None:
        if self._room > 0:
            for id, fields, times in await self._run(CLAIM, (self._name, int(self._group.idle * 1000), self._room)):
                self._begin(id, fields, times)

    async def _take(self) -> None:
        if self._room > 0:
            for id, fields in await self._run(TAKE, (self._name, self._room)):
                self._begin(id, fields, 1)

    def _begin(self, id: bytes, fields: list[bytes], tries: int) -> None:
        if id in self._tasks:
            return
        task = asyncio.create_task(self._work(id, fields, tries), name=f"{self._stream.name}/{self._group.name}")
        self._tasks[id] = task
        task.add_done_callback(lambda task: self._ended(id, task))

    def _ended(self, id: bytes, task: asyncio.Task[None]) -> None:
        self._tasks.pop(id, None)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._host.log.error("event_consumer_failed", event_id=id.decode(), error=repr(error))

    async def _work(self, id: bytes, fields: list[bytes], tries: int) -> None:
        text, key = fields[1], fields[3].decode()
        try:
            payload = self._stream.codec.load(text)
        except ValueError as error:
            await self._bury(id, text, key, f"It cannot be read: {error}")
            return
        while tries <= self._group.tries:
            event = Event(id=id.decode(), topic=self._stream.name, payload=payload, key=key, tries=tries)
            fault = await self._try(event)
            if fault is None:
                await self._answer(id)
                return
            why = f"{type(fault).__name__}: {fault}"
            self._outcomes["failed"].inc()
            self._host.log.warning(
                "event_handler_failed", stream=self._stream.name, group=self._group.name, event_id=event.id,
                tries=tries, error=why,
            )  # fmt: skip
            tries += 1
            if tries > self._group.tries:
                await self._bury(id, text, key, why)
                return
            await self._clock.sleep(min(2.0 ** (tries - 2), _LONGEST) * random.uniform(0.5, 1.0))
        # Whoever had it before died of it as often as it may be tried.
        await self._bury(id, text, key, "Its consumers died.")

    async def _try(self, event: Event[Any]) -> Exception | None:
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._group.timeout):
                await self._group.handler(event)
        except Exception as error:
            return error
        finally:
            self._handling.observe(self._clock.monotonic() - began)
        return None

    async def _answer(self, id: bytes) -> None:
        await self._surely(lambda: self._run(ACK, (id,)))
        self._outcomes["done"].inc()

    async def _bury(self, id: bytes, text: bytes, key: str, why: str) -> None:
        if await self._surely(lambda: self._run(BURY, (id, text, key, why[:500], _DEAD), self._stream.dead_key)):
            self._outcomes["dead"].inc()
            self._host.log.error(
                "event_given_up", stream=self._stream.name, group=self._group.name, event_id=id.decode(), why=why
            )

    async def _surely(self, do: Any) -> Any:
        """Do it, and again until the store has done it: both forms of the end can be done twice."""
        while True:
            try:
                return await do()
            except StoreReplyError as error:
                if error.code == "NOGROUP":
                    return 0
                raise
            except StoreError:
                await self._clock.sleep(_AGAIN)
