"""Time as a dependency: the real clock in a service, a driven one in tests."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

__all__ = ["Clock", "SystemClock", "duration"]


class Clock(Protocol):
    """What Bedplate asks of time; all values are seconds."""

    def time(self) -> float:
        """Return the Unix time; it may jump when the machine's clock is set."""
        ...

    def monotonic(self) -> float:
        """Return a time that never runs backwards; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds`` of this clock have passed."""
        ...


class SystemClock:
    """The machine's clock and the running event loop's timers."""

    __slots__ = ()

    def time(self) -> float:
        """Return :func:`time.time`."""
        return time.time()

    def monotonic(self) -> float:
        """Return :func:`time.monotonic`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep on the running event loop."""
        await asyncio.sleep(seconds)


def duration(seconds: float) -> str:
    """Return a span of time as people say it, in its two greatest units: ``2h 5m``."""
    whole = max(0, round(seconds))
    parts = []
    for name, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count}{name}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0s"
