"""Blocking calls with a deadline, kept off the event loop and out of the way of the process' end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["StuckError", "Worker"]

T = TypeVar("T")


class StuckError(TimeoutError):
    """The call did not return in time, or the one before it has not returned yet."""


class Worker(Generic[T]):
    """Makes one blocking call at a time in a daemon thread.

    A call that hangs for ever uses up neither the loop's pool nor the end of the process, and no second one is started
    beside it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._busy = False

    async def call(self, function: Callable[[], T], timeout: float) -> T:
        """Return what ``function`` returns.

        :param timeout: real seconds. :raises StuckError: when it takes longer, or the last call still runs.
        """
        if self._busy:
            raise StuckError("the call before it has not returned yet")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        def work() -> None:
            result, failure = None, None
            try:
                result = function()
            except BaseException as error:
                failure = error
            self._busy = False
            try:
                loop.call_soon_threadsafe(settle, result, failure)
            except RuntimeError:  # the loop was closed meanwhile: nobody waits any more
                return

        self._busy = True
        threading.Thread(target=work, name=f"bedplate-{self._name}", daemon=True).start()
        done, _ = await asyncio.wait([future], timeout=timeout)
        if not done:
            future.cancel()
            raise StuckError(f"no answer within {timeout:g} s")
        return future.result()
