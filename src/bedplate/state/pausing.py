"""Waiting for an event, or for a time of a clock, whichever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from bedplate.clock import Clock

__all__ = ["pause"]


async def pause(clock: Clock, seconds: float | None, until: asyncio.Event) -> None:
    """Return once ``seconds`` of the clock have passed, or the event is set; None waits for the event alone."""
    if until.is_set():
        return
    waits: list[Coroutine[Any, Any, Any]] = [until.wait()]
    if seconds is not None:
        waits.append(clock.sleep(seconds))
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
