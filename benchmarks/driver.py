"""Driving an ASGI application as a server does, without a server: what remains is the application's own cost."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Callable

import uvloop
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.stacks import build
from benchmarks.stacks.app import TOKEN, path, targets

__all__ = ["Driver", "make"]

WARM_UP = 1_000

#: Seconds after which nothing that was put off is left: log writers hand over ten times a second.
SETTLE = 0.2

#: Seconds in which an application at rest is measured: what it does every five seconds is among it.
REST = 6.0

_REQUEST: Message = {"type": "http.request", "body": b"", "more_body": False}
_DISCONNECT: Message = {"type": "http.disconnect"}
_HEADERS = [
    (b"host", b"api.example.com"),
    (b"user-agent", b"bench/1.0"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"connection", b"keep-alive"),
]


class Exchange:
    """The server's side of one request: one empty body, then a disconnect when the response is complete."""

    __slots__ = ("asked", "changed", "done", "status")

    def __init__(self) -> None:
        self.asked = False
        self.done = False
        self.status = 0
        self.changed: asyncio.Event | None = None

    async def receive(self) -> Message:
        """Return the request's body once; then wait for the end, as a server does while the client listens."""
        if not self.asked:
            self.asked = True
            return _REQUEST
        if not self.done:
            self.changed = asyncio.Event()
            await self.changed.wait()
        return _DISCONNECT

    async def send(self, message: Message) -> None:
        """Take a message of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif not message.get("more_body", False):
            self.done = True
            if self.changed is not None:
                self.changed.set()


def scope(method: str, target: str) -> Scope:
    """A fresh HTTP scope, as uvicorn makes one."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 54321),
        "scheme": "http",
        "method": method,
        "root_path": "",
        "path": target,
        "raw_path": target.encode(),
        "query_string": b"",
        "headers": list(_HEADERS),
        "state": {},
    }


class Driver:
    """An application that has been started, on the loop that uvicorn would use."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.loop = uvloop.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.idle = self.rested = 0.0
        self._lifespan: asyncio.Task[None] | None = None
        self.loop.run_until_complete(self._start())

    async def _start(self) -> None:
        asked: asyncio.Queue[Message] = asyncio.Queue()
        said: asyncio.Queue[Message] = asyncio.Queue()
        receive: Receive = asked.get
        send: Send = said.put

        async def serve() -> None:
            await self.app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)

        asked.put_nowait({"type": "lifespan.startup"})
        self._lifespan = self.loop.create_task(serve())
        answer = await asyncio.wait_for(said.get(), 20)
        if answer["type"] != "lifespan.startup.complete":
            raise RuntimeError(f"the application did not start: {answer.get('message')}")
        deadline = self.loop.time() + 20
        # An application may answer 503 until it is ready.
        while await self.request("GET", path(0)) != 200:
            if self.loop.time() > deadline:
                raise RuntimeError("the application does not answer its own route with 200")
            await asyncio.sleep(0.05)

    async def request(self, method: str, target: str) -> int:
        """Make one request, in a task as servers do, and return its status."""
        exchange = Exchange()
        await self.loop.create_task(self.app(scope(method, target), exchange.receive, exchange.send))
        return exchange.status

    async def fetch(self, target: str) -> bytes:
        """GET a page and return its body. Raises RuntimeError when it is not answered with 200."""
        exchange = Exchange()
        chunks: list[bytes] = []

        async def send(message: Message) -> None:
            chunks.append(message.get("body", b""))
            await exchange.send(message)

        asked = scope("GET", target)
        asked["headers"].append((b"authorization", f"Bearer {TOKEN}".encode()))
        await self.loop.create_task(self.app(asked, exchange.receive, send))
        if exchange.status != 200:
            raise RuntimeError(f"{target} was answered with {exchange.status}")
        return b"".join(chunks)

    async def requests(self, targets: list[str], count: int) -> None:
        """Make requests to the targets in turn. Raises RuntimeError for any that is not answered with 200."""
        app, create_task = self.app, self.loop.create_task
        for number in range(count):
            exchange = Exchange()
            target = targets[number % len(targets)]
            await create_task(app(scope("GET", target), exchange.receive, exchange.send))
            if exchange.status != 200:
                raise RuntimeError(f"{target} was answered with {exchange.status}")

    def run(self, targets: list[str], count: int) -> float:
        """Make requests; return the CPU time of the process for one, in seconds.

        All threads count, and so does what they put off: log lines and spans that wait to be written. What the process
        does anyway in such a time has been measured, and is taken off.
        """
        gc.collect()
        began, before = time.monotonic(), time.process_time()
        self.loop.run_until_complete(self.requests(targets, count))
        self.loop.run_until_complete(asyncio.sleep(SETTLE))
        # A busy machine stretches the round, and what is done by the clock with it.
        return (time.process_time() - before - self.idle * (time.monotonic() - began)) / count

    def rest(self, seconds: float) -> None:
        """Measure what the process does without requests: CPU seconds a second, in :attr:`idle` and :attr:`rested`.

        What is taken off a round is the median of times as long as its own: what happens every few seconds is in few
        of them, as it is in few rounds, and so in no median of either. The mean has all of it, and is for people.
        """
        found: list[float] = []
        for _ in range(round(seconds / SETTLE)):
            before = time.process_time()
            self.loop.run_until_complete(asyncio.sleep(SETTLE))
            found.append((time.process_time() - before) / SETTLE)
        self.idle, self.rested = statistics.median(found), statistics.fmean(found)


def make(stack: str, routes: int = 1) -> Callable[..., float]:
    """Make a contestant: requests spread evenly over the routes of an application in one of the stacks.

    Without requests, a command returns the CPU seconds a second of the application at rest.
    """
    wanted = targets(routes)
    driver = Driver(build(stack, routes))
    driver.run(wanted, WARM_UP)
    driver.rest(REST)

    def carry_out(requests: int = 0) -> float:
        return driver.run(wanted, requests) if requests else driver.rested

    return carry_out
