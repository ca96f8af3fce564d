"""SIGHUP as a request to reload, shared with whoever else listens to it."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["on_hangup"]


@contextmanager
def on_hangup(callback: Callable[[], None]) -> Iterator[None]:
    """Call ``callback`` on the running loop at SIGHUP, after whatever handler was there before.

    A no-op outside the main thread, where Python sets no handlers, and where there is no such signal.
    """
    number = getattr(signal, "SIGHUP", None)
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = signal.getsignal(number)
    active = True

    def handle(received: int, frame: FrameType | None) -> None:
        if active:
            loop.call_soon_threadsafe(callback)
        if callable(before):
            before(received, frame)

    signal.signal(number, handle)
    try:
        yield
    finally:
        active = False
        # Somebody who came later may have put a handler on top of ours; theirs still calls ours, which does nothing.
        if signal.getsignal(number) is handle:
            signal.signal(number, before if before is not None else signal.SIG_DFL)
