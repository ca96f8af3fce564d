"""The backends that every primitive must work on alike, each as one value that a test can use without knowing which.

``tests/conformance/state/conftest.py`` has the fixtures; a behaviour is written once:

.. code-block:: python

    async def test_what_is_kept_ends(backend: Backend) -> None:
        cache = Cache(backend.store, name="reports")
        async with backend.running(cache):
            await cache.set("a", 1, ttl=backend.short)
            await backend.pass_(2 * backend.short)
            assert await cache.get("a") is None

The time of real servers cannot be driven, so it passes really: what must end gets ``backend.short`` (and a test waits
a multiple of it), what must not end gets a minute.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal, TypeVar

from bedplate.component import Component, Host, Spec
from bedplate.service import Service
from bedplate.state import store
from bedplate.state.store import Store
from bedplate.testing import Harness, ManualClock, running, settings
from tests.redis import Servers

__all__ = ["KINDS", "Backend", "Borrowed", "RealClock"]

Kind = Literal["memory", "redis7", "valkey9", "sentinel", "cluster"]
KINDS: tuple[Kind, ...] = ("memory", "redis7", "valkey9", "sentinel", "cluster")

T = TypeVar("T", bound=Component)


class RealClock(ManualClock):
    """The machine's clock in the place of a driven one: to advance it is to wait."""

    def time(self) -> float:
        """Return the Unix time."""
        return time.time()

    def monotonic(self) -> float:
        """Return the monotonic time."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)

    async def advance(self, seconds: float) -> None:
        """Let so much time pass."""
        await asyncio.sleep(seconds)

    def jump(self, seconds: float) -> None:
        """Refuse: nobody sets the clock of the machine."""
        raise AssertionError("The clock of a real server cannot jump; use the memory backend for that.")


class Borrowed:
    """A store of another instance, used by a second one: how two instances can share a store in the process."""

    def __init__(self, store: Any) -> None:
        self._store = store

    @property
    def spec(self) -> Spec:
        """A component of its own, with nothing to say."""
        return Spec(kind="borrowed", summary="Borrows the store of another instance.")

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Do nothing; the owner runs it."""
        yield

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class Backend:
    """Where a test's data is.

    :ivar kind: ``memory``, ``redis7``, ``valkey9``, ``sentinel`` or ``cluster``; for messages, not for decisions.
    :ivar store: the store of the test, for components to be made of; it runs within :meth:`running`.
    :ivar short: seconds that pass soon; what shall end within a test lives so long.
    :ivar clock: the time of all services of the test.
    """

    def __init__(self, kind: Kind, servers: Servers) -> None:
        self.kind = kind
        self.servers = servers
        self.url = _url(kind, servers)
        self.short = 1.0 if kind == "memory" else 0.06
        self.clock = ManualClock() if kind == "memory" else RealClock()
        self.store: Store = store(self.url)

    async def pass_(self, seconds: float) -> None:
        """Let time pass, for the store and for everything above it."""
        await self.clock.advance(seconds)

    def settings(self, **values: Any) -> Any:
        """Return settings for a service."""
        return settings(**values)

    @asynccontextmanager
    async def running(self, *components: Component) -> AsyncIterator[Harness]:
        """Run a service of the store and of what was made on it."""
        service = Service("test", None, [self.store, *components], settings=self.settings())
        async with running(service, clock=self.clock) as harness:
            await harness.eventually(lambda: self.store.available)
            yield harness

    @asynccontextmanager
    async def instances(self, make: Callable[[Store], T], count: int = 2) -> AsyncIterator[list[T]]:
        """Run several instances of one service, each with a store and a component of its own, on the same data."""
        async with AsyncExitStack() as stack:
            made: list[T] = []
            for number in range(count):
                its: Any = self.store if number == 0 else self._another()
                component = make(its)
                service = Service("test", None, [its, component], settings=self.settings())
                harness = await stack.enter_async_context(running(service, clock=self.clock))
                await harness.eventually(lambda its=its: its.available)
                made.append(component)
            yield made

    @asynccontextmanager
    async def stores(self, count: int = 2) -> AsyncIterator[Sequence[Store]]:
        """Run several instances with nothing but a store."""
        async with AsyncExitStack() as stack:
            made: list[Store] = []
            for number in range(count):
                its: Any = self.store if number == 0 else self._another()
                service = Service("test", None, [its], settings=self.settings())
                harness = await stack.enter_async_context(running(service, clock=self.clock))
                await harness.eventually(lambda its=its: its.available)
                made.append(its)
            yield made

    def _another(self) -> Any:
        return Borrowed(self.store) if self.kind == "memory" else store(self.url)


def _url(kind: Kind, servers: Servers) -> str:
    if kind == "memory":
        return "memory://"
    if kind == "sentinel":
        return servers.sentinels().url
    if kind == "cluster":
        return servers.cluster().url
    return servers.server(kind).url
