"""P8 and P11: a value that is near at hand, and a tag that is dropped."""

from __future__ import annotations

import asyncio
import functools
import gc
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from benchmarks.lab import Lab
from benchmarks.redis import redis
from benchmarks.results import Goal, Measure, Row
from benchmarks.spread import Spread
from benchmarks.suites import Suite

__all__ = ["SUITE", "dropping", "ours", "peer", "peer_decorated", "peer_dropping"]

HIT = "µs CPU a hit"
DROP = "ms a drop"
VALUE = "x" * 200
TAGGED = 50_000
#: Tags of each key of ours: each is dropped, and the median counts.
DROPS = 5
#: Numbers of keys of which a drop must cost the same.
SIZES, QUICK_SIZES = (100, 10_000, 1_000_000), (100, 10_000, 100_000)

TEXT = f"""\
**P8a.** `await cache.get(key, type=str)` of a value of 200 characters that is near, in a cache on Redis; and redis-py's
client-side cache, `Redis(protocol=3, cache_config=CacheConfig()).get(key)`, which only its synchronous client has. It
refuses servers older than 7.4, so it is told to allow this one: a hit asks no server. Both keep what they hold coherent
with the server. CPU time of the process.

**P8b.** A decorated async function of one argument whose value is near: `@cache.cached(key="report:{{organization}}")`
on Redis, and cashews' decorator with the same template on its fastest backend, `mem://`, since its near cache on Redis
does not work with redis-py 8.1. Hits are counted by both: by Bedplate with the pattern of the key as well.

**P11.** {TAGGED:,} keys with one tag on the same Redis, each written by the contestant's own means, and then the tag is
dropped; wall time of that call alone, which for Bedplate is one round trip: its keys have {DROPS} tags, dropped one
after the other, and the median counts. Afterwards a key is asked for, and must not be there. cashews uses
`delete_tags`. The second row is Bedplate alone: the greatest of the times for {SIZES[0]:,} to {SIZES[-1]:,} keys, in
terms of the least; of each number of keys the fastest drop counts, since a busy machine slows a single one down."""


def run(lab: Lab) -> list[Row]:
    """Measure all rows."""
    with redis(lab.other_core) as server:
        return [*_hits(lab, server.url), *_drops(lab, server.url)]


def _hits(lab: Lab, url: str) -> list[Row]:
    lab.say("P8: a value that is near")
    made_by = {
        "ours": (f"{__name__}:ours", {"url": url, "decorated": False}),
        "peer": (f"{__name__}:peer", {"url": url}),
        "ours_decorated": (f"{__name__}:ours", {"url": url, "decorated": True}),
        "peer_decorated": (f"{__name__}:peer_decorated", {}),
    }
    with lab.contestants(made_by) as contestants:
        lab.interleave(contestants, 1, hits=1_000)
        seconds = lab.interleave(contestants, lab.scale(20, 8), hits=lab.scale(20_000, 10_000))
    spread = {name: Spread.of(value * 1e6 for value in values) for name, values in seconds.items()}
    return [
        Row(
            "P8a",
            "A value near at hand, against redis-py's client-side cache",
            Measure("Bedplate", HIT, spread["ours"]),
            (Measure("redis-py, client-side cache", HIT, spread["peer"]),),
            Goal("ratio", "<=", 1 / 50, "≤ 1/50"),
            spread["ours"].median / spread["peer"].median,
        ),
        Row(
            "P8b",
            "A decorated function whose value is near, against cashews",
            Measure("Bedplate", HIT, spread["ours_decorated"]),
            (Measure("cashews in memory", HIT, spread["peer_decorated"]),),
            Goal("ratio", "<=", 1 / 15, "≤ 1/15"),
            spread["ours_decorated"].median / spread["peer_decorated"].median,
        ),
    ]


def _drops(lab: Lab, url: str) -> list[Row]:
    lab.say("P11: a tag is dropped")
    made_by = {
        "ours": (f"{__name__}:dropping", {"url": url}),
        "peer": (f"{__name__}:peer_dropping", {"url": url}),
    }
    rounds, sizes = lab.scale(3, 1), QUICK_SIZES if lab.quick else SIZES
    with lab.contestants(made_by) as contestants:
        taken = lab.interleave(contestants, rounds, keys=TAGGED)
        times = {keys: contestants["ours"](keys=keys, least=True) * 1e3 for keys in sizes}
    spread = {name: Spread.of(value * 1e3 for value in values) for name, values in taken.items()}
    flat = max(times.values()) / min(times.values())
    said = ", ".join(f"{keys:,} keys {value:.2f} ms" for keys, value in times.items())
    return [
        Row(
            "P11a",
            f"A tag of {TAGGED:,} keys is dropped, against cashews",
            Measure("Bedplate", DROP, spread["ours"]),
            (Measure("cashews on Redis", DROP, spread["peer"]),),
            Goal("ratio", ">=", 1_000, "≥ 1,000 × faster"),
            spread["peer"].median / spread["ours"].median,
        ),
        Row(
            "P11b",
            f"A tag is dropped, of {sizes[0]:,} to {sizes[-1]:,} keys: the slowest in terms of the fastest",
            Measure("Bedplate", "times", Spread(flat, flat, flat, 1)),
            (),
            Goal("ours", "<=", 3, "≤ 3"),
            None,
            (f"{said}.",),
        ),
    ]


def ours(url: str, decorated: bool) -> Callable[..., float]:
    """Make a contestant: Bedplate's cache on Redis."""
    loop, cache = _cache(url)
    if not decorated:
        loop.run_until_complete(cache.set("key", VALUE, type=str))
        return _timed(loop, lambda: cache.get("key", type=str), cache)

    @cache.cached(key="report:{organization}")
    async def report(organization: int) -> str:
        return VALUE

    return _timed(loop, functools.partial(report, 7), cache)


def peer(url: str) -> Callable[..., float]:
    """Make a contestant: redis-py's client-side cache."""
    from redis import Redis
    from redis.cache import CacheConfig
    from redis.connection import CacheProxyConnection

    CacheProxyConnection.MIN_ALLOWED_VERSION = "7.0.0"
    client = Redis.from_url(url, protocol=3, cache_config=CacheConfig(), decode_responses=True)
    client.set("key", VALUE)

    def carry_out(hits: int) -> float:
        client.get("key")
        gc.collect()
        before = time.process_time()
        for _ in range(hits):
            client.get("key")
        return (time.process_time() - before) / hits

    return carry_out


def peer_decorated() -> Callable[..., float]:
    """Make a contestant: cashews' decorator."""
    from cashews import Cache

    cache = Cache()
    cache.setup("mem://")

    @cache(ttl=300, key="report:{organization}")
    async def report(organization: int) -> str:
        return VALUE

    return _timed(uvloop.new_event_loop(), functools.partial(report, 7))


def _timed(
    loop: asyncio.AbstractEventLoop, call: Callable[[], Awaitable[Any]], cache: Any = None
) -> Callable[..., float]:
    """Return what calls and measures. :param cache: ours, which must answer every call from this process."""

    async def all_of(hits: int) -> float:
        # While others had their turn nobody looked after the connection.
        await asyncio.sleep(0.05)
        while cache is not None and not cache.overview()["available"]:  # noqa: ASYNC110 - nothing says so otherwise
            await asyncio.sleep(0.01)
        for _ in range(3):
            if await call() != VALUE:
                raise RuntimeError("there is another value than the one that was cached")
        gc.collect()
        seen = cache.parts.stats.near_hits if cache is not None else 0
        before = time.process_time()
        for _ in range(hits):
            await call()
        taken = time.process_time() - before
        if cache is not None and cache.parts.stats.near_hits - seen != hits:
            raise RuntimeError("not all were hits near at hand")
        return taken / hits

    return lambda hits: loop.run_until_complete(all_of(hits))


def dropping(url: str) -> Callable[..., float]:
    """Make a contestant: Bedplate drops a tag."""
    loop, cache = _cache(url)
    numbers = iter(range(1_000))

    async def drop(keys: int, least: bool = False) -> float:
        name = f"org:{next(numbers)}"
        tags = [f"{name}:{tag}" for tag in range(DROPS)]
        for first in range(0, keys, 1_000):
            values = {f"{name}:{number}": VALUE for number in range(first, min(first + 1_000, keys))}
            await cache.set_many(values, tags=tags, type=str)
        if await cache.get(f"{name}:1", type=str) != VALUE:
            raise RuntimeError("what was written is not there")
        taken = []
        for tag in tags:
            began = time.perf_counter()
            await cache.invalidate(tags=(tag,))
            taken.append(time.perf_counter() - began)
            if await cache.get(f"{name}:1", type=str) is not None:
                raise RuntimeError("what was dropped is there")
        return min(taken) if least else statistics.median(taken)

    loop.run_until_complete(drop(DROPS))
    return lambda keys, least=False: loop.run_until_complete(drop(keys, least))


def peer_dropping(url: str) -> Callable[..., float]:
    """Make a contestant: cashews drops a tag."""
    from cashews import Cache

    cache, loop, numbers = Cache(), uvloop.new_event_loop(), iter(range(1_000))

    async def drop(keys: int) -> float:
        tag = f"org:{next(numbers)}"
        cache.register_tag(tag, f"{tag}:{{number}}")
        for first in range(0, keys, 100):
            chosen = range(first, min(first + 100, keys))
            await asyncio.gather(*(cache.set(f"{tag}:{number}", VALUE, expire=3600, tags=[tag]) for number in chosen))
        if await cache.get(f"{tag}:1") != VALUE:
            raise RuntimeError("what was written is not there")
        began = time.perf_counter()
        await cache.delete_tags(tag)
        taken = time.perf_counter() - began
        if await cache.get(f"{tag}:1") is not None:
            raise RuntimeError("what was dropped is there")
        return taken

    async def begin() -> None:
        cache.setup(url)
        await cache.init()

    loop.run_until_complete(begin())
    return lambda keys: loop.run_until_complete(drop(keys))


def _cache(url: str) -> tuple[asyncio.AbstractEventLoop, Any]:
    from bedplate.service import Service
    from bedplate.settings import Settings, Sources
    from bedplate.state import store
    from bedplate.state.cache import Cache, CacheSettings

    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    # Writing a thousand at once on a busy machine is no outage.
    cache = Cache(store(url, role="cache"), "bench", ttl=3600, settings=CacheSettings(store_timeout=10.0))
    given: dict[str, Any] = {"logs": {"stream": "off"}, "alerts": {"enabled": False}}
    service = Service("bench", None, [cache], settings=Settings(environment="test", _sources=Sources.none(), **given))
    running = service.running()
    loop.run_until_complete(_awaited(running.__aenter__()))
    cache.__dict__["service"] = running  # as long as the cache
    return loop, cache


async def _awaited(what: Awaitable[object]) -> None:
    await what


SUITE = Suite("Cache", ("P8a", "P8b", "P11a", "P11b"), TEXT, run)
