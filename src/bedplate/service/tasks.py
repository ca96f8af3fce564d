"""Supervised tasks: a crash is logged, counted, shown and restarted with back-off; never silent."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from bedplate.component import Host, Lease, TaskView
from bedplate.service.observer import Observer

__all__ = ["SupervisedTask", "stop_tasks"]

#: Seconds before the first restart; doubled after each crash up to the longest, and drawn at random below it.
FIRST_DELAY = 0.1
LONGEST_DELAY = 30.0
#: A run of this many seconds counts as healthy: the next crash starts from the first delay again.
HEALTHY_AFTER = 60.0


class SupervisedTask:
    """One spawned task of a component."""

    def __init__(
        self,
        name: str,
        fn: Callable[[], Coroutine[Any, Any, None]],
        *,
        host: Host,
        label: str,
        observer: Observer,
        lease: Lease | None = None,
    ) -> None:
        self.name = name
        self._fn = fn
        self._host = host
        self._label = label
        self._observer = observer
        self._lease = lease
        self.state = "running"
        self.restarts = 0
        self.last_error = ""
        self._task = asyncio.create_task(self._supervise(), name=f"{label}/{name}")

    def view(self) -> TaskView:
        """Return what others may see of it."""
        return TaskView(self.name, self.state, self.restarts, self.last_error)

    @property
    def done(self) -> bool:
        """Whether it has ended for good."""
        return self._task.done()

    def cancel(self) -> None:
        """Ask it to end."""
        self._task.cancel()

    async def ended(self) -> None:
        """Return when it has ended."""
        await asyncio.wait([self._task])
        self.state = "finished"

    async def _run(self) -> None:
        if self._lease is None:
            await self._fn()
            return
        self.state = "waiting"
        async with self._lease.hold(self._host):
            self.state = "running"
            await self._fn()

    async def _supervise(self) -> None:
        clock, delay = self._host.clock, FIRST_DELAY
        task = asyncio.current_task()
        while True:
            started = clock.monotonic()
            try:
                await self._run()
            except asyncio.CancelledError as error:
                # A cancellation that nobody asked of this task comes from something that it awaited: a crash.
                if task is None or task.cancelling():
                    raise
                self._crashed(error)
            except Exception as error:
                self._crashed(error)
            else:
                self.state = "finished"
                return
            if clock.monotonic() - started >= HEALTHY_AFTER:
                delay = FIRST_DELAY
            # Full jitter with a floor: instances that crash together do not come back together.
            await clock.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, LONGEST_DELAY)
            self.state = "running"

    def _crashed(self, error: BaseException) -> None:
        self.restarts += 1
        self.state = "restarting"
        self.last_error = f"{type(error).__name__}: {error}"
        self._observer.crashed(self._label, self.name, error)


async def stop_tasks(tasks: Sequence[SupervisedTask], timeout: float) -> list[SupervisedTask]:
    """Cancel tasks, wait until they have ended, and return those that have not within ``timeout`` seconds."""
    for task in reversed(tasks):
        task.cancel()
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            for task in tasks:
                await task.ended()
    return [task for task in tasks if not task.done]
