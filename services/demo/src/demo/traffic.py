"""Live traffic: the opening scene, then a steady mix of requests, over real HTTP and at a bounded rate."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx2
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from demo.client import Client
from demo.companies import Companies
from demo.scene import opening, soiled_csv
from demo.screen import Screen
from demo.traders import Traders
from demo.trouble import FAULTS, Trouble

__all__ = ["Traffic"]

#: Requests a second; fewer when the service is slower.
RATE: Final = 4.0
#: Requests under way at once.
AT_ONCE: Final = 4
#: Requests a second that a fault adds, so that it shows within seconds.
RATE_OF_TROUBLE: Final = 5.0
#: Seconds until the first status line, and between two.
TOLD_FIRST: Final = 3.0
TOLD_EVERY: Final = 10.0


class Traffic:
    """A thread with an event loop of its own, so that its work and waiting are not the service's.

    :param base: ``http://127.0.0.1:8000``. :param trouble: whose faults are acted upon, and told of.
    :param key: makes a key that lets somebody into the console, once.
    """

    def __init__(self, base: str, screen: Screen, trouble: Trouble, key: Callable[[], str]) -> None:
        self.client = Client(base)
        self.traders = Traders(base, screen)
        self.companies = Companies(base, screen)
        self._key = key
        self._trouble = trouble
        self._base = base
        self._screen = screen
        self._random = random.Random(7)
        self._known: list[dict[str, Any]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="demo-traffic", daemon=True)

    def start(self) -> None:
        """Begin as soon as the services are ready."""
        self._thread.start()

    def stop(self) -> None:
        """End, in the middle of whatever it does."""
        loop, task = self._loop, self._task
        if loop is not None and task is not None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(task.cancel)
        self._thread.join(timeout=5)

    def _run(self) -> None:
        async def main() -> None:
            self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
            async with self.client.http, self.traders, self.companies:
                # Requests fail when the service goes away before us, which is how the demo ends.
                with contextlib.suppress(httpx2.TransportError):
                    await self._play()

        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(main())

    async def _play(self) -> None:
        await self._ready()
        self._screen.addresses(self._base)
        try:
            await opening(self.client, self._screen)
            await self.traders.opening()
            await self.companies.opening()
        except httpx2.HTTPStatusError as error:
            self._screen.trouble(f"The scene ends early: {error.response.status_code} {error.response.text[:200]}")
        self._screen.note(f"Traffic goes on at up to {RATE:g} requests a second. Ctrl-C ends it.")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tell())
            group.create_task(self._make_trouble())
            self.traders.go_on(group)
            self.companies.go_on(group)
            await self._flow(group)

    async def _ready(self) -> None:
        while True:
            with contextlib.suppress(httpx2.TransportError):
                if (await self.client.http.get(f"{self._base}/readyz")).is_success:
                    return
            await asyncio.sleep(0.1)

    async def _flow(self, group: asyncio.TaskGroup) -> None:
        free = asyncio.Semaphore(AT_ONCE)
        kinds = list(self._mix)
        weights = [self._mix[kind] for kind in kinds]

        async def one(kind: Callable[[Traffic], Awaitable[None]]) -> None:
            try:
                await kind(self)
            finally:
                free.release()

        while True:
            await free.acquire()
            group.create_task(one(self._random.choices(kinds, weights)[0]))
            await asyncio.sleep(self._random.expovariate(RATE))

    async def _make_trouble(self) -> None:
        """Do what the faults that are there now say, and tell of each that comes or goes."""
        told: frozenset[str] = frozenset()
        while True:
            active = self._trouble.active
            for fault in FAULTS:
                if fault.name in active - told:
                    self._screen.trouble(f"{fault.summary} Expect {fault.alert}.")
                elif fault.name in told - active:
                    self._screen.status(f"{fault.name} is over; {fault.alert} resolves.")
            told = active
            if not active.isdisjoint(("bank-fails", "bank-slow")):
                await self._exchange_rate()
            if "fraud-wave" in active:
                await self.client.ask("POST", "/simulate", json={"rows": 200, "fraud": 100, "first": 0})
            if "spoilt-data" in active:
                table = await asyncio.to_thread(soiled_csv, 300, self._random.randrange(1_000), missing=0.7)
                await self.client.ask("POST", "/quality", content=table, headers={"content-type": "text/csv"})
            await asyncio.sleep(1 / RATE_OF_TROUBLE)

    async def _tell(self) -> None:
        before, then = self.client.requests, time.monotonic()
        for pause in itertools.chain([TOLD_FIRST], itertools.repeat(TOLD_EVERY)):
            await asyncio.sleep(pause)
            said = await self.client.ask("GET", "/fraud")
            now, count = time.monotonic(), self.client.requests
            pace = (count - before) / (now - then)
            before, then = count, now
            line = (
                f"{count:,} requests ({self.client.failed} failed), {pace:.1f}/s, p95 {self.client.p95 * 1000:.0f} ms"
            )
            if said.is_success:
                line += _in_words(said.json())
            line += f" · traders {self.traders.requests:,} requests ({self.traders.failed} failed)"
            line += f" · companies {self.companies.requests:,} ({self.companies.failed} failed)"
            self._screen.status(line)

    async def _simulate(self) -> None:
        rows = self._random.choice((20, 50, 100, 300))
        answer = await self.client.ask("POST", "/simulate", json={"rows": rows, "first": 25})
        if answer.is_success:
            scores = ("fraud_probability", "alert", "anomaly")
            self._known = [
                {name: value for name, value in row.items() if not name.startswith(scores)}
                for row in answer.json()["transactions"]
            ]

    async def _simulate_many(self) -> None:
        await self.client.ask("POST", "/simulate", json={"rows": 10_000, "fraud": 300, "first": 0})

    async def _score(self) -> None:
        if self._known:
            await self.client.ask("POST", "/score", json={"transactions": self._known})

    async def _assess(self) -> None:
        table = await asyncio.to_thread(soiled_csv, 300, self._random.randrange(1_000))
        await self.client.ask("POST", "/quality", content=table, headers={"content-type": "text/csv"})

    async def _look(self) -> None:
        await self.client.ask("GET", self._random.choice(("/", "/health", "/fraud", "/docs", "/openapi.json")))

    async def _exchange_rate(self) -> None:
        await self.client.ask("GET", "/demo/exchange-rate", params={"currency": self._random.choice(("GBP", "CHF"))})

    async def _follow_rates(self) -> None:
        # Sockets are closed for good when the service goes away, which is how the demo ends.
        with contextlib.suppress(OSError, WebSocketException):
            address = f"{self._base.replace('http', 'ws', 1)}/synfinance/demo/exchange-rates"
            async with connect(address, proxy=None) as socket:
                for _ in range(4):
                    await socket.recv()

    async def _look_at_console(self) -> None:
        if not (await self.client.http.get("/console/")).is_success:
            await self.client.http.get("/console/enter", params={"key": self._key()})
            await self.client.http.get("/console/")
        await self.client.http.get(f"{self._base}/tradesense/console/")
        await self.client.http.get(f"{self._base}/ledger/console/")

    async def _lost(self) -> None:
        await self.client.ask("GET", self._random.choice(("/admin.php", "/transactions/4711", "/.env")))

    async def _wrong(self) -> None:
        wrong: tuple[tuple[str, dict[str, Any]], ...] = (
            ("/simulate", {"json": {"rows": 100, "fraud": 90}}),
            ("/score", {"json": {"transactions": [{"card_id": "K000001", "amount": "12.345"}]}}),
            ("/score", {"content": b"who,what\nme,that\n", "headers": {"content-type": "text/csv"}}),
            ("/quality", {"content": b"%PDF-1.7", "headers": {"content-type": "application/pdf"}}),
        )
        path, options = self._random.choice(wrong)
        await self.client.ask("POST", path, **options)

    _mix: Final[dict[Callable[[Traffic], Awaitable[None]], float]] = {
        _simulate: 30,
        _score: 24,
        _look: 16,
        _exchange_rate: 12,
        _assess: 10,
        _follow_rates: 2,
        _look_at_console: 4,
        _lost: 4,
        _wrong: 3.5,
        _simulate_many: 0.5,
    }


def _in_words(summary: dict[str, Any]) -> str:
    """Return what the service itself says of the last minutes."""
    parts = [
        ("alerts", summary["fraud_rate"]),
        ("precision", summary["precision"]),
        ("recall", summary["recall"]),
        ("cards at hand", summary["cache"]["hit_rate"]),
    ]
    known = [f"{name} {value:.1%}" for name, value in parts if value is not None]
    score = summary["quality"]["score"]
    return " · " + ", ".join(known + ([f"quality {score:.1f}"] if score is not None else []))
