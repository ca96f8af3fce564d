"""Who waits for the end of a session, and is woken when there may be one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Endings"]


class Endings:
    """Those who keep something open for a session, by user."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}

    @contextmanager
    def of(self, tag: str) -> Iterator[asyncio.Event]:
        """Yield what is set whenever a session of the user may have ended."""
        woken = asyncio.Event()
        events = self._waiting.setdefault(tag, set())
        events.add(woken)
        try:
            yield woken
        finally:
            events.discard(woken)
            if not events and self._waiting.get(tag) is events:
                del self._waiting[tag]

    def wake(self, tag: str) -> None:
        """Wake who waits for sessions of a user."""
        for woken in self._waiting.get(tag, ()):
            woken.set()

    def wake_all(self) -> None:
        """Wake everybody."""
        for events in self._waiting.values():
            for woken in events:
                woken.set()
