"""A cache while it runs: its places, its computations, its tasks, and what is said of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from bedplate.state.cache.entries import Entry
from bedplate.state.cache.flights import Flights
from bedplate.state.cache.intents import Intents
from bedplate.state.cache.meters import Meters
from bedplate.state.cache.shelf import Shelf
from bedplate.state.cache.stats import Stats
from bedplate.state.cache.waiting import within
from bedplate.state.store import Store

if TYPE_CHECKING:
    from bedplate.component import Host
    from bedplate.state.cache.settings import CacheSettings

__all__ = ["Running"]

#: Seconds between two looks at counts that become metrics, and at what other processes of the host want.
TICK = 1.0


class Running:
    """See :class:`~bedplate.state.cache.component.Cache`, whose lifespan this is."""

    def __init__(
        self, store: Store, settings: CacheSettings, host: Host, name: str, meters: Meters, stats: Stats
    ) -> None:
        self.host = host
        self.meters = meters
        self.name = name
        self.stats = stats
        self.shelf = Shelf(store, settings, host, name, reached=self._reached)
        self.flights = Flights(self.shelf, host, meters.computed)
        self.intents = Intents(host.directory / f"cache-{name}.jsonl")
        self._end: Callable[[], None] = _nothing
        self.reason = ""

    async def __aenter__(self) -> Self:
        self.meters.begin()
        self._end = self.shelf.begin(self.meters.timed)
        self.host.spawn("reach", self.shelf.keep)
        self.host.spawn("tend", self.flights.tend)
        self.host.spawn("count", self._count)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self.meters.end()
        await self.flights.end()

    async def within(self, seconds: float, task: asyncio.Future[Any] | Awaitable[Any]) -> bool:
        """Wait for a computation, at most so long; return whether it has ended."""
        return await within(self.host.clock, seconds, task)

    def postpone(self, entry: Entry, seconds: float) -> None:
        """Serve an old value as if it were fresh for a while."""
        near = self.shelf.near
        entry.fresh = min(entry.dead, near.now() + seconds)
        entry.generation = near.generation

    async def carry_out(self, what: str, name: str = "") -> None:
        """Do what somebody pressed a button for, in this process: ``tag``, ``pattern``, ``key`` or ``reset``."""
        if what == "reset":
            self.meters.reset()
            return
        given = {"keys": (name,) if what == "key" else (), "tags": (name,) if what == "tag" else ()}
        done = await self.shelf.drop(**given, pattern=name if what == "pattern" else "")
        self.meters.invalidated(what == "key", what == "tag", name if what == "pattern" else "", done=done)

    async def wanted(self, what: str, name: str = "") -> bool:
        """Do it here, and in all processes of the host when each has something of its own to do.

        :returns: whether everybody has done it, and not only this process so far.
        """
        alone = self.host.alone
        if what == "reset" or not self.shelf.store.shared:
            self.intents.write(what, name)
        await self.carry_out(what, name)
        return alone or (self.shelf.store.shared and what != "reset")

    async def _count(self) -> None:
        while True:
            for what, name in self.intents.read():
                await self.carry_out(what, name)
            self.meters.show(self.shelf)
            await self.host.clock.sleep(TICK)

    def _reached(self, why: str | None) -> None:
        if why is None:
            self.reason = ""
            self.host.log.info("cache_store_back", cache=self.name)
            self.host.degraded(None)
        else:
            self.reason = (
                f"The store {self.shelf.store.spec.label} is away: {why.rstrip('.')}. Values come from memory."
            )
            self.host.log.warning("cache_store_away", cache=self.name, reason=why)
            self.host.degraded(self.reason)
        self.meters.online(why is None)

    def overview(self) -> Mapping[str, Any]:
        """Return how it fares, in this process, without I/O."""
        hits, misses = self.stats.window()
        total = hits + misses
        return {
            "store": self.shelf.store.spec.label,
            "available": self.shelf.online,
            "reason": self.reason,
            "hitRate": round(hits / total, 4) if total else None,
            "recentOperations": total,
            "memoryEntries": len(self.shelf.near),
            "memoryBytes": self.shelf.near.size,
            "waitingInvalidations": len(self.shelf.remembered),
            "computing": len(self.flights),
        }


def _nothing() -> None:
    return None
