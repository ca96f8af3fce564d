"""Reports: each made once of an organisation's books until something is posted, then kept in the cache."""

from __future__ import annotations

import time
from calendar import monthrange
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import orjson

from bedplate.component import BoundHistogram, Host, Spec
from ledger import statements
from ledger.components.books import Books
from ledger.components.signals.reports import ALERTS, DURATION, METRICS, PANELS, REPORTS, RUNBOOK
from ledger.records import organizations, totals
from ledger.records.totals import Total
from ledger.scope import Scope

__all__ = ["Reports"]


class Reports:
    """Tells of balances, months and years, as JSON texts.

    What is made for the cache is read from the primary: a replica might show what was before the posting that has just
    dropped the value, and that would be kept.
    """

    def __init__(self, *, books: Books) -> None:
        self._books = books
        self._durations: dict[str, BoundHistogram] = {}
        tags = ("organization:{organization}",)
        cached = books.cache.cached
        self.balances = cached(key="balances:{organization}", tags=tags)(self._balances)
        self.trial_balance = cached(key="trial:{organization}", tags=tags)(self._trial_balance)
        self.summary = cached(key="summary:{organization}:{since}:{until}", tags=tags)(self._summary)
        self.monthly = cached(key="monthly:{organization}:{month}", tags=tags)(self._monthly)
        self.yearly = cached(key="yearly:{organization}:{year}", tags=tags)(self._yearly)

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="reports",
            summary="Tells of balances, summaries, months and years of an organisation.",
            needs=(self._books, self._books.cache),
            metrics=METRICS,
            alerts=ALERTS,
            panels=PANELS,
            runbook=RUNBOOK,
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Time reports while inside."""
        self._durations = {report: host.bind(DURATION, report=report) for report in REPORTS}
        yield

    async def _balances(self, organization: int) -> str:
        async with self._making("balances", organization) as scope:
            # Accounts second: whatever has a line has its account before.
            found = await totals.between(scope, None, None)
            return _text(statements.balances, await organizations.accounts(scope), found)

    async def _trial_balance(self, organization: int) -> str:
        async with self._making("trial_balance", organization) as scope:
            # Accounts second: whatever has a line has its account before.
            found = await totals.between(scope, None, None)
            return _text(statements.trial_balance, await organizations.accounts(scope), found)

    async def _summary(self, organization: int, since: date, until: date) -> str:
        async with self._making("summary", organization) as scope:
            accounts = await organizations.accounts(scope)
            chosen = [account for account in accounts if account.kind in ("revenue", "expense")]
            found = await totals.between(scope, since, until, chosen)
            return _text(statements.summary, accounts, found, since, until)

    async def _monthly(self, organization: int, month: int) -> str:
        async with self._making("monthly", organization) as scope:
            within = {
                (one.account, one.currency): Total(*one[1:]) for one in await totals.by_month(scope, month, month)
            }
            closing = await totals.between(scope, None, _end(month))
            return _text(statements.monthly, await organizations.accounts(scope), within, closing, month)

    async def _yearly(self, organization: int, year: int) -> str:
        async with self._making("yearly", organization) as scope:
            found = await totals.by_month(scope, year * 100 + 1, year * 100 + 12)
            return _text(statements.yearly, await organizations.accounts(scope), found, year)

    @asynccontextmanager
    async def _making(self, report: str, organization: int) -> AsyncIterator[Scope]:
        began = time.perf_counter()
        async with self._books.looking(organization) as scope:
            yield scope
        self._durations[report].observe(time.perf_counter() - began)


def _text(make: Callable[..., dict[str, Any]], *arguments: Any) -> str:
    return orjson.dumps(make(*arguments)).decode()


def _end(month: int) -> date:
    year, number = divmod(month, 100)
    return date(year, number, monthrange(year, number)[1])
