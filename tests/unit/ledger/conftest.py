"""A Ledger that runs in a test, on an SQLite file and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from bedplate.settings import Sources
from bedplate.testing import Harness, ManualClock, running
from bedplate.testing.harness import TOKEN
from ledger.components import Books, Reports
from ledger.service import build
from ledger.settings import LedgerSettings
from tests.postgres import Postgres, postgres

_NUMBERS = itertools.count(1)


def ledger_settings(**values: Any) -> LedgerSettings:
    """Return settings for a test."""
    given: dict[str, Any] = {
        "environment": "test",
        "auth": {"tokens": f"test:admin:{TOKEN}"},
        "logs": {"stream": "off"},
        "alerts": {"enabled": False},
        "health": {"disk_paths": (), "loop_lag": 60.0, "memory_share": 1.0, "memory_available_share": 0.0},
        "organizations_limit": "10000/minute",
        "import_limit": "1000/minute",
        **values,
    }
    return LedgerSettings(_sources=Sources.none(), **given)


@dataclass
class Bookkeeper:
    """Somebody who keeps an organisation's books over HTTP."""

    client: httpx2.AsyncClient
    token: str
    organization: int

    async def ask(self, method: str, path: str, *, token: str = "", **options: Any) -> httpx2.Response:
        headers = {"authorization": f"Bearer {token or self.token}", **options.pop("headers", {})}
        return await self.client.request(method, f"/api/v1{path}", headers=headers, **options)

    async def get(self, path: str, **options: Any) -> Any:
        answer = await self.ask("GET", path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, json: Any = None, **options: Any) -> Any:
        answer = await self.ask("POST", path, json=json, **options)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    async def upload(self, text: str | bytes) -> httpx2.Response:
        content = text if isinstance(text, bytes) else text.encode()
        return await self.ask("POST", "/imports", content=content, headers={"content-type": "text/csv"})

    async def earn(self, amount: str, day: str = "2025-11-03", **more: Any) -> Any:
        return await self.post("/revenue", {"day": day, "account": "4000", "amount": amount, **more})

    async def spend(self, amount: str, day: str = "2025-11-03", **more: Any) -> Any:
        return await self.post("/expenses", {"day": day, "account": "5000", "amount": amount, **more})

    async def bank(self) -> str:
        found = await self.get("/balances")
        return str(next(one for one in found["accounts"] if one["account"] == "1000")["balances"].get("EUR", "0.00"))


@dataclass
class Office:
    """The running service, and organisations whose books are kept there."""

    harness: Harness
    client: httpx2.AsyncClient

    @property
    def books(self) -> Books:
        return self.component(Books)

    @property
    def reports(self) -> Reports:
        return self.component(Reports)

    def component(self, kind: type[Any]) -> Any:
        return next(one for one in self.harness.service.components if isinstance(one, kind))

    async def bookkeeper(self, **more: Any) -> Bookkeeper:
        """Open books for an organisation that no other test knows."""
        given = {"name": f"Organisation {next(_NUMBERS)}", **more}
        answer = await self.client.post("/api/v1/organizations", json=given)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        return Bookkeeper(self.client, made["token"], made["id"])

    async def organization(self) -> int:
        """Open books for one that is asked for without HTTP."""
        return (await self.books.open(f"Organisation {next(_NUMBERS)}", "EUR")).id


@asynccontextmanager
async def office_of(**values: Any) -> AsyncIterator[Office]:
    """Run a service of its own."""
    clock = ManualClock(datetime(2025, 11, 27, 12, 0, tzinfo=UTC).timestamp())
    async with running(build(ledger_settings(**values)), clock=clock) as harness:
        # The database is opened in real time, in which the driven clock may have gone past a probe's patience.
        while not harness.service.entry.ready:
            await clock.advance(1)
            await asyncio.sleep(0.01)
        transport = httpx2.ASGITransport(app=harness.service, raise_app_exceptions=False)  # type: ignore[arg-type]
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield Office(harness, client)


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    with postgres() as running_server:
        yield running_server


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of an empty database, for the tests of a module."""
    if request.param == "sqlite":
        folder: Path = tmp_path_factory.mktemp("ledger")
        return f"sqlite:///{folder / 'ledger.sqlite3'}"
    running_server: Postgres = request.getfixturevalue("server")
    return running_server.database()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def office(url: str) -> AsyncIterator[Office]:
    """A service that the tests of a module share, on each kind of database."""
    async with office_of(database_url=url) as made:
        yield made
