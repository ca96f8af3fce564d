"""Blocking calls in probes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable

__all__ = ["blocking"]


def blocking(call: Callable[[], str | None]) -> Callable[[], Awaitable[str | None]]:
    """Make a probe's check from a function that blocks: ``Probe(name="share", check=blocking(list_share))``.

    Checks run on the event loop, where a blocking call would stall every request. This runs it in a daemon thread of
    its own, not in the loop's pool: a thread that hangs for ever (a dead NFS mount) must use up neither the pool nor
    the end of the process. While one call has not returned, no second one is started.

    :raises TimeoutError: from the check, when the previous call has not returned yet.
    """
    running_since: float | None = None

    async def check() -> str | None:
        nonlocal running_since
        if running_since is not None:
            raise TimeoutError(f"the previous call has not returned for {time.monotonic() - running_since:.0f} s")
        running_since = time.monotonic()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str | None] = loop.create_future()

        def settle(result: str | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        def work() -> None:
            nonlocal running_since
            result: str | None = None
            failure: BaseException | None = None
            try:
                result = call()
            except BaseException as error:
                failure = error
            running_since = None
            try:
                loop.call_soon_threadsafe(settle, result, failure)
            except RuntimeError:  # the loop was closed meanwhile: nobody waits any more
                return

        threading.Thread(target=work, name="bedplate-probe", daemon=True).start()
        return await future

    return check
