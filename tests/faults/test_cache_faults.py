"""Caches while their Redis is killed, hangs, is full, forgets all, and while their network is cut and parted.

Nobody gets an error. Whoever drops something never reads what was there before, whatever happens meanwhile. When all is
well again, all instances agree with the source, by themselves; and while all is well nobody reads for long what others
have dropped.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import pytest

from bedplate.service import Service
from bedplate.state.cache import Cache, CacheSettings
from bedplate.state.redis import Redis, RedisSettings
from bedplate.testing import running, settings
from tests.endurance import dice, size, tell
from tests.proxy import Proxy, proxy
from tests.redis import Server, server
from tests.stores import RealClock

KEYS = tuple("abcdefgh")
PATIENCE = 60.0
#: Seconds after a drop in which another instance may not have heard of it, when all is well; the machine is busy.
TOLD = 2.0

QUICK = RedisSettings(quiet=0.3, patience=0.6, backoff_limit=0.2, connect_timeout=0.5)
SOON = CacheSettings(ttl=60, store_timeout=0.3, lease=0.6, away_ttl=0.5, remembered=200)


class Load:
    """A source that changes, and those who ask and drop."""

    def __init__(self, caches: list[Cache], thrown: Random) -> None:
        self.caches = caches
        self.thrown = thrown
        self.source = dict.fromkeys(KEYS, 0)
        #: The version that was dropped last, and when that was acknowledged.
        self.due = dict.fromkeys(KEYS, (0, 0.0))
        self.own = [dict.fromkeys(KEYS, 0) for _ in caches]
        self.seen: Counter[str] = Counter()
        self.well_since: float | None = None
        self.stopping = False
        self._ask = [self._function(cache) for cache in caches]

    def _function(self, cache: Cache) -> Any:
        @cache.cached(key="{name}", tags=("tag:{name}",))
        async def value(name: str) -> int:
            found = self.source[name]
            if self.thrown.random() < 0.3:
                await asyncio.sleep(self.thrown.uniform(0, 0.02))
            self.seen["computed"] += 1
            return found

        return value

    async def read(self, number: int) -> None:
        while not self.stopping:
            for _ in range(10):
                await self._read(number, self.thrown.choice(KEYS))
            await asyncio.sleep(0.001)

    async def _read(self, number: int, name: str) -> None:
        least, (due, told), began = self.own[number][name], self.due[name], time.monotonic()
        well = self.well_since
        found = await self._ask[number](name)
        self.seen["read"] += 1
        assert found >= least, f"{name} on {number}: {found} after {least} was dropped by itself"
        if found < due:
            self.seen["old for others"] += 1
            if well is not None and self.well_since == well:
                assert began - max(told, well) < TOLD, f"{name} on {number}: {found}, though {due} was dropped long ago"

    async def write(self) -> None:
        while not self.stopping:
            number, name = self.thrown.randrange(len(self.caches)), self.thrown.choice(KEYS)
            self.source[name] += 1
            version = self.source[name]
            drop: dict[str, Any] = self.thrown.choice(
                [{"tags": (f"tag:{name}",)}, {"keys": (name,)}, {"pattern": f"{name}*"}]
            )
            await self.caches[number].invalidate(**drop)
            self.own[number][name] = max(self.own[number][name], version)
            self.due[name] = max(self.due[name], (version, time.monotonic()))
            self.seen["dropped"] += 1
            await asyncio.sleep(self.thrown.uniform(0.001, 0.02))

    async def agree(self) -> None:
        """Return when all caches rely on the store and have what the source has."""
        await _until(lambda: all(cache.overview()["available"] for cache in self.caches), "the store is relied upon")

        def same(found: list[int]) -> bool:
            return found == list(self.source.values())

        async def all_same() -> bool:
            return all([same([await ask(name) for name in KEYS]) for ask in self._ask])

        await _until(all_same, "all have what the source has")


async def _until(condition: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert time.monotonic() < end, f"{what}: not within {PATIENCE:g} s"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def instance(url: str) -> AsyncIterator[Cache]:
    shared = Redis(url, role="cache", settings=QUICK)
    cache = Cache(shared, "reports", settings=SOON)
    async with running(Service("shop", None, [shared, cache], settings=settings()), clock=RealClock()):
        yield cache


async def harm(redis: Server, ways: list[Proxy], thrown: Random, rounds: int, load: Load) -> None:
    """Do what can happen, one after the other, with a while in which all is well after each."""
    wait: Callable[[float, float], Any] = lambda least, most: asyncio.sleep(thrown.uniform(least, most))  # noqa: E731
    kinds = ["kill", "hang", "full", "forget", "cut", "cut within a reply", "part", "disconnect"]
    for round_ in range(rounds):
        kind = kinds[round_ % len(kinds)] if rounds <= len(kinds) else thrown.choice(kinds)
        load.well_since = None
        load.seen[kind] += 1
        way = thrown.choice(ways)
        if kind == "kill":
            redis.kill()
            await wait(0.1, 0.8)
            await asyncio.to_thread(redis.start)
        elif kind == "hang":
            redis.pause()
            await wait(0.2, 1.2)
            redis.resume()
        elif kind == "full":
            redis.fill()
            await wait(0.2, 0.6)
            redis.empty()
        elif kind == "forget":
            redis.flush()
        elif kind == "cut":
            way.cut()
        elif kind == "cut within a reply":
            way.cut_after(thrown.randrange(1, 400))
        elif kind == "part":
            way.partition()
            await wait(0.3, 1.5)
            way.heal()
        else:
            redis.disconnect_clients()
        # What was under way when it happened is over, and whoever noticed has found the way back.
        await _until(lambda: all(cache.overview()["available"] for cache in load.caches), f"back after {kind}")
        load.well_since = time.monotonic() + 2 * (QUICK.quiet + QUICK.patience)
        await wait(0.5, 1.0)


@pytest.mark.timeout(3_000)
async def test_nobody_gets_an_error_and_nobody_what_he_has_dropped() -> None:
    thrown = dice()
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(server("redis7", ["maxmemory-policy noeviction"]))
        ways = [await stack.enter_async_context(proxy(redis.port)) for _ in range(2)]
        caches = [await stack.enter_async_context(instance(way.url)) for way in ways]
        load = Load(caches, thrown)
        await load.agree()
        async with asyncio.TaskGroup() as group:
            for number in range(2):
                group.create_task(load.read(number))
            for _ in range(2):
                group.create_task(load.write())
            await harm(redis, ways, thrown, size(8, 80), load)
            load.stopping = True
        await load.agree()
        tell("caches beside a Redis that is harmed", stale=0, **load.seen)
        assert load.seen["read"] > 1_000 and load.seen["dropped"] > 100
        near = sum(cache.parts.stats.totals()["near"] for cache in caches)
        assert near > load.seen["read"] / 10, "hardly anything was near: this shows nothing"
