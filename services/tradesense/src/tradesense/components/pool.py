"""CPU-heavy work beside the event loop: a few threads, a short queue, and an early no."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from bedplate.problems import BedplateError
from bedplate.state.answering import Answering

__all__ = ["Busy", "Pool"]

P = ParamSpec("P")
R = TypeVar("R")


class Busy(BedplateError, Answering):
    """So much work is waiting that more would only wait longer; over HTTP a 503."""

    status = 503
    answer = "Too much is being worked on. Try again in a second."

    def __init__(self) -> None:
        super().__init__("All threads are busy and enough work is waiting.", "Try again in a second.")
        self.headers = {"Retry-After": "1"}


class Pool:
    """Threads of one component; each has its own, so that sign-ins do not wait for reports.

    The default executor of asyncio has no bound: under load everybody would wait in it, and be late.

    :param name: of the threads. :param threads: that work at once. :param waiting: pieces of work that may wait.
    """

    def __init__(self, name: str, *, threads: int, waiting: int) -> None:
        self._name = name
        self._threads = threads
        self._most = threads + waiting
        self._executor: ThreadPoolExecutor | None = None
        self._open = 0
        self._told: Callable[[int], None] = lambda count: None
        self._refused: Callable[[], None] = lambda: None

    @contextmanager
    def running(self, told: Callable[[int], None], refused: Callable[[], None]) -> Iterator[None]:
        """Have threads while inside; what waits at the end is dropped, what runs is finished.

        :param told: is given how much is being worked on or waits. :param refused: is called for what is refused.
        """
        self._told, self._refused = told, refused
        self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix=self._name)
        self._open = 0
        told(0)
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
        if self._executor is None or self._open >= self._most:
            self._refused()
            raise Busy
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()
        future = self._executor.submit(lambda: context.run(fn, *args, **kwargs))
        self._count(1)
        future.add_done_callback(lambda done: self._done(done, loop))
        return await asyncio.wrap_future(future)

    async def timed(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> tuple[R, float]:
        """Do :meth:`run`, and return also the seconds from the call on."""
        began = time.perf_counter()
        result = await self.run(fn, *args, **kwargs)
        return result, time.perf_counter() - began

    def _done(self, future: Future[Any], loop: asyncio.AbstractEventLoop) -> None:
        """Called in the thread that finished or cancelled the work."""
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._count, -1)

    def _count(self, change: int) -> None:
        self._open += change
        self._told(self._open)
