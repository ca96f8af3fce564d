"""Transactions that are done again: when the database undid them or went away before the commit, and never else."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from bedplate.database import Database, DatabaseUnavailableError, OutcomeUnknownError
from bedplate.testing import running
from tests.postgres import Postgres


async def make(database: Database, rows: int = 2) -> None:
    async with database.begin() as connection:
        await connection.execute(text("CREATE TABLE counters (id integer PRIMARY KEY, n integer NOT NULL)"))
        for row in range(rows):
            await connection.execute(text("INSERT INTO counters VALUES (:id, 0)"), {"id": row})


async def total(database: Database) -> int:
    async with database.connect() as connection:
        return int((await connection.execute(text("SELECT sum(n) FROM counters"))).scalar_one())


async def test_serializable_transactions_that_met_are_done_again_until_each_has_counted(url: str) -> None:
    database = Database(url)
    async with running(database):
        await make(database)

        async def add(connection: AsyncConnection) -> None:
            n = (await connection.execute(text("SELECT n FROM counters WHERE id = 0"))).scalar_one()
            await asyncio.sleep(0)
            await connection.execute(text("UPDATE counters SET n = :n WHERE id = 0"), {"n": n + 1})

        runs = [database.run(add, isolation="SERIALIZABLE", attempts=100) for _ in range(10)]
        await asyncio.gather(*runs)
        assert await total(database) == 10


async def test_a_deadlock_is_done_again_and_given_up_when_it_is_the_last_attempt(server: Postgres) -> None:
    database = Database(server.database())
    async with running(database):
        await make(database)
        server.sql("ALTER SYSTEM SET deadlock_timeout = '20ms'")
        server.sql("SELECT pg_reload_conf()")
        met = asyncio.Barrier(2)

        async def both(connection: AsyncConnection, order: tuple[int, int], times: list[int]) -> None:
            times.append(1)
            statement = text("UPDATE counters SET n = n + 1 WHERE id = :id")
            await connection.execute(statement, {"id": order[0]})
            if len(times) == 1:
                await met.wait()
            await connection.execute(statement, {"id": order[1]})

        one: list[int] = []
        other: list[int] = []
        await asyncio.gather(
            database.run(lambda connection: both(connection, (0, 1), one)),
            database.run(lambda connection: both(connection, (1, 0), other)),
        )
        assert len(one) + len(other) == 3
        assert await total(database) == 4
        results = await asyncio.gather(
            database.run(lambda connection: both(connection, (0, 1), []), attempts=1),
            database.run(lambda connection: both(connection, (1, 0), []), attempts=1),
            return_exceptions=True,
        )
        assert sum(isinstance(result, DBAPIError) for result in results) == 1
        assert await total(database) == 6


async def test_what_is_the_functions_own_fault_is_not_done_again(url: str) -> None:
    database = Database(url)
    async with running(database):
        await make(database)
        times = 0

        async def twice(connection: AsyncConnection) -> None:
            nonlocal times
            times += 1
            await connection.execute(text("INSERT INTO counters VALUES (0, 0)"))

        with pytest.raises(IntegrityError):
            await database.run(twice)
        assert times == 1


async def test_each_counts_once_while_the_primary_is_killed_and_the_pool_heals_by_itself(server: Postgres) -> None:
    database = Database(server.database())
    async with running(database) as harness:
        await make(database, 8)
        counted = unknown = 0
        over = False

        async def add(connection: AsyncConnection, row: int) -> None:
            await connection.execute(text("UPDATE counters SET n = n + 1 WHERE id = :id"), {"id": row})

        async def writer(row: int) -> None:
            nonlocal counted, unknown
            while not over:
                try:
                    await database.run(lambda connection: add(connection, row), patience=60.0)
                    counted += 1
                except OutcomeUnknownError:
                    unknown += 1

        writers = [asyncio.create_task(writer(row)) for row in range(8)]
        for _ in range(3):
            before = counted
            await harness.eventually(lambda before=before: counted > before + 50, 60)  # type: ignore[misc]
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            await harness.clock.advance(2)
        before = counted
        await harness.eventually(lambda: counted > before + 50, 60)
        over = True
        await asyncio.gather(*writers)
        assert counted <= await total(database) <= counted + unknown
        await database.ping()


async def test_who_will_not_wait_is_told_at_once(server: Postgres) -> None:
    database = Database(server.database())
    async with running(database):
        await database.ping()
        server.stop()
        try:
            with pytest.raises(DatabaseUnavailableError, match="cannot be reached"):
                await database.run(lambda connection: connection.execute(text("SELECT 1")), patience=0.0)
        finally:
            server.start()
