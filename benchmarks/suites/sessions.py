"""P12: a session that is loaded, and saved."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.lab import Lab
from benchmarks.redis import redis
from benchmarks.results import Goal, Measure, Row
from benchmarks.spread import Spread, differences
from benchmarks.stacks.app import TOKEN
from benchmarks.suites import Suite

__all__ = ["SUITE", "bare", "ours", "peer"]

UNIT = "µs CPU added to a request"

#: Requests that are under way at once, each with a session of its own.
CALLERS = 50

TEXT = """\
An ASGI application with one endpoint, in a process of its own, is asked by 50 callers at once, each with the cookie of
a session of its own. It loads the session and answers; what is to be saved is saved before the answer begins. In P12a
it only reads the session, as most requests do. In P12b every request adds one to a number in it. What counts is the CPU
time of the process; **added** is that less the time of the same application without sessions, in the same round. All
use the same Redis on the loopback, whose own CPU time does not count.

starsessions is its `SessionMiddleware` with `RedisStore` on redis-py with hiredis, `lifetime=1800` and `rolling=True`,
so that sessions end when they are not used, as ours do. Ours are as they come: hashed ids, an index by user, expiry by
the server's clock, and a save that merges with others' changes.

starsessions writes a session that was loaded with every request, changed or not, since it has no other way to let it
slide. Ours is held near, coherent by the server's notices, and when it was last used is written once a minute; in P12b
each request costs one round trip: what was saved is held near as soon as the server has told of that change, from when
on it tells of others'."""


def run(lab: Lab) -> list[Row]:
    """Measure both."""
    lab.say("P12: a session loaded and saved")
    with redis(lab.other_core) as server:
        url = server.url
        with lab.contestants(
            {
                "bare": (f"{__name__}:bare", {}),
                "ours": (f"{__name__}:ours", {"url": url}),
                "peer": (f"{__name__}:peer", {"url": url}),
            }
        ) as stacks:
            lab.interleave(stacks, 2, requests=500, changes=True)
            saved = lab.interleave(stacks, lab.scale(20, 6), requests=lab.scale(3_000, 1_000), changes=True)
            read = lab.interleave(stacks, lab.scale(20, 6), requests=lab.scale(3_000, 1_000), changes=False)
    bare = Spread.of(value * 1e6 for value in saved["bare"] + read["bare"])
    note = f"The application itself takes {bare.median:.1f} µs."
    return [
        _row("P12a", "Session load, and save where it changed: it did not", _added(read), note),
        _row("P12b", "Session load and save: every request changes it", _added(saved), note),
    ]


def _row(id: str, what: str, added: dict[str, Spread], *notes: str) -> Row:
    ours, peer = Measure("Bedplate", UNIT, added["ours"]), Measure("starsessions on Redis", UNIT, added["peer"])
    goal = Goal("ratio", "<=", 1 / 15, "≤ 1/15")
    return Row(id, f"{what}, against starsessions", ours, (peer,), goal, ours.value / peer.value, notes)


def _added(seconds: dict[str, list[float]]) -> dict[str, Spread]:
    return {
        name: Spread.of(value * 1e6 for value in differences(seconds[name], seconds["bare"]))
        for name in ("ours", "peer")
    }


def bare() -> Callable[..., float]:
    """Make a contestant: the application without sessions."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(send)

    loop = _loop()
    return _timed(loop, app, [""] * CALLERS)


def ours(url: str) -> Callable[..., float]:
    """Make a contestant: Bedplate's sessions."""
    from bedplate.service import Service
    from bedplate.settings import Settings, Sources
    from bedplate.state import store
    from bedplate.state.sessions import Sessions
    from bedplate.state.sessions.middleware import SessionMiddleware

    sessions = Sessions(store(url), secret="a secret that is long enough for a benchmark")
    settings = Settings(
        environment="production",
        _sources=Sources.none(),
        logs={"stream": "off"},
        auth={"tokens": f"bench:admin:{TOKEN}"},
        alerts={"enabled": False},
    )
    # What runs in the service beside requests is no part of a session.
    service = Service("bench", None, [sessions], settings=settings)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        session = await scope["state"]["session"].load()
        if scope["changes"]:
            session["n"] = session["n"] + 1
        await _answer(send)

    async def begin() -> list[str]:
        await started.__aenter__()
        tokens = []
        for number in range(CALLERS):
            token, session = await sessions.open(f"user-{number}")
            session["n"] = 0
            session["cart"] = [{"item": item, "price": "9.90"} for item in range(5)]
            await session.save()
            tokens.append(f"__Host-bench-session={token}")
        return tokens

    loop = _loop()
    started = service.running()
    return _timed(loop, SessionMiddleware(app, sessions), loop.run_until_complete(begin()), started)


def peer(url: str) -> Callable[..., float]:
    """Make a contestant: starsessions."""
    from redis.asyncio import Redis
    from starsessions import SessionMiddleware, load_session
    from starsessions.stores.redis import RedisStore

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        connection = HTTPConnection(scope)
        await load_session(connection)
        session = connection.session
        if not session:
            session["user"] = "user"
            session["n"] = 0
            session["cart"] = [{"item": item, "price": "9.90"} for item in range(5)]
        if scope["changes"]:
            session["n"] = session["n"] + 1
        await _answer(send)

    async def begin() -> list[str]:
        cookies = []

        async def send(message: Message) -> None:
            for name, value in message.get("headers", ()):
                if name == b"set-cookie":
                    cookies.append(value.decode().partition(";")[0])

        for _ in range(CALLERS):
            await wrapped(_scope("", True), _receive, send)
        return cookies

    loop = _loop()
    redis: Any = Redis.from_url(url)
    wrapped = SessionMiddleware(app, RedisStore(connection=redis), lifetime=1800, rolling=True)
    return _timed(loop, wrapped, loop.run_until_complete(begin()))


def _timed(
    loop: asyncio.AbstractEventLoop, app: ASGIApp, cookies: list[str], running: object = None
) -> Callable[..., float]:
    """Return what measures; ``running`` lives as long as it does."""

    async def call(cookie: str, count: int, changes: bool) -> None:
        for _ in range(count):
            await app(_scope(cookie, changes), _receive, _ignore)

    async def calls(count: int, changes: bool) -> None:
        await asyncio.gather(*(call(cookie, count, changes) for cookie in cookies))

    def carry_out(requests: int, changes: bool) -> float:
        gc.collect()
        before = time.process_time()
        loop.run_until_complete(calls(requests // CALLERS, changes))
        return (time.process_time() - before) / (requests // CALLERS * CALLERS)

    carry_out.__dict__["running"] = running
    return carry_out


def _loop() -> asyncio.AbstractEventLoop:
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


def _scope(cookie: str, changes: bool) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "scheme": "https",
        "method": "GET",
        "path": "/",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"api.example.com"), (b"user-agent", b"bench/1.0"), (b"cookie", cookie.encode())],
        "state": {},
        "changes": changes,
    }


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _ignore(message: Message) -> None:
    pass


async def _answer(send: Callable[[Message], Awaitable[None]]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b"{}"})


SUITE = Suite("A session loaded and saved", ("P12a", "P12b"), TEXT, run)
