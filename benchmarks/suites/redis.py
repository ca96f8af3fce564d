"""P7: operations on Redis. P13: a cached call while Redis is killed or hangs."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from benchmarks.lab import Lab
from benchmarks.redis import Server, cpu_of, redis
from benchmarks.results import Goal, Measure, Row
from benchmarks.spread import Spread
from benchmarks.stacks.app import TOKEN
from benchmarks.suites import Suite

__all__ = ["SUITE", "caches", "ours", "peer"]

#: Who asks at once, each for a key of its own.
CALLERS = 50

TEXT = """\
P7: 50 callers of one process ask one Redis on the loopback for a key each, again and again, on uvloop. What counts is
the CPU time of the asking process (P7a) and that of Redis (P7b, by its own account) for each GET. redis-py is its
asyncio client with hiredis and RESP3, and a pool of 50 connections, so that nobody waits for another's reply. Ours is
the component as it runs in a service, with its deadlines, metrics and heartbeat.

P13: a function with `@cached`, called with arguments that no call had before, so that each asks Redis. Redis is killed
(P13a) or stopped with SIGSTOP (P13b): one call finds that out, which takes the cache's soft time-out when Redis hangs.
What counts are the 1,000 calls after it: how long 19 of 20 take at most, and the median. The notes have the first, and
99 of 100."""

_CACHED_CALLS = 1_000
_RUNNING: list[Any] = []


def run(lab: Lab) -> list[Row]:
    """Measure all of it."""
    return [*_operations(lab), *_outages(lab)]


def _operations(lab: Lab) -> list[Row]:
    lab.say("P7: operations on Redis")
    with redis(lab.other_core) as server:
        given = {"url": server.url, "port": server.port}
        with lab.contestants(
            {"ours": (f"{__name__}:ours", given), "redis-py": (f"{__name__}:peer", given)}
        ) as contestants:
            lab.interleave(contestants, 1, calls=5_000)
            found = lab.interleave(contestants, lab.scale(11, 5), calls=lab.scale(50_000, 20_000))
    rows = []
    for place, (row, what, goal, text) in enumerate(
        (("P7a", "client", 1 / 10, "≤ 1/10"), ("P7b", "Redis's own", 1 / 8, "≤ 1/8"))
    ):
        unit = "µs CPU a GET"
        spread = {name: Spread.of(pair[place] * 1e6 for pair in pairs) for name, pairs in found.items()}
        mine, theirs = (
            Measure(name, unit, spread[key]) for name, key in (("Bedplate", "ours"), ("redis-py", "redis-py"))
        )
        title = f"Redis GET, 50 callers: {what} CPU"
        rows.append(Row(row, title, mine, (theirs,), Goal("ratio", "<=", goal, text), mine.value / theirs.value))
    return rows


def _outages(lab: Lab) -> list[Row]:
    lab.say("P13: a cached call while Redis is away")
    killed: list[float] = []
    hung: list[float] = []
    rare: list[float] = []
    finders: dict[str, list[float]] = {"killed": [], "hung": []}
    for _ in range(lab.scale(5, 3)):
        with redis(lab.other_core) as server:
            found, seconds = _outage(lab, server, server.kill)
            finders["killed"].append(found)
            killed.append(sorted(seconds)[-len(seconds) // 20])
            rare.append(sorted(seconds)[-len(seconds) // 100])
        with redis(lab.other_core) as server:
            found, seconds = _outage(lab, server, server.hang)
            finders["hung"].append(found)
            hung.append(sorted(seconds)[len(seconds) // 2])
    notes = {
        how: f"The call that found Redis {how} took {Spread.of(value * 1e3 for value in values).median:.1f} ms."
        for how, values in finders.items()
    }
    return [
        Row(
            "P13a",
            "Redis killed: a cached call",
            Measure("Bedplate", "ms a call, 95th percentile", Spread.of(value * 1e3 for value in killed)),
            (),
            Goal("ours", "<=", 1.0, "≤ 1 ms"),
            notes=(
                notes["killed"],
                f"99 of 100 took at most {Spread.of(value * 1e3 for value in rare).median:.2g} ms.",
            ),
        ),
        Row(
            "P13b",
            "Redis hung: a cached call after the first",
            Measure("Bedplate", "µs a call, median", Spread.of(value * 1e6 for value in hung)),
            (),
            Goal("ours", "<=", 50.0, "≤ 50 µs"),
            notes=(notes["hung"],),
        ),
    ]


def _outage(lab: Lab, server: Server, harm: Callable[[], None]) -> tuple[float, list[float]]:
    with lab.contestants({"ours": (f"{__name__}:caches", {"url": server.url})}) as contestants:
        contestants["ours"](calls=200)
        harm()
        (found,) = contestants["ours"](calls=1)
        return found, contestants["ours"](calls=_CACHED_CALLS)


def ours(url: str, port: int) -> Callable[..., tuple[float, float]]:
    """Make a contestant: Bedplate's connection."""
    from bedplate.state.redis import Redis
    from bedplate.state.store import Operation

    get = Operation(name="get", command=("GET",), memory=lambda space, keys, args: None, reads=True)
    store = Redis(url)
    loop = _loop()
    loop.run_until_complete(_started([store]))
    return _timed(loop, port, lambda key: store.run(get, (key,)))


def peer(url: str, port: int) -> Callable[..., tuple[float, float]]:
    """Make a contestant: redis-py."""
    from redis.asyncio import BlockingConnectionPool, Redis

    loop = _loop()

    async def made() -> Redis:
        pool = BlockingConnectionPool.from_url(url, protocol=3, max_connections=CALLERS)
        return Redis(connection_pool=pool)

    client = loop.run_until_complete(made())
    return _timed(loop, port, client.get)


def caches(url: str) -> Callable[..., list[float]]:
    """Make a contestant: a cached function."""
    from bedplate.state.cache import Cache
    from bedplate.state.redis import Redis

    cache = Cache(Redis(url, role="cache"))

    @cache.cached(ttl=60)
    async def value(number: int) -> int:
        return number

    loop = _loop()
    loop.run_until_complete(_started([cache]))
    number = 0

    async def call(calls: int) -> list[float]:
        nonlocal number
        seconds = []
        for _ in range(calls):
            number += 1
            begun = time.perf_counter()
            got = await value(number)
            seconds.append(time.perf_counter() - begun)
            if got != number:
                raise RuntimeError(f"the cache answered {got} instead of {number}")
        return seconds

    return lambda calls: loop.run_until_complete(call(calls))


async def _started(components: list[Any]) -> None:
    from bedplate.service import Service
    from bedplate.settings import Settings, Sources

    settings = Settings(
        environment="production",
        _sources=Sources.none(),
        logs={"stream": "off"},
        auth={"tokens": f"bench:admin:{TOKEN}"},
        alerts={"enabled": False},
    )
    service = Service("bench", None, components, settings=settings)
    run = service.running()
    await run.__aenter__()
    _RUNNING.append(run)  # it ends with the process


def _loop() -> asyncio.AbstractEventLoop:
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


def _timed(
    loop: asyncio.AbstractEventLoop, port: int, get: Callable[[str], Awaitable[Any]]
) -> Callable[..., tuple[float, float]]:
    async def ask(calls: int) -> None:
        async def caller(number: int) -> None:
            key = f"key:{number}"
            for _ in range(calls // CALLERS):
                await get(key)

        await asyncio.gather(*(caller(number) for number in range(CALLERS)))

    def carry_out(calls: int) -> tuple[float, float]:
        gc.collect()
        theirs, mine = cpu_of(port), time.process_time()
        loop.run_until_complete(ask(calls))
        mine = time.process_time() - mine
        return mine / calls, (cpu_of(port) - theirs) / calls

    return carry_out


SUITE = Suite("Redis", ("P7a", "P7b", "P13a", "P13b"), TEXT, run)
