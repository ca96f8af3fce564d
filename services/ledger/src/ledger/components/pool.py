"""Work that takes long, beside the event loop: a few threads, a short queue, and an early no."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

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
    """Threads of one component: asyncio's own have a queue without an end, in which everybody would wait.

    :param waiting: pieces of work that may wait for one of the threads.
    """

    def __init__(self, name: str, *, threads: int, waiting: int) -> None:
        self._name = name
        self._threads = threads
        self._places = threads + waiting
        self._taken = 0
        self._executor: ThreadPoolExecutor | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Have threads while inside; what waits at the end is dropped."""
        self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix=self._name)
        self._taken = 0
        try:
            yield
        finally:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None

    async def run(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call ``fn`` in a thread and return what it returns. :raises Busy: when enough is waiting."""
        if self._executor is None or self._taken >= self._places:
            raise Busy
        loop = asyncio.get_running_loop()
        future = self._executor.submit(lambda: fn(*args, **kwargs))
        self._taken += 1
        # Its place is free when the work is over, not when whoever waits for it gives up.
        future.add_done_callback(lambda _: loop.is_closed() or loop.call_soon_threadsafe(self._free))
        return await asyncio.wrap_future(future)

    def _free(self) -> None:
        self._taken -= 1
