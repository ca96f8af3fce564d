"""Doubles for what a component gets from its service: a driven clock, a host, cells that remember."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
from starlette.types import ASGIApp

from bedplate.component import ComponentView, Spec


async def settle(rounds: int = 12) -> None:
    """Let everything that is ready run."""
    for _ in range(rounds):
        await asyncio.sleep(0)


class DrivenClock:
    """A clock that moves only when it is told to."""

    def __init__(self, start: float = 1_000_000.0) -> None:
        self.now = 0.0
        self.start = start
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def time(self) -> float:
        return self.start + self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._order), future))
        await future

    async def advance(self, seconds: float) -> None:
        end = self.now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self.now = max(self.now, due)
            if not future.done():
                future.set_result(None)
                await settle()
        self.now = end
        await settle()


class Cell:
    def __init__(self) -> None:
        self.value = 0.0
        self.observed: list[float] = []

    def inc(self, amount: float = 1.0, /) -> None:
        self.value += amount

    def dec(self, amount: float = 1.0, /) -> None:
        self.value -= amount

    def set(self, value: float, /) -> None:
        self.value = value

    def observe(self, value: float, /) -> None:
        self.observed.append(value)


class RecordingLog:
    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Callable[..., None]:
        return lambda event, /, **context: self.events.append((level, event, context))

    def named(self, event: str) -> list[dict[str, Any]]:
        return [context for _, name, context in self.events if name == event]


class FakeHost:
    service = "ledger"
    role = "web"

    def __init__(self, clock: DrivenClock | None = None, environment: str = "production") -> None:
        self.environment = environment
        self.clock = clock or DrivenClock()
        self.log = RecordingLog()
        self.components: Sequence[ComponentView] = ()
        self.directory = Path()
        self.cells: dict[tuple[Any, ...], Cell] = {}
        self.tasks: list[asyncio.Task[None]] = []

    def bind(self, metric: Any, /, **labels: str) -> Any:
        assert set(labels) == set(metric.label_names), (metric, labels)
        return self.cells.setdefault((metric.name, *sorted(labels.items())), Cell())

    def value(self, metric: Any, **labels: str) -> float:
        return self.cells[(metric.name, *sorted(labels.items()))].value

    def spawn(self, name: str, fn: Callable[[], Coroutine[Any, Any, None]], *, lease: Any = None) -> None:
        self.tasks.append(asyncio.create_task(fn(), name=name))

    def degraded(self, reason: str | None) -> None:
        return None

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Part:
    """A component made of its spec's fields."""

    def __init__(self, kind: str, **spec: Any) -> None:
        self.spec = Spec(kind=kind, summary=spec.pop("summary", "A part of a test."), **spec)

    @asynccontextmanager
    async def lifespan(self, host: Any) -> AsyncIterator[None]:
        yield


def view(component: Any, state: Any = "running", reason: str = "", tasks: Any = ()) -> ComponentView:
    return ComponentView(component, component.spec, state, reason, tasks)


@asynccontextmanager
async def running(component: Any, host: FakeHost) -> AsyncIterator[FakeHost]:
    """Run the component's lifespan; its spawned tasks end before it, as in a service."""
    lifespan = component.lifespan(host)
    await lifespan.__aenter__()
    try:
        yield host
    finally:
        await host.stop()
        await lifespan.__aexit__(None, None, None)


def client(app: ASGIApp, *, peer: str = "203.0.113.9", host: str = "ledger.example", token: str = "") -> Any:
    """Return an HTTP client that calls the application in this process, from the given address."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    transport = httpx.ASGITransport(app=app, client=(peer, 40000), raise_app_exceptions=True)
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}", headers=headers)
