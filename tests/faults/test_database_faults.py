"""The database under load while its servers are killed, hang and change places.

Each write ends as one of three: it is there (done), it is not (refused), or nobody knows (unknown). An account that is
kept beside the database says which, and the server is asked by psql in the end.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from bedplate.database import Database, DatabaseSettings, DatabaseUnavailableError, OutcomeUnknownError
from bedplate.telemetry.context import WorkContext, current
from bedplate.testing import Harness, running
from tests.endurance import dice, size
from tests.postgres import PgBouncer, Postgres, pgbouncer, postgres, replica

#: A machine that is busy with other tests answers late, and what hangs is to be noticed soon.
TIGHT: dict[str, Any] = {"connect_timeout": 2.0, "query_timeout": 1.0, "pool_timeout": 2.0, "replica_timeout": 0.5}
WRITERS = 8
ADD = text("INSERT INTO written VALUES (:writer, :n)")
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
                await self._database.run(
                    lambda connection, values=values: connection.execute(ADD, values), patience=0.2
                )
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


@pytest.fixture
def servers() -> Iterator[tuple[Postgres, Postgres]]:
    with postgres() as primary, replica(primary) as follower:
        yield primary, follower


def prepare(primary: Postgres) -> str:
    """Make a database with a table; return its URL."""
    url = primary.database()
    primary.sql("CREATE TABLE written (writer int, n int)", named(url))
    return url


def named(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


@pytest.mark.timeout(600)
async def test_no_write_is_lost_doubled_or_read_too_early_while_primary_and_replica_are_harmed(
    servers: tuple[Postgres, Postgres],
) -> None:
    primary, follower = servers
    thrown, account = dice(), Account()
    url = prepare(primary)
    settings = DatabaseSettings(**TIGHT, replica_wait=0.02)
    database = Database(url, replicas=[follower.url(named(url))], settings=settings)
    load = Load(database, account)

    async def kill_primary() -> None:
        primary.kill()
        await asyncio.sleep(thrown.uniform(0, 0.5))
        await asyncio.to_thread(primary.start)

    async def restart_primary() -> None:
        await asyncio.to_thread(primary.restart)

    async def hang(server: Postgres) -> None:
        server.hang()
        await asyncio.sleep(thrown.uniform(0.05, 1.5))
        server.resume()

    async def stall_replica() -> None:
        await asyncio.to_thread(follower.pause_replay)
        await asyncio.sleep(thrown.uniform(0.05, 0.5))
        await asyncio.to_thread(follower.resume_replay)

    async def kill_replica() -> None:
        follower.kill()
        await asyncio.to_thread(follower.start)

    harms: dict[str, Callable[[], Awaitable[None]]] = {
        "kill primary": kill_primary,
        "restart primary": restart_primary,
        "hang primary": lambda: hang(primary),
        "stall replica": stall_replica,
        "hang replica": lambda: hang(follower),
        "kill replica": kill_replica,
    }
    async with running(database) as harness, load.under_way(harness):
        await load.more(harness)
        for _ in range(size(1, 15)):
            for name in shuffled(harms, thrown):
                await harms[name]()
                await load.more(harness)  # it heals by itself
    print(dict(account.counts))
    assert account.stale == []
    assert account.wrong(primary, named(url)) == []
    assert account.counts["done"] > 240


@pytest.mark.timeout(600)
async def test_a_failover_behind_a_pooler_loses_nothing_that_was_acknowledged(
    servers: tuple[Postgres, Postgres],
) -> None:
    primary, follower = servers
    thrown, account = dice(), Account()
    url = prepare(primary)
    # What is acknowledged is on the replica, too: only then may a fail-over be asked to lose nothing.
    primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
    primary.sql("SELECT pg_reload_conf()")
    # Who goes through no pooler names all servers, and asks for the one that is the primary.
    hosts = f"host={primary.folder}:5432&host={follower.folder}:5432&target_session_attrs=primary"
    direct = Database(f"postgresql://postgres@/{named(url)}?{hosts}", "direct", settings=DatabaseSettings(**TIGHT))
    with pgbouncer(primary, "server_login_retry = 1\nserver_connect_timeout = 2") as bouncer:
        settings = DatabaseSettings(**TIGHT, pooler="transaction")
        database = Database(bouncer.url(url), settings=settings)
        load = Load(database, account)
        async with running([database, direct]) as harness, load.under_way(harness):
            await load.more(harness)
            assert await direct.run(recovering) is False
            for _ in range(size(1, 20)):
                bouncer.kill()
                await asyncio.sleep(thrown.uniform(0, 0.2))
                await asyncio.to_thread(bouncer.start)
                await load.more(harness)
            primary.kill()
            await asyncio.to_thread(follower.sql, "SELECT pg_promote()")
            await asyncio.to_thread(point_at, bouncer, follower)
            await load.more(harness)
            assert await direct.run(recovering, patience=30) is False
    print(dict(account.counts))
    assert account.stale == []
    assert account.wrong(follower, named(url)) == []


async def recovering(connection: AsyncConnection) -> bool:
    return bool((await connection.execute(text("SELECT pg_is_in_recovery()"))).scalar_one())


def point_at(bouncer: PgBouncer, server: Postgres) -> None:
    """Let a PgBouncer go to another server, as who orders a fail-over does."""
    file = bouncer.folder / "pgbouncer.ini"
    lines = file.read_text().splitlines()
    file.write_text("\n".join(f"* = host={server.folder}" if line.startswith("* =") else line for line in lines))
    bouncer.restart()


def shuffled(names: Any, thrown: Random) -> list[str]:
    order = list(names)
    thrown.shuffle(order)
    return order
