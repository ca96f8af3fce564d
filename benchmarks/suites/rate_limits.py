"""P9: a request that is counted on Redis, and the bare question whether somebody may."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from functools import partial
from operator import attrgetter
from typing import Any

import uvloop
from fastapi import FastAPI
from starlette.types import ASGIApp

from benchmarks.driver import WARM_UP, Driver
from benchmarks.lab import Lab
from benchmarks.redis import redis
from benchmarks.results import Goal, Measure, Row
from benchmarks.spread import Spread, differences
from benchmarks.stacks.app import SERVICE, TOKEN, add_routes, targets
from benchmarks.suites import Suite

__all__ = ["SUITE", "application", "ours", "peer"]

ADDED = "µs CPU added to a request"
ASKED = "µs CPU a question"

#: What is under way at once.
CALLERS = 50
#: Counted, and never reached.
QUOTA = 1_000_000_000
LIMIT = f"{QUOTA}/minute"

TEXT = """\
**P9a.** FastAPI with one route, in a process of its own, is asked by 50 callers at once, as a server would ask it. What
counts is the CPU time of the process; **added** is that less the time of the same application without a rate limit in
the same round: for Bedplate a `Service` without one (and both without alerts), for slowapi bare FastAPI. All use the
same Redis on the loopback, whose own CPU time does not count, and a limit that is counted and never reached. Each
answer has the headers: Bedplate's are `RateLimit` and `RateLimit-Policy` of the IETF's draft, slowapi's are its own
(`headers_enabled`).
slowapi is its `SlowAPIASGIMiddleware`, the cheaper one, with a default limit, `storage_uri` and its default strategy,
a fixed window; it asks Redis by redis-py, and the event loop waits meanwhile. Bedplate counts by GCRA, its default.

**P9b.** The question alone, by 50 callers at once, each for a key of its own: `await limit.take(key)`, whose answer has
what is left, when it is whole, and the headers; and `limits`' asyncio `FixedWindowRateLimiter.hit`, its cheapest
strategy, which only says yes or no, on redis-py with hiredis. Its GCRA-like strategies cost more."""


def run(lab: Lab) -> list[Row]:
    """Measure both rows."""
    with redis(lab.other_core) as server:
        return [_requests(lab, server.url), _questions(lab, server.url)]


def _requests(lab: Lab, url: str) -> Row:
    lab.say("P9a: a request that is counted on Redis")
    stacks = ("bare", "slowapi", "service", "bedplate")
    made_by = {stack: (f"{__name__}:application", {"stack": stack, "url": url}) for stack in stacks}
    with lab.contestants(made_by) as contestants:
        seconds = lab.interleave(contestants, lab.scale(24, 8), requests=lab.scale(2_000, 1_000))
    ours = _added(seconds["bedplate"], seconds["service"])
    peer = _added(seconds["slowapi"], seconds["bare"])
    return Row(
        "P9a",
        "A request counted on Redis, with headers, against slowapi",
        Measure("Bedplate", ADDED, ours),
        (Measure("slowapi on Redis", ADDED, peer),),
        Goal("ratio", "<=", 1 / 15, "≤ 1/15"),
        ours.median / peer.median,
    )


def _added(seconds: list[float], base: list[float]) -> Spread:
    return Spread.of(value * 1e6 for value in differences(seconds, base))


def _questions(lab: Lab, url: str) -> Row:
    lab.say("P9b: may they, on Redis")
    made_by = {name: (f"{__name__}:{name}", {"url": url}) for name in ("ours", "peer")}
    with lab.contestants(made_by) as contestants:
        lab.interleave(contestants, 2, questions=1_000)
        seconds = lab.interleave(contestants, lab.scale(24, 8), questions=lab.scale(20_000, 10_000))
    spread = {name: Spread.of(value * 1e6 for value in values) for name, values in seconds.items()}
    return Row(
        "P9b",
        "The question alone, against limits' asyncio",
        Measure("Bedplate", ASKED, spread["ours"]),
        (Measure("limits on redis-py asyncio", ASKED, spread["peer"]),),
        Goal("ratio", "<=", 1 / 8, "≤ 1/8"),
        spread["ours"].median / spread["peer"].median,
    )


class Crowd(Driver):
    """A driver with many requests under way at once."""

    async def requests(self, targets: list[str], count: int) -> None:
        """Make requests to the targets in turn. Raises RuntimeError for any that is not answered with 200."""

        async def some(first: int) -> None:
            for number in range(first, count, CALLERS):
                target = targets[number % len(targets)]
                status = await self.request("GET", target)
                if status != 200:
                    raise RuntimeError(f"{target} was answered with {status}")

        await asyncio.gather(*(some(first) for first in range(CALLERS)))


def application(stack: str, url: str) -> Callable[..., float]:
    """Make a contestant: requests to an application in one of the stacks."""
    driver = Crowd(_built(stack, url))
    wanted = targets(1)
    driver.run(wanted, WARM_UP)
    driver.rest(3.0)
    return lambda requests: driver.run(wanted, requests)


def _built(stack: str, url: str) -> ASGIApp:
    app = FastAPI()
    add_routes(app, 1)
    if stack == "bare":
        return app
    if stack == "slowapi":
        _slowapi(app, url)
        return app
    from bedplate.service.service import Service
    from bedplate.settings import Settings, Sources
    from bedplate.state import store
    from bedplate.state.limits import RateLimit

    # A question that waits behind others on a busy machine shall be asked nevertheless.
    limits = [RateLimit(store(url), limits=LIMIT, timeout=5.0)] if stack == "bedplate" else []
    # What a service does beside requests is no part of a rate check.
    settings = Settings(
        environment="production",
        _sources=Sources.none(),
        logs={"stream": "stdout"},
        alerts={"enabled": False},
        auth={"tokens": f"bench:metrics:{TOKEN}"},
    )
    return Service(SERVICE, app, limits, settings=settings)


def _slowapi(app: FastAPI, url: str) -> None:
    from slowapi import Limiter, _rate_limit_exceeded_handler
    from slowapi.errors import RateLimitExceeded
    from slowapi.middleware import SlowAPIASGIMiddleware
    from slowapi.util import get_remote_address

    app.state.limiter = Limiter(
        key_func=get_remote_address, default_limits=[LIMIT], storage_uri=url, headers_enabled=True
    )
    app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)  # type: ignore[arg-type]
    app.add_middleware(SlowAPIASGIMiddleware)


def ours(url: str) -> Callable[..., float]:
    """Make a contestant: Bedplate's question."""
    from bedplate.service import Service
    from bedplate.settings import Settings, Sources
    from bedplate.state import store
    from bedplate.state.limits import RateLimit

    limit = RateLimit(store(url), limits=LIMIT, timeout=5.0)
    given: dict[str, Any] = {"logs": {"stream": "off"}, "alerts": {"enabled": False}}
    service = Service("bench", None, [limit], settings=Settings(environment="test", _sources=Sources.none(), **given))
    running = service.running()

    return _timed(limit.take, attrgetter("allowed"), running.__aenter__(), running)


def peer(url: str) -> Callable[..., float]:
    """Make a contestant: limits' question."""
    from limits import RateLimitItemPerMinute
    from limits.aio.storage import RedisStorage
    from limits.aio.strategies import FixedWindowRateLimiter

    limiter = FixedWindowRateLimiter(RedisStorage(f"async+{url}", implementation="redispy"))
    item = RateLimitItemPerMinute(QUOTA)
    return _timed(partial(limiter.hit, item), bool)


def _timed(
    ask: Callable[[str], Awaitable[object]],
    allowed: Callable[[Any], bool],
    first: Awaitable[object] | None = None,
    running: object = None,
) -> Callable[..., float]:
    """Return what asks and measures.

    :param allowed: tells whether an answer is a yes. :param first: awaited before the first question.
    :param running: lives as long as the questions.
    """
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    if first is not None:
        loop.run_until_complete(_awaited(first))

    async def some(number: int, count: int) -> None:
        key = f"198.51.100.{number}"
        for _ in range(count):
            if not allowed(await ask(key)):
                raise RuntimeError("a limit that cannot be reached was reached")

    async def all_of(count: int) -> None:
        await asyncio.gather(*(some(number, count) for number in range(CALLERS)))

    def carry_out(questions: int) -> float:
        each = questions // CALLERS
        gc.collect()
        before = time.process_time()
        loop.run_until_complete(all_of(each))
        return (time.process_time() - before) / (each * CALLERS)

    carry_out.__dict__["running"] = running
    return carry_out


async def _awaited(what: Awaitable[object]) -> None:
    await what


SUITE = Suite("Rate limits on Redis", ("P9a", "P9b"), TEXT, run)
