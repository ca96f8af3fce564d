"""CPU-heavy work beside the event loop: a few threads, a short queue, and an early no."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated, Any, ParamSpec, TypeVar

from pydantic import Field

from bedplate.component import BoundCounter, BoundGauge, BoundHistogram, Host, Spec
from bedplate.problems import BedplateError
from bedplate.settings import Section
from synfinance.components.signals.compute import ACTIVE, ALERTS, METRICS, PANELS, REFUSED, RUNBOOK, WAIT

__all__ = ["Busy", "Compute", "ComputeSettings"]

P = ParamSpec("P")
R = TypeVar("R")


class Busy(BedplateError):
    """So much work is waiting that more would only wait longer."""


class ComputeSettings(Section):
    """How much CPU-heavy work is done at once."""

    threads: Annotated[int, Field(ge=1, le=64)] = 2
    """Threads that generate, score and profile; more than there are cores only slow each other down."""

    waiting: Annotated[int, Field(ge=0, le=10_000)] = 16
    """Pieces of work that may wait for a thread; beyond them requests are answered 503 at once."""


class Compute:
    """Runs CPU-heavy work in threads of its own, so that probes and scrapes are answered meanwhile.

    The default executor of asyncio would do the same without a bound: under load every request would wait in it, and
    be late, instead of some being told to come back.
    """

    def __init__(self, settings: ComputeSettings | None = None) -> None:
        self.settings = settings or ComputeSettings()
        self._executor: ThreadPoolExecutor | None = None
        self._open = 0

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="compute",
            summary="Generates, scores and profiles in threads beside the event loop, a bounded amount at once.",
            settings=self.settings,
            metrics=METRICS,
            alerts=ALERTS,
            panels=PANELS,
            runbook=RUNBOOK,
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Have threads while inside; what waits at the end is dropped, what runs is finished."""
        self._active: BoundGauge = host.bind(ACTIVE)
        self._wait: BoundHistogram = host.bind(WAIT)
        self._refused: BoundCounter = host.bind(REFUSED)
        self._executor = ThreadPoolExecutor(self.settings.threads, thread_name_prefix=f"{host.service}-compute")
        self._active.set(0)
        try:
            yield
        finally:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None

    async def run(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call ``fn`` in a thread, in the caller's context, and return what it returns.

        Whoever is cancelled stops waiting; work that has begun is finished, and counts until then.

        :raises Busy: when all threads work and enough is waiting.
        """
        if self._executor is None or self._open >= self.settings.threads + self.settings.waiting:
            if self._executor is not None:
                self._refused.inc()
            raise Busy("All threads are busy and enough work is waiting.", "Try again in a second.")
        loop, context, begun = asyncio.get_running_loop(), contextvars.copy_context(), time.perf_counter()

        def work() -> tuple[R, float]:
            waited = time.perf_counter() - begun
            return context.run(fn, *args, **kwargs), waited

        future = self._executor.submit(work)
        self._count(1)
        future.add_done_callback(lambda done: self._done(done, loop))
        result, waited = await asyncio.wrap_future(future)
        self._wait.observe(waited)
        return result

    def _done(self, future: Future[Any], loop: asyncio.AbstractEventLoop) -> None:
        """Called in the thread that finished or cancelled the work."""
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._count, -1)

    def _count(self, change: int) -> None:
        self._open += change
        self._active.set(self._open)
