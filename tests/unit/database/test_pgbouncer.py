"""Behind a real PgBouncer in transaction mode: everything works that can, and what cannot is refused in words."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from bedplate.database import Database, DatabaseSettings, DatabaseUnavailableError
from bedplate.problems import BedplateError
from bedplate.telemetry.context import WorkContext, current
from bedplate.testing import running
from tests.postgres import PgBouncer, Postgres, pgbouncer, replica

BEHIND = DatabaseSettings(pooler="transaction")


@pytest.fixture(scope="module")
def bouncer(server: Postgres) -> Iterator[PgBouncer]:
    with pgbouncer(server, "default_pool_size = 3") as running:
        yield running


async def test_many_connections_share_few_and_its_restart_is_survived(server: Postgres, bouncer: PgBouncer) -> None:
    databases = [Database(bouncer.url(server.database()), settings=BEHIND) for _ in range(1)]
    database = databases[0]
    async with running(database):
        async with database.begin() as connection:
            await connection.execute(text("CREATE TABLE counters (id integer PRIMARY KEY, n integer NOT NULL)"))
            await connection.execute(text("INSERT INTO counters VALUES (0, 0)"))

        async def add(number: int) -> None:
            for step in range(10):
                async with database.begin() as connection:
                    # Many statements, each another one, and the same ones by connections that change servers.
                    found = await connection.execute(text(f"SELECT {number % 7} + :n"), {"n": step})
                    assert found.scalar_one() == number % 7 + step
                    await connection.execute(text("SET LOCAL statement_timeout = '20s'"))
                    await connection.execute(text("UPDATE counters SET n = n + :by WHERE id = 0"), {"by": 1})

        await asyncio.gather(*(add(number) for number in range(25)))
        assert int(server.sql("SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'test%'")) >= 1
        bouncer.restart()
        await database.run(lambda connection: connection.execute(text("UPDATE counters SET n = n + 1")))
        async with database.connect() as connection:
            assert (await connection.execute(text("SELECT n FROM counters"))).scalar_one() == 251
        bouncer.kill()
        with pytest.raises(DatabaseUnavailableError):
            await database.ping()
        bouncer.start()
        await database.ping()


@pytest.mark.parametrize(
    ("statement", "mend"),
    [
        ("SET statement_timeout = 5", "SET LOCAL"),
        ("  set search_path to other", "SET LOCAL"),
        ("SELECT set_config('app.user', '7', false)", "SET LOCAL"),
        ("SELECT pg_advisory_lock(1)", "pg_advisory_xact_lock"),
        ("SELECT pg_try_advisory_lock(1)", "RowLease"),
        ("LISTEN news", "the server itself"),
        ("PREPARE one AS SELECT 1", "driver"),
        ("CREATE TEMP TABLE scratch (n int)", "ON COMMIT DROP"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "within a transaction"),
    ],
)
async def test_what_outlives_a_transaction_is_refused(
    statement: str, mend: str, server: Postgres, bouncer: PgBouncer
) -> None:
    database = Database(bouncer.url("postgres"), settings=BEHIND)
    async with running(database):
        with pytest.raises(BedplateError, match=mend):
            async with database.begin() as connection:
                await connection.execute(text(statement))


async def test_what_ends_with_its_transaction_is_not(server: Postgres, bouncer: PgBouncer) -> None:
    database = Database(bouncer.url(server.database()), settings=BEHIND)
    async with running(database), database.begin() as connection:
        for statement in (
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "SET LOCAL search_path TO public",
            "SELECT set_config('app.user', '7', true)",
            "SELECT pg_advisory_xact_lock(1)",
            "CREATE TEMPORARY TABLE scratch (n int) ON COMMIT DROP",
            "NOTIFY news",
            "SELECT 'PREPARE one', 'LISTEN'",
        ):
            await connection.execute(text(statement))


async def test_replicas_show_own_writes_through_it(server: Postgres, bouncer: PgBouncer) -> None:
    with replica(server) as follower, pgbouncer(follower) as other:
        url = server.database()
        settings = DatabaseSettings(pooler="transaction", replica_timeout=30.0, connect_timeout=30.0)
        database = Database(bouncer.url(url), replicas=[other.url(url)], settings=settings)
        async with running(database) as harness:

            async def usable() -> bool:
                await harness.clock.advance(5)  # it may not have heard of the database at first, and is looked at again
                return database.replicas[0].usable

            await harness.eventually(usable, 60)
            async with database.begin() as connection:
                await connection.execute(text("CREATE TABLE notes (n int)"))
                await connection.execute(text("INSERT INTO notes VALUES (0)"))
            for n in range(1, 30):
                current.set(WorkContext("request", "0" * 32, "0" * 16))
                async with database.begin() as connection:
                    await connection.execute(text("UPDATE notes SET n = :n"), {"n": n})
                async with database.read() as connection:
                    assert (await connection.execute(text("SELECT n FROM notes"))).scalar_one() == n
