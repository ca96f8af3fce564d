"""P10: a lock that is taken and given back, and one that goes from hand to hand."""

from __future__ import annotations

import asyncio
import gc
import math
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import uvloop

from benchmarks.lab import Lab
from benchmarks.redis import redis
from benchmarks.results import Goal, Measure, Row
from benchmarks.spread import Spread
from benchmarks.stacks.app import TOKEN
from benchmarks.suites import Suite

__all__ = ["SUITE", "ours", "peer"]

#: Who takes locks at once, each one of its own; and who waits for one lock.
CALLERS = 50
WAITERS = 20
TTL = 10.0

TEXT = """\
P10a: 50 callers of one process take a lock each and give it back, again and again, `async with`, on uvloop and one
Redis on the loopback. What counts is the CPU time of the asking process for both. redis-py's is its asyncio `Lock` with
a time-out of ten seconds, on its client with hiredis and RESP3 and a pool of 50 connections. It has no fence, renews
nothing and is not counted; ours has, does and is, as it comes in a service.

P10b: 21 tasks of one process want the same lock; each has it for a turn of the loop. What counts is the time from when
one begins to give it back until the next is inside, the median of all. redis-py asks ten times a second, which is its
default."""

Hold = Callable[[str], AbstractAsyncContextManager[Any]]

_RUNNING: list[Any] = []


def run(lab: Lab) -> list[Row]:
    """Measure both."""
    lab.say("P10: locks")
    with redis(lab.other_core) as server:
        given = {"url": server.url}
        with lab.contestants(
            {"ours": (f"{__name__}:ours", given), "redis-py": (f"{__name__}:peer", given)}
        ) as contestants:
            lab.interleave(contestants, 1, pairs=2_000)
            pairs = lab.interleave(contestants, lab.scale(11, 5), pairs=lab.scale(10_000, 4_000))
            turns = lab.interleave(contestants, lab.scale(5, 2), turns=lab.scale(2, 1))
    return [
        _row("P10a", "Lock taken and given back: client CPU", "µs CPU", pairs, 1e6, 1 / 10, "≤ 1/10"),
        _row("P10b", f"Lock handed over, {WAITERS} wait", "ms", turns, 1e3, 1 / 300, "≤ 1/300"),
    ]


def _row(id: str, what: str, unit: str, found: dict[str, list[float]], scale: float, goal: float, text: str) -> Row:
    mine, theirs = (
        Measure(name, unit, Spread.of(value * scale for value in found[key]))
        for name, key in (("Bedplate", "ours"), ("redis-py", "redis-py"))
    )
    return Row(id, what, mine, (theirs,), Goal("ratio", "<=", goal, text), mine.value / theirs.value)


def ours(url: str) -> Callable[..., float]:
    """Make a contestant: Bedplate's locks."""
    from bedplate.state.locks import Locks
    from bedplate.state.redis import Redis

    locks = Locks(Redis(url))
    loop = _loop()
    loop.run_until_complete(_started(locks))
    return _timed(loop, lambda name: locks.hold(name, ttl=TTL, wait=math.inf))


def peer(url: str) -> Callable[..., float]:
    """Make a contestant: redis-py's lock."""
    from redis.asyncio import BlockingConnectionPool, Redis

    loop = _loop()

    async def made() -> Redis:
        pool = BlockingConnectionPool.from_url(url, protocol=3, max_connections=CALLERS)
        return Redis(connection_pool=pool)

    client = loop.run_until_complete(made())
    return _timed(loop, lambda name: client.lock(name, timeout=TTL))


async def _started(component: Any) -> None:
    from bedplate.service import Service
    from bedplate.settings import Settings, Sources

    settings = Settings(
        environment="production",
        _sources=Sources.none(),
        logs={"stream": "off"},
        auth={"tokens": f"bench:admin:{TOKEN}"},
        alerts={"enabled": False},
    )
    run = Service("bench", None, [component], settings=settings).running()
    await run.__aenter__()
    _RUNNING.append(run)  # it ends with the process


def _loop() -> asyncio.AbstractEventLoop:
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


def _timed(loop: asyncio.AbstractEventLoop, hold: Hold) -> Callable[..., float]:
    async def each_its_own(pairs: int) -> None:
        async def caller(number: int) -> None:
            name = f"lock:{number}"
            for _ in range(pairs // CALLERS):
                async with hold(name):
                    pass

        await asyncio.gather(*(caller(number) for number in range(CALLERS)))

    async def all_the_same() -> list[float]:
        passed: list[float] = []
        given_back = 0.0

        async def caller() -> None:
            nonlocal given_back
            async with hold("contended"):
                if given_back:
                    passed.append(time.perf_counter() - given_back)
                await asyncio.sleep(0)
                given_back = time.perf_counter()

        await asyncio.gather(*(caller() for _ in range(WAITERS + 1)))
        return passed

    def carry_out(pairs: int = 0, turns: int = 0) -> float:
        gc.collect()
        if turns:
            return statistics.median(
                seconds for _ in range(turns) for seconds in loop.run_until_complete(all_the_same())
            )
        begun = time.process_time()
        loop.run_until_complete(each_its_own(pairs))
        return (time.process_time() - begun) / pairs

    return carry_out


SUITE = Suite("Locks", ("P10a", "P10b"), TEXT, run)
