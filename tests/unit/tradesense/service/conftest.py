"""A TradeSense that runs in a test, with passwords that are hashed in no time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from bedplate.settings import Sources
from bedplate.testing import Harness, ManualClock, running
from bedplate.testing.harness import TOKEN
from tests.postgres import Postgres, postgres
from tradesense.components import QuoteSource
from tradesense.service import build
from tradesense.settings import TradeSenseSettings

_NUMBERS = itertools.count()
PASSWORD = "four words in a row"
QUICK: dict[str, Any] = {"password_memory_kib": 8, "password_rounds": 1, "password_threads": 2}


def quick_settings(**values: Any) -> TradeSenseSettings:
    """Return settings for a test; what is given here goes before the quick ones."""
    given: dict[str, Any] = {
        "environment": "test",
        "auth": {"tokens": f"test:admin:{TOKEN}"},
        "logs": {"stream": "off"},
        "alerts": {"enabled": False},
        "health": {"disk_paths": (), "loop_lag": 60.0, "memory_share": 1.0, "memory_available_share": 0.0},
        **QUICK,
        **values,
    }
    return TradeSenseSettings(_sources=Sources.none(), **given)


@dataclass
class Trader:
    """A browser of somebody's: its cookies are its own."""

    client: httpx2.AsyncClient
    email: str
    me: dict[str, Any] = field(default_factory=dict)

    async def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        return await self.client.request(method, f"/api/v1{path}", **options)

    async def get(self, path: str, **options: Any) -> Any:
        answer = await self.ask("GET", path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, json: Any = None, **options: Any) -> Any:
        answer = await self.ask("POST", path, json=json, **options)
        assert answer.status_code in (200, 201, 204), answer.text
        return answer.json() if answer.content else None

    async def sign_up(self, **more: Any) -> Any:
        self.me = await self.post("/sign-up", {"email": self.email, "password": PASSWORD, **more})
        return self.me

    async def sign_in(self, **more: Any) -> httpx2.Response:
        return await self.ask("POST", "/sign-in", json={"email": self.email, "password": PASSWORD, **more})

    async def trade(self, kind: str, quantity: Any, price: Any, at: str = "2025-01-06T15:00:00Z", **more: Any) -> Any:
        given = {"kind": kind, "symbol": "ACME", "quantity": str(quantity), "price": str(price), "at": at, **more}
        return await self.post("/trades", given)

    async def upload(self, text: str | bytes, **params: Any) -> httpx2.Response:
        content = text if isinstance(text, bytes) else text.encode()
        return await self.ask("POST", "/imports", content=content, params=params, headers={"content-type": "text/csv"})

    async def put(self, path: str, text: str, **params: Any) -> Any:
        answer = await self.ask("PUT", path, content=text.encode(), params=params, headers={"content-type": "text/csv"})
        assert answer.status_code == 200, answer.text
        return answer.json()


@dataclass
class Desk:
    """The running service, and people who use it."""

    harness: Harness
    browsers: list[httpx2.AsyncClient] = field(default_factory=list)

    def browser(self, email: str = "", **headers: str) -> Trader:
        transport = httpx2.ASGITransport(app=self.harness.service, raise_app_exceptions=False)  # type: ignore[arg-type]
        client = httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=headers)
        self.browsers.append(client)
        return Trader(client, email or f"trader-{next(_NUMBERS)}@example.org")

    async def trader(self, email: str = "", **more: Any) -> Trader:
        """Return somebody who has just signed up; nobody knows him from another test."""
        trader = self.browser(email)
        await trader.sign_up(**more)
        return trader


@asynccontextmanager
async def desk_of(quotes: QuoteSource | None = None, **values: Any) -> AsyncIterator[Desk]:
    """Run a service of its own."""
    clock = ManualClock(datetime(2025, 6, 2, 12, 0, tzinfo=UTC).timestamp())
    async with running(build(quick_settings(**values), quotes=quotes), clock=clock) as harness:
        desk = Desk(harness)
        # The database is opened in real time, in which the driven clock may have gone past a probe's patience.
        while not harness.service.entry.ready:
            await clock.advance(1)
            await asyncio.sleep(0.01)
        try:
            yield desk
        finally:
            for client in desk.browsers:
                await client.aclose()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def desk() -> AsyncIterator[Desk]:
    """A service that the tests of a module share, each with traders of its own."""
    async with desk_of(sign_up_by_address="1000/minute", sign_in_by_address="1000/minute") as made:
        yield made


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    with postgres() as running_server:
        yield running_server
