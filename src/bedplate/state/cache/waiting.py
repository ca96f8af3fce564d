"""Waiting for one of several things, on a clock that a test may drive."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from bedplate.clock import Clock

__all__ = ["within"]


async def within(clock: Clock, seconds: float, what: asyncio.Future[Any] | Awaitable[Any]) -> bool:
    """Wait for something, at most so long; return whether it came.

    A future is left as it is when the time is over; anything else is cancelled.
    """
    owned = not isinstance(what, asyncio.Future)
    future: asyncio.Future[Any] = asyncio.ensure_future(what)
    if future.done():
        return True
    alarm = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((future, alarm), return_when=asyncio.FIRST_COMPLETED)
        return future.done()
    finally:
        alarm.cancel()
        if owned and not future.done():
            future.cancel()
