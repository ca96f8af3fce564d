"""Work that blocks, in a thread of its own, for an event loop that must not wait for it when it ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

__all__ = ["in_thread"]

T = TypeVar("T")

#: Seconds between two orders to stop, and that a thread gets to follow them.
_AGAIN, _MOMENT = 0.3, 5.0


async def in_thread(work: Callable[[], T], stop: Callable[[], object], name: str) -> T:
    """Run ``work`` in a daemon thread and return what it returns; when cancelled, stop it and wait until it has ended.

    :param stop: told until the thread ends, in another thread: it may block, and may come before a statement begins.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    ended = threading.Event()

    def finish(settle: Callable[[Any], None], value: Any) -> None:
        if not done.done():
            settle(value)

    def main() -> None:
        settle: Callable[[Any], None]
        result: Any
        try:
            result = work()
            settle = done.set_result
        except BaseException as error:
            settle, result = done.set_exception, error
        ended.set()
        with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            loop.call_soon_threadsafe(finish, settle, result)

    def keep_stopping() -> None:
        while not ended.is_set():
            stop()
            ended.wait(_AGAIN)

    threading.Thread(target=main, name=name, daemon=True).start()
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        threading.Thread(target=keep_stopping, name=f"stop {name}", daemon=True).start()
        await asyncio.wait([done], timeout=_MOMENT)
        if done.done() and not done.cancelled():
            done.exception()
        raise
