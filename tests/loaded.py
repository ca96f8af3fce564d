"""A database under load: writers who read back what they wrote, and an account of what became of each write.

Each write ends as one of three: it is there (done), it is not (refused), or nobody knows (unknown).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from bedplate.database import Database, DatabaseUnavailableError, OutcomeUnknownError
from bedplate.telemetry.context import WorkContext, current
from bedplate.testing import Harness
from tests.postgres import Postgres

__all__ = ["TIGHT", "Account", "Load", "named", "prepare"]

#: A machine that is busy with other tests answers late, and what hangs is to be noticed soon.
TIGHT: dict[str, Any] = {"connect_timeout": 2.0, "query_timeout": 1.0, "pool_timeout": 2.0, "replica_timeout": 0.5}
WRITERS = 8
ADD = text("INSERT INTO written (writer, n) VALUES (:writer, :n)")
SEEN = text("SELECT coalesce(max(n), 0) FROM written WHERE writer = :writer")


class Account:
    """What became of each write, by writer and number."""

    def __init__(self) -> None:
        self.outcomes: dict[tuple[int, int], str] = {}
        self.counts: Counter[str] = Counter()
        self.stale: list[tuple[int, int, int]] = []

    def note(self, writer: int, n: int, outcome: str) -> None:
        self.outcomes[writer, n] = outcome
        self.counts[outcome] += 1

    def wrong(self, server: Postgres, name: str) -> list[Any]:
        """Return the writes that are not as they were told: missing, there although refused, or there twice."""
        lines = server.sql("SELECT writer, n, count(*) FROM written GROUP BY 1, 2", name).splitlines()
        found = {(int(writer), int(n)): int(times) for writer, n, times in (line.split("|") for line in lines)}
        wanted = {"done": (1,), "refused": (0,), "unknown": (0, 1)}
        return [
            (write, outcome, found.get(write, 0))
            for write, outcome in self.outcomes.items()
            if found.get(write, 0) not in wanted[outcome]
        ] + [write for write in found if write not in self.outcomes]

    def figures(self, wrong: list[Any]) -> dict[str, Any]:
        """Return what is to be told, as :func:`tests.endurance.tell` takes it."""
        return {"writes": self.counts["done"], "wrong": len(wrong), "stale": len(self.stale), **self.counts}


class Load:
    """Writers that go on until they are told to stop, each reading back what it has written."""

    def __init__(self, database: Database, account: Account) -> None:
        self._database = database
        self._account = account
        self._over = False

    async def writer(self, number: int) -> None:
        n, last = 0, 0
        while not self._over:
            n += 1
            current.set(WorkContext(f"request-{number}-{n}", "0" * 32, "0" * 16))
            values = {"writer": number, "n": n}
            try:
                await self._database.run(partial(_add, values), patience=0.2)
            except OutcomeUnknownError:
                self._account.note(number, n, "unknown")
                continue
            except (DatabaseUnavailableError, DBAPIError) as error:
                self._refused(error)
                self._account.note(number, n, "refused")
                continue
            self._account.note(number, n, "done")
            last = n
            try:
                async with self._database.read() as connection:
                    seen = (await connection.execute(SEEN, {"writer": number})).scalar_one()
            except (DatabaseUnavailableError, DBAPIError) as error:
                self._refused(error)
                self._account.counts["unread"] += 1
                continue
            if seen < last:
                self._account.stale.append((number, last, seen))

    def _refused(self, error: Exception) -> None:
        """Let pass what may be: a server that goes on after a while ends the statements whose time is over."""
        if isinstance(error, DBAPIError) and "statement timeout" not in str(error):
            raise error

    @asynccontextmanager
    async def under_way(self, harness: Harness) -> Any:
        """Let all write while inside, and the service's time go on."""

        async def time() -> None:
            while True:
                await asyncio.sleep(0.05)
                await harness.clock.advance(1)

        tasks = [asyncio.create_task(self.writer(number)) for number in range(WRITERS)]
        clock = asyncio.create_task(time())
        try:
            yield
            self._over = True
            async with asyncio.timeout(60):
                await asyncio.gather(*tasks)
        finally:
            for task in (*tasks, clock):
                task.cancel()
            await asyncio.wait([*tasks, clock])

    async def more(self, harness: Harness, writes: int = 40) -> None:
        """Wait until so many more writes have been done."""
        before = self._account.counts["done"]
        await harness.eventually(lambda: self._account.counts["done"] >= before + writes, 60)


async def _add(values: dict[str, int], connection: AsyncConnection) -> None:
    await connection.execute(ADD, values)


def prepare(primary: Postgres) -> str:
    """Make a database with a table; return its URL."""
    url = primary.database()
    primary.sql(
        "CREATE TABLE written (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, writer int NOT NULL,"
        " n int NOT NULL)",
        named(url),
    )
    return url


def named(url: str) -> str:
    """Return the name of the database of a URL."""
    return url.partition("?")[0].rpartition("/")[2]
