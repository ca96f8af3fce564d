"""A cache while it runs: its places, its computations, its tasks, and what is said of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from bedplate.state.cache.entries import Entry
from bedplate.state.cache.errors import CacheTimeoutError
from bedplate.state.cache.flights import Flights
from bedplate.state.cache.intents import Intents
from bedplate.state.cache.meters import Meters
from bedplate.state.cache.shelf import Shelf
from bedplate.state.cache.stats import Stats
from bedplate.state.cache.waiting import within
from bedplate.state.reach import Reach
from bedplate.state.store import Store

if TYPE_CHECKING:
    from bedplate.component import Host, Spec
    from bedplate.state.cache.flights import Make, Result
    from bedplate.state.cache.plan import Plan
    from bedplate.state.cache.settings import CacheSettings
    from bedplate.state.cache.stats import PatternStats

__all__ = ["Running"]

#: Seconds between two looks at counts that become metrics, and at what other processes of the host want.
TICK = 1.0


class Running:
    """See :class:`~bedplate.state.cache.component.Cache`, whose lifespan this is."""

    def __init__(
        self, store: Store, settings: CacheSettings, host: Host, spec: Spec, meters: Meters, stats: Stats
    ) -> None:
        self.host = host
        self.meters = meters
        self.name = name = spec.name
        self._reach = Reach(host, spec)
        self.stats = stats
        self.shelf = Shelf(store, settings, host, name, reached=self._reached)
        self.flights = Flights(self.shelf, host, meters.computed)
        self.intents = Intents(host.directory / f"cache-{name}.jsonl")
        self._end: Callable[[], None] = _nothing
        self.reason = ""

    async def __aenter__(self) -> Self:
        self.meters.begin()
        self._reach.show(True)
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

    async def load(self, key: str, plan: Plan, make: Make, tags: Sequence[str], stats: PatternStats) -> Any:
        """Return a value that was not a plain hit near: of the store, an old one, or a new one."""
        shelf, counts = self.shelf, self.stats
        entry, ident, near = await shelf.look(key, stats)
        now = shelf.near.now()
        if entry is not None:
            try:
                value = entry.read(plan.codec)
            except ValueError:
                entry = None  # written by another version of the code
        if entry is not None and now < entry.fresh:
            (counts.near if near else counts.store)(stats)
            return value
        flight = self.flights.joinable(key)
        if flight is not None and self.flights.is_own(key):
            stats.bypass += 1
            return await make()
        joined = flight is not None
        task = flight.task if flight is not None else None
        if task is None:
            task = self.flights.start(key, plan, make, tags, ident, stats)
        if entry is not None and now < entry.ends + plan.stale:
            counts.stale(stats)
            return value
        if entry is not None and plan.keep and now < entry.ends + plan.keep:
            if await self._comes(task, plan, entry):
                counts.miss(stats)
                return _value_of(task, joined, plan)
            counts.stale(stats)
            return value
        counts.miss(stats)
        if plan.hard_timeout is None:
            await asyncio.wait((task,))
        elif not await within(self.host.clock, plan.hard_timeout, task):
            self.meters.computed("late")
            what = f"The value was not there within {plan.hard_timeout:g} s."
            raise CacheTimeoutError(what, "It is still being computed; ask again.")
        return _value_of(task, joined, plan)

    async def _comes(self, task: asyncio.Task[Result], plan: Plan, entry: Entry) -> bool:
        """Return whether a new value comes soon, and is no failure; else the old entry serves."""
        if not await within(self.host.clock, plan.soft_timeout, task):
            self.meters.computed("late")
            return False
        if not task.cancelled() and task.exception() is None:
            return True
        # Not every request tries what has just failed.
        self.postpone(entry, plan.retry)
        return False

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
        else:
            self.reason = f"The store {self.shelf.store.spec.label} is away: {why}"
            self.host.log.warning("cache_store_away", cache=self.name, reason=why)
        self._reach.show(why is None, why or "")

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


def _value_of(task: asyncio.Task[Result], joined: bool, plan: Plan) -> Any:
    if task.cancelled():
        raise CacheTimeoutError("Computing the value took far too long and was ended.", "See `give_up` of the cache.")
    value, text = task.result()
    # Whoever joined gets an object of their own, unless nobody can change it.
    return value if not joined or text is None or plan.codec.shared else plan.codec.decode(text)


def _nothing() -> None:
    return None
