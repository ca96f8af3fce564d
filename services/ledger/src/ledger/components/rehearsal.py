"""Rehearsing what clients do, in an organisation of the service's own, so that a check from outside need not write."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final

import orjson
from pydantic import Field
from sqlalchemy import select

from bedplate.component import Host, Spec
from bedplate.database import RowLease
from bedplate.problems import BedplateError
from bedplate.settings import Section
from bedplate.settings.markers import Seconds
from ledger.chart import BANK, REHEARSING
from ledger.components.books import Books
from ledger.components.reports import Reports
from ledger.components.signals.rehearsal import (
    ALERTS,
    CHECKS,
    DURATION,
    LATEST,
    METRICS,
    PANELS,
    RUNBOOK,
    RUNS,
)
from ledger.entries import Transaction, transaction_entry
from ledger.records import transactions
from ledger.tables import ORGANIZATIONS

__all__ = ["Rehearsal", "RehearsalSettings"]

#: Whom the made-up transactions are with.
NOBODY: Final = "Nobody: a rehearsal"
_CENTS: Final = 100


class RehearsalSettings(Section):
    """How often it is rehearsed."""

    every: Annotated[Seconds, Field(gt=0)] = 300.0
    """Seconds between two rehearsals."""


class Rehearsal:
    """Posts, reads back and takes back, in one process of all; what came of it is kept in the cache for all to tell."""

    def __init__(self, settings: RehearsalSettings | None = None, *, books: Books, reports: Reports) -> None:
        self.settings = settings or RehearsalSettings()
        self._books = books
        self._reports = reports
        self._organization = 0

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="rehearsal",
            summary="Posts a transaction, reads it back and takes it back, again and again.",
            needs=(self._books, self._reports),
            settings=self.settings,
            metrics=METRICS,
            alerts=ALERTS,
            panels=PANELS,
            checks=CHECKS,
            runbook=RUNBOOK,
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Rehearse while inside."""
        for outcome in ("well", "failed"):
            host.bind(RUNS, outcome=outcome)
        host.bind(LATEST).set(host.clock.time())
        host.spawn(
            "rehearse", lambda: self._keep_rehearsing(host), lease=RowLease(self._books.database, "rehearsal", 60.0)
        )
        yield

    async def rehearse(self, host: Host) -> dict[str, Any]:
        """Rehearse once; return what came of it."""
        began = time.perf_counter()
        told: dict[str, Any] = {"posted": False, "readBack": False, "balanced": False, "fault": None}
        try:
            await self._once(told)
        except (TimeoutError, BedplateError) as error:
            told["fault"] = str(error)
        well = told["posted"] and told["readBack"] and told["balanced"]
        if not well:
            host.log.error("rehearsal_failed", **told)
        told["seconds"] = round(time.perf_counter() - began, 4)
        told["at"] = datetime.fromtimestamp(host.clock.time(), UTC).isoformat(timespec="seconds")
        host.bind(RUNS, outcome="well" if well else "failed").inc()
        if well:
            host.bind(DURATION).observe(told["seconds"])
            host.bind(LATEST).set(host.clock.time())
        await self._books.cache.set("rehearsal", orjson.dumps(told).decode(), ttl=4 * self.settings.every, type=str)
        return told

    async def _once(self, told: dict[str, Any]) -> None:
        organization = self._organization = self._organization or await self._smoke_test()
        today = datetime.fromtimestamp(self._books.now() / 1e6, UTC).date()
        before = await self._bank(organization)
        revenue = transaction_entry("revenue", today, Transaction("4000", BANK, 3 * _CENTS, "EUR", NOBODY))
        expense = transaction_entry("expense", today, Transaction("5000", BANK, 2 * _CENTS, "EUR", NOBODY))
        posted = await self._books.post(organization, [revenue, expense])
        told["posted"] = all(one.outcome == "added" for one in posted)
        after = await self._bank(organization)
        listed = await self._listed(organization, posted[0].id, today)
        told["readBack"] = listed and after - before == 1 * _CENTS
        for one in posted:
            await self._books.reverse(organization, one.id, None, "")
        trial = orjson.loads(await self._reports.trial_balance(organization))
        told["balanced"] = trial["balanced"] and await self._bank(organization) == before

    async def _bank(self, organization: int) -> int:
        document = orjson.loads(await self._reports.balances(organization))
        (bank,) = (one for one in document["accounts"] if one["account"] == BANK)
        return int(bank["balances"].get("EUR", "0").replace(".", ""))

    async def _listed(self, organization: int, id: int, today: date) -> bool:
        async with self._books.reading(organization) as scope:
            page = await transactions.page(scope, "revenue", since=today, until=today, limit=20)
        return any(row.id == id for row in page.items)

    async def _smoke_test(self) -> int:
        query = (
            select(ORGANIZATIONS.c.id).where(ORGANIZATIONS.c.name == REHEARSING).order_by(ORGANIZATIONS.c.id).limit(1)
        )
        async with self._books.database.connect() as connection:
            found = (await connection.execute(query)).scalar()
        return int(found) if found is not None else (await self._books.open(REHEARSING, "EUR")).id

    async def _keep_rehearsing(self, host: Host) -> None:
        while True:
            await self.rehearse(host)
            await host.clock.sleep(self.settings.every)

    async def latest(self) -> str:
        """Return what came of the latest rehearsal, on whichever instance, as JSON."""
        told = await self._books.cache.get("rehearsal", type=str)
        return told or '{"posted":false,"readBack":false,"balanced":false,"fault":"It has not been rehearsed yet."}'
