"""A store that is far away: calls arrive late, replies come late or never, and whoever waited may be gone by then."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from bedplate.component import Host, Spec
from bedplate.state.memory.component import Memory
from bedplate.state.store import Argument, Call, Operation, StoreError, StoreTimeoutError, StoreUnavailableError


class FarStore:
    """The store in the process behind a bad line, as a component.

    :param unordered: calls may arrive in another order than they were sent in, as they do when a server that hung
        goes on and reads an old and a new connection.
    """

    shared = True

    def __init__(self, dice: random.Random, *, lost: float = 0.0, unordered: bool = False) -> None:
        self.near = Memory()
        self.away = False
        self.lost = lost
        self.calls = 0
        #: When given, the next call arrives once it is set, and its reply is lost.
        self.late: asyncio.Event | None = None
        self._dice = dice
        self._unordered = unordered
        self._line = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching: list[Callable[[bool], None]] = []
        self._missed: list[Callable[[], None]] = []

    @property
    def spec(self) -> Spec:
        return Spec(kind="far", summary="Is far away.", needs=(self.near,))

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        yield
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def available(self) -> bool:
        return not self.away

    def set_away(self, away: bool) -> None:
        """Go away, or come back, and tell."""
        self.away = away
        for told in list(self._watching):
            told(not away)

    def run(
        self,
        operation: Operation,
        keys: Sequence[str],
        args: Sequence[Argument] = (),
        *,
        timeout: float | None = None,
        parsed: Callable[[Any], None] | None = None,
    ) -> Awaitable[Any]:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.away:
            answer.set_exception(StoreUnavailableError("It is away."))
            return answer
        self.calls += 1
        travelling = asyncio.create_task(self._travel(answer, operation, keys, args, parsed))
        self._tasks.add(travelling)
        travelling.add_done_callback(self._tasks.discard)
        return answer

    async def _travel(
        self, answer: asyncio.Future[Any], operation: Operation, keys: Any, args: Any, parsed: Any
    ) -> None:
        late, self.late = self.late, None
        if late is not None:
            await late.wait()
            await self.near.run(operation, keys, args)
            return
        if self._unordered:
            await self._turns(6)
        arrives = self._dice.random() >= self.lost
        reply: Any = None
        if arrives:
            try:
                reply = await self.near.run(operation, keys, args)
            except StoreError as error:
                reply = error
        async with self._line:  # replies come in order
            await self._turns(3)
        if not arrives or self._dice.random() < self.lost:
            if not answer.done():
                answer.set_exception(StoreTimeoutError("No answer came.", sent=True))
            return
        if isinstance(reply, StoreError):
            if not answer.done():
                answer.set_exception(reply)
            return
        if parsed is not None:
            parsed(reply)
        if not answer.done():
            answer.set_result(reply)

    async def _turns(self, most: int) -> None:
        for _ in range(self._dice.randrange(most)):
            await asyncio.sleep(0)

    async def run_many(self, calls: Sequence[Call], *, timeout: float | None = None) -> list[Any]:
        runs = [self.run(call.operation, call.keys, call.args) for call in calls]
        return await asyncio.gather(*runs, return_exceptions=True)

    def publish(self, channel: str, message: bytes) -> Awaitable[int]:
        return self.near.publish(channel, message)

    def listen(self, channel: str, heard: Callable[[bytes], None], *, missed: Callable[[], None] | None = None) -> Any:
        if missed is not None:
            self._missed.append(missed)
        return self.near.listen(channel, heard)

    def gap(self) -> None:
        """Tell those who listen that messages may have been lost."""
        for missed in self._missed:
            missed()

    def track(self, prefix: str, changed: Callable[[Sequence[str] | None], None]) -> Callable[[], None]:
        return self.near.track(prefix, changed)

    def watch(self, told: Callable[[bool], None]) -> Callable[[], None]:
        self._watching.append(told)
        return lambda: self._watching.remove(told)
