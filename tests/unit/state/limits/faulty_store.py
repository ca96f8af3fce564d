"""A store that goes away when a test wants it to, and forgets when it is told to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

from bedplate.component import Host, Spec
from bedplate.state.limits.operations import TAKE, TAKES
from bedplate.state.memory import Memory
from bedplate.state.store import (
    Call,
    Operation,
    StoreReplyError,
    StoreTimeoutError,
    StoreUnavailableError,
)

__all__ = ["Faulty"]

Fault = Literal["", "gone", "hung", "OOM", "WRONGTYPE"]


class Faulty:
    """:class:`Memory` behind a connection that can be broken.

    :ivar fault: what is wrong now: ``gone`` refuses at once, ``hung`` answers nothing until the caller's time is up,
        anything else is a refusal with that code.
    :ivar asked: how many operations were asked for, refused at once or not. :ivar takes: how many of them took units.
    """

    shared = True

    def __init__(self, memory: Memory | None = None) -> None:
        self.memory = memory or Memory()
        self._owns = memory is None
        self.fault: Fault = ""
        self.asked = self.takes = 0
        self._watchers: list[Callable[[bool], None]] = []
        self._clock: Any = None

    @property
    def spec(self) -> Spec:
        needs = (self.memory,) if self._owns else ()
        return Spec(kind="faulty", summary="Breaks when it is told to.", needs=needs)

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        self._clock = host.clock
        yield

    @property
    def available(self) -> bool:
        return self.fault != "gone"

    def breaks(self, fault: Fault, *, told: bool = True) -> None:
        """Let it go away, or come back (``""``); ``told`` says whether it notices by itself."""
        self.fault = fault
        if told:
            for watcher in list(self._watchers):
                watcher(fault == "")

    def forget(self) -> None:
        """Lose all data, as a server without a disk that is started again."""
        assert self.memory._space is not None
        self.memory._space.clear()

    def run(
        self,
        operation: Operation,
        keys: Sequence[str],
        args: Sequence[Any] = (),
        *,
        timeout: float | None = None,
        parsed: Any = None,
    ) -> Awaitable[Any]:
        self.asked += 1
        self.takes += operation is TAKE and args[0].startswith(f"{TAKES} ")
        if self.fault == "gone":
            raise StoreUnavailableError("It is gone.")
        return self._run(operation, keys, args, timeout, parsed)

    async def _run(
        self, operation: Operation, keys: Sequence[str], args: Any, timeout: float | None, parsed: Any
    ) -> Any:
        if self.fault == "hung":
            await self._clock.sleep(timeout or 0.25)
            raise StoreTimeoutError("It does not answer.", sent=True)
        if self.fault:
            raise StoreReplyError(self.fault, f"{self.fault} it refuses.")
        return await self.memory.run(operation, keys, args, parsed=parsed)

    async def run_many(self, calls: Sequence[Call], *, timeout: float | None = None) -> list[Any]:
        replies: list[Any] = []
        for call in calls:
            try:
                replies.append(await self.run(call.operation, call.keys, call.args, timeout=timeout))
            except StoreReplyError as error:
                replies.append(error)
        return replies

    def publish(self, channel: str, message: bytes) -> Awaitable[int]:
        return self.memory.publish(channel, message)

    def listen(self, channel: str, heard: Any, *, missed: Any = None) -> Any:
        return self.memory.listen(channel, heard)

    def track(self, prefix: str, changed: Any) -> Any:
        return self.memory.track(prefix, changed)

    def watch(self, told: Callable[[bool], None]) -> Callable[[], None]:
        self._watchers.append(told)
        return lambda: self._watchers.remove(told)
