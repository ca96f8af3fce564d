"""A component's lifespan in a task of its own.

What a lifespan opens (task groups, cancel scopes) may only be closed by the task that opened it, and a task group
whose child fails cancels the task that it lives in. So each component has a task that enters its lifespan, waits, and
leaves it: whatever a component does to its own task, it does to itself alone, and one that hangs can be left behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from contextvars import Context

__all__ = ["MOMENT", "Lifespan", "LifespanTimeoutError"]

#: Seconds that a component gets past any deadline: most of them stop at once.
MOMENT = 0.5


class LifespanTimeoutError(Exception):
    """A lifespan was not entered or left in time."""


class Lifespan:
    """One lifespan from its start to its end.

    :param make: returns the context; called in the task, in ``context``, which the components of a service share.
    :param lost: is told when the lifespan ends although nobody asked it to, with the error that it ended with.
    """

    def __init__(
        self,
        make: Callable[[], AbstractAsyncContextManager[None]],
        *,
        name: str,
        context: Context,
        lost: Callable[[BaseException | None], None],
    ) -> None:
        self._make = make
        self._lost = lost
        self._entered = asyncio.Event()
        self._leaving = asyncio.Event()
        self._error: BaseException | None = None
        self._task = asyncio.create_task(self._run(), name=name, context=context)

    async def enter(self, timeout: float) -> None:
        """Return when it has started.

        :raises LifespanTimeoutError: when it takes longer than ``timeout`` seconds; it has been cancelled then.
        :raises BaseException: what it raised. Whoever is cancelled meanwhile cancels it.
        """
        entered = asyncio.create_task(self._entered.wait())
        try:
            done, _ = await asyncio.wait([self._task, entered], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self._cancel(timeout)
            raise
        finally:
            entered.cancel()
        if self._entered.is_set():
            return
        if not done:
            await self._cancel(timeout)
            raise LifespanTimeoutError
        raise self._error or RuntimeError("its lifespan ended before it had started")

    async def leave(self, deadline: float) -> None:
        """Ask it to stop and return when it has.

        :param deadline: by the loop's clock; past it, it still gets a moment.
        :raises LifespanTimeoutError: when it has not stopped by then; it has been cancelled, and if that did not help
            either, it is left behind.
        :raises BaseException: what it raised when it stopped.
        """
        self._leaving.set()
        timeout = max(deadline - asyncio.get_running_loop().time(), MOMENT)
        done, _ = await asyncio.wait([self._task], timeout=timeout)
        if not done:
            await self._cancel(MOMENT)
            raise LifespanTimeoutError
        if self._error is not None:
            raise self._error

    async def _cancel(self, patience: float) -> None:
        # Once it has started, it is asked to stop: what stands after a bare `yield` is not done when that is cancelled.
        if not self._entered.is_set() or self._leaving.is_set():
            self._task.cancel()
        self._leaving.set()
        await asyncio.wait([self._task], timeout=patience)

    async def _run(self) -> None:
        try:
            async with self._make():
                self._entered.set()
                await self._leaving.wait()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # SystemExit would stop the event loop under everybody else; it is a failure like any other.
            self._error = error
        finally:
            if self._entered.is_set() and not self._leaving.is_set():
                self._lost(self._error)
