"""The end of a process, for which a thread that hangs must not matter.

Python waits for its threads, and a call that blocks cannot be cancelled: a driver that waits for a dead host would keep
a process that serves nobody, and that nobody replaces because it lives.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bedplate.service.settings import ServiceSettings

__all__ = ["end_soon", "loop_threads", "time_to_stop"]

_logger = logging.getLogger("bedplate.service")

_PREFIX = "bedplate-loop"

#: Seconds in which the interpreter ends once everything has stopped.
_MOMENT = 5.0

#: Seconds that the last words may take to be written.
_LAST_WORDS = 1.0


def time_to_stop(settings: ServiceSettings) -> float:
    """Return the seconds after which a process that was told to stop hangs, and is killed."""
    # Requests, then components; both are given a moment more, in which what hangs is named.
    return settings.drain + 2 * settings.stop_timeout + 2.5


@asynccontextmanager
async def loop_threads(patience: Callable[[], float]) -> AsyncIterator[None]:
    """Give the running loop its threads; at the end, wait for what they do, and leave behind what hangs.

    :param patience: returns how many seconds are waited.
    """
    loop = asyncio.get_running_loop()
    executor = ThreadPoolExecutor(thread_name_prefix=_PREFIX)
    loop.set_default_executor(executor)
    try:
        yield
    finally:
        executor.shutdown(wait=False)
        # The loop waits for its executor without end; for this one it need not.
        loop.set_default_executor(ThreadPoolExecutor())
        for _ in range(1 + int(patience() / 0.02)):
            await asyncio.sleep(0.02)
            if not (hanging := _alive()):
                break
        else:
            _logger.error("Threads that hang in calls which do not return are left behind: %d", len(hanging))


def end_soon(status: int) -> int:
    """Return the exit status, with which the process ends in a moment even when threads keep the interpreter."""

    def wait() -> None:
        time.sleep(_MOMENT)
        # What hangs may hold the lock of a log handler or of a stream.
        writing = threading.Thread(target=_write_out, name="last words", daemon=True)
        writing.start()
        writing.join(_LAST_WORDS)
        os._exit(status)

    threading.Thread(target=wait, name="end", daemon=True).start()
    return status


def _write_out() -> None:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()


def _alive() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(f"{_PREFIX}_")]
