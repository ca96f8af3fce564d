"""The records: tables, what is counted of them, and who is told when some change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from bedplate.component import BoundCounter, Host, Spec
from bedplate.database import Database
from bedplate.database.indexes import Index
from bedplate.declarations import Migrations
from bedplate.problems import BedplateError
from bedplate.service import HostLease
from tradesense.components.signals.records import (
    ALERTS,
    CHECKS,
    COUNTED,
    ENTERED_TODAY,
    METRICS,
    PANELS,
    RECORDED,
    RUNBOOK,
    SYMBOLS_TODAY,
    TRACKED,
    TRADERS,
    TRADERS_TODAY,
)
from tradesense.paths import declared
from tradesense.records import trades, users

__all__ = ["Records"]

#: Seconds between two counts.
COUNT_EVERY: Final = 60.0
_DAY: Final = 86_400

Told = Callable[[str], Awaitable[None]]


class Records:
    """Users and what they keep, in the service's database; every query asks for one user's."""

    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._told: list[Told] = []
        self._recorded: dict[str, BoundCounter] = {}
        self._host: Host | None = None

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="trade_records",
            summary="Keeps users, trades, imports, journals, prices and rates in the database.",
            needs=(self._database,),
            scope="cluster",
            metrics=METRICS,
            alerts=ALERTS,
            panels=PANELS,
            checks=CHECKS,
            runbook=RUNBOOK,
        )

    def migrations(self) -> Migrations:
        """Return the revisions of the tables."""
        return Migrations(name="tradesense", package="tradesense.revisions")

    def indexes(self) -> Sequence[Index]:
        """Return the indexes, each with the question that it serves."""
        return declared()

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Count what there is, once a minute, in one process of each host."""
        self._host = host
        self._recorded = {source: host.bind(RECORDED, source=source) for source in ("entry", "import")}
        # They are there from the start, so that a dashboard shows 0 and not nothing.
        for metric in (TRACKED, TRADERS, ENTERED_TODAY, TRADERS_TODAY, SYMBOLS_TODAY):
            host.bind(metric).set(0)
        host.bind(COUNTED).set(host.clock.time())
        host.spawn("count", lambda: self._keep_counting(host), lease=HostLease("tradesense-count"))
        yield

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection to read. :raises DatabaseUnavailableError: when the database is away."""
        async with self._database.connect() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection with a transaction. :raises DatabaseUnavailableError: when the database is away."""
        async with self._database.begin() as connection:
            yield connection

    def now(self) -> float:
        """Return the Unix time of the service's clock."""
        if self._host is None:
            raise BedplateError("The records are not in use.", "Use them inside the service.")
        return self._host.clock.time()

    def subscribe(self, told: Told) -> None:
        """Have ``told`` called with the user's id whenever records of a user have changed; before anything runs."""
        self._told.append(told)

    async def changed(self, user_id: str) -> None:
        """Tell that records of a user have changed; call it after the commit."""
        for told in self._told:
            await told(user_id)

    def recorded(self, source: str, count: int) -> None:
        """Count trades that were written."""
        self._recorded[source].inc(count)

    async def _keep_counting(self, host: Host) -> None:
        while True:
            try:
                await self.count(host)
            except BedplateError as error:
                host.log.warning("counting_failed", error=str(error))
            await host.clock.sleep(COUNT_EVERY)

    async def count(self, host: Host) -> None:
        """Count all records and those of the day, and show it.

        :raises DatabaseUnavailableError: when the database is away.
        """
        now = host.clock.time()
        async with self.reading() as connection:
            tracked, known = await trades.count(connection), await users.count(connection)
            entered, active, symbols = await trades.entered_since(connection, now - now % _DAY)
        shown = {
            TRACKED: tracked,
            TRADERS: known,
            ENTERED_TODAY: entered,
            TRADERS_TODAY: active,
            SYMBOLS_TODAY: symbols,
        }
        for metric, value in shown.items():
            host.bind(metric).set(value)
        host.bind(COUNTED).set(now)
