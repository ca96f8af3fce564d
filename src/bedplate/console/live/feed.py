"""A shared buffer of the latest version of every part that somebody looks at.

A part is made once for all who look, and only while somebody does. What each tab costs is copying the bytes.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

__all__ = ["Feed", "Key", "Watcher"]

#: Where links of a part lead, and which part it is.
Key = tuple[str, str]
#: Makes a part: what a tab gets of it, or None when there is no such part.
Make = Callable[[Key], Awaitable[Mapping[str, Any] | None]]


@dataclass(slots=True)
class _Part:
    number: int
    content: bytes
    event: bytes


@dataclass(slots=True, eq=False)
class Watcher:
    """One tab: which parts it shows, and up to which number it has been told."""

    keys: tuple[Key, ...]
    told: int
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Feed:
    """Makes parts again and again, and wakes those who look when one has changed.

    :param make: makes one part. :param limit: tabs at most. :param ending: whether everybody should go home.
    """

    def __init__(self, make: Make, *, limit: int, ending: Callable[[], bool]) -> None:
        self._make = make
        self._limit = limit
        self._ending = ending
        self._parts: dict[Key, _Part] = {}
        self._number = 0
        self._watchers: set[Watcher] = set()
        self._new = asyncio.Event()
        #: Another one after every start: numbers of an earlier life mean nothing.
        self.epoch = secrets.token_hex(4)

    @property
    def watchers(self) -> int:
        """How many tabs look."""
        return len(self._watchers)

    @property
    def is_full(self) -> bool:
        """Whether nobody more can look."""
        return len(self._watchers) >= self._limit

    def place(self, last_id: str) -> int:
        """Return the number up to which a tab has been told, by the id of the last event that it got."""
        epoch, _, number = last_id.partition("-")
        return int(number) if epoch == self.epoch and number.isdigit() else 0

    @contextmanager
    def watching(self, keys: Iterable[Key], told: int = 0) -> Any:
        """Look at parts while inside."""
        watcher = Watcher(tuple(dict.fromkeys(keys)), told)
        self._watchers.add(watcher)
        self._new.set()
        try:
            yield watcher
        finally:
            self.leave(watcher)
            wanted = {key for one in self._watchers for key in one.keys}
            for key in watcher.keys:
                if key not in wanted:
                    self._parts.pop(key, None)

    def leave(self, watcher: Watcher) -> None:
        """Count a tab no longer."""
        self._watchers.discard(watcher)

    async def events(self, watcher: Watcher, beat: float = 15.0) -> AsyncIterator[bytes]:
        """Yield what is new for a tab as server-sent events, and a comment when nothing is, until the service ends."""
        yield b"retry: 2000\n\n"
        while not self._ending():
            watcher.news.clear()
            fresh = [part for key in watcher.keys if (part := self._parts.get(key)) and part.number > watcher.told]
            if fresh:
                watcher.told = max(part.number for part in fresh)
                yield b"".join(part.event for part in sorted(fresh, key=lambda part: part.number))
                continue
            try:
                async with asyncio.timeout(beat):
                    await watcher.news.wait()
            except TimeoutError:
                yield b":\n\n"

    async def run(self, sleep: Callable[[float], Awaitable[None]], interval: float) -> None:
        """Make what is looked at, again and again."""
        while True:
            await self.refresh()
            waiting = asyncio.ensure_future(sleep(interval))
            new = asyncio.ensure_future(self._new.wait())
            try:
                await asyncio.wait({waiting, new}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
                new.cancel()
                await asyncio.wait({waiting, new})  # awaiting one would not tell its cancellation from ours

    async def refresh(self) -> None:
        """Make every part that somebody looks at, once, and tell of those that changed."""
        self._new.clear()
        wanted = {key for watcher in self._watchers for key in watcher.keys}
        changed: set[Key] = set()
        for key in wanted:
            made = await self._make(key)
            await asyncio.sleep(0)
            if made is None:
                continue
            content = orjson.dumps({"topic": key[1], **made}, option=orjson.OPT_SERIALIZE_NUMPY)
            known = self._parts.get(key)
            if known is None or known.content != content:
                self._number += 1
                event = b"id: %s-%d\nevent: part\ndata: %s\n\n" % (self.epoch.encode(), self._number, content)
                self._parts[key] = _Part(self._number, content, event)
                changed.add(key)
        for watcher in self._watchers:
            if not changed.isdisjoint(watcher.keys) or self._ending():
                watcher.news.set()

    def wake(self) -> None:
        """Let everybody look whether the service ends."""
        for watcher in self._watchers:
            watcher.news.set()
