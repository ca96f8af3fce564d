"""Caches that run in a test: one, or several that share a store as instances of a service do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from bedplate.component import Host, Spec
from bedplate.state.cache import Cache
from bedplate.state.memory import Memory
from bedplate.state.store import Operation, StoreTimeoutError, StoreUnavailableError
from bedplate.testing import Harness, ManualClock, running


class Wire:
    """What one instance sees of a store that several share; it can be cut, and slow.

    As with Redis, what others change meanwhile is not told, and that is told when the wire is whole again.
    """

    shared = True

    def __init__(self, store: Memory) -> None:
        self.store = store
        self.whole = True
        self.hung = False
        self.asked: list[str] = []
        self._trackers: list[Callable[[Sequence[str] | None], None]] = []
        self._watchers: list[Callable[[bool], None]] = []

    @property
    def spec(self) -> Spec:
        return Spec(kind="wire", summary="A store at the end of a wire.", scope="cluster")

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        yield

    @property
    def available(self) -> bool:
        return self.whole

    def run(
        self, operation: Operation, keys: Any, args: Any = (), *, timeout: float | None = None, parsed: Any = None
    ) -> Awaitable[Any]:
        self.asked.append(operation.name)
        if not self.whole:
            return _failure(StoreUnavailableError("The wire is cut."))
        if self.hung:
            return _failure(StoreTimeoutError("It did not answer.", sent=True))
        return self.store.run(operation, keys, args, parsed=parsed)

    def run_many(self, calls: Any, *, timeout: float | None = None) -> Awaitable[Any]:
        self.asked.extend(call.operation.name for call in calls)
        if not self.whole or self.hung:
            return _failure(StoreUnavailableError("The wire is cut."))
        return self.store.run_many(calls)

    def publish(self, channel: str, message: bytes) -> Awaitable[int]:
        return self.store.publish(channel, message)

    def listen(self, channel: str, heard: Any, *, missed: Any = None) -> Any:
        return self.store.listen(channel, heard)

    def track(self, prefix: str, changed: Callable[[Sequence[str] | None], None]) -> Callable[[], None]:
        self._trackers.append(changed)
        return self.store.track(prefix, lambda names: changed(names) if self.whole else None)

    def watch(self, told: Callable[[bool], None]) -> Callable[[], None]:
        self._watchers.append(told)
        return lambda: self._watchers.remove(told)

    def cut(self) -> None:
        self.whole = False
        for told in list(self._watchers):
            told(False)

    def mend(self) -> None:
        self.whole = True
        for changed in self._trackers:
            changed(None)
        for told in list(self._watchers):
            told(True)


async def _failure(error: Exception) -> Any:
    raise error


class Node:
    """One instance: its cache, its wire, and the harness of its service."""

    def __init__(self, cache: Cache, wire: Wire, harness: Harness) -> None:
        self.cache, self.wire, self.harness = cache, wire, harness
        self.clock = harness.clock


Nodes = Callable[..., Any]


@asynccontextmanager
async def nodes(count: int = 1, **options: Any) -> AsyncIterator[list[Node]]:
    """Run several instances, on one clock and one store."""
    clock, store = ManualClock(), Memory(role="cache")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(store, clock=clock))
        found: list[Node] = []
        for _ in range(count):
            wire = Wire(store)
            cache = Cache(wire, "reports", **options)
            harness = await stack.enter_async_context(running(cache, clock=clock))
            found.append(Node(cache, wire, harness))
        yield found


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with nodes() as (one,):
        yield one
