"""What a server is told of who asks and how long it may take, directly and behind a pooler; how the pool is used."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bedplate.database import Database, DatabaseSettings, DatabaseUnavailableError, OutcomeUnknownError
from bedplate.database.metrics import POOL, POOL_USE, POOL_WAIT, UP
from bedplate.metric import Metric
from bedplate.problems import BedplateError
from bedplate.telemetry.context import WorkContext, current
from bedplate.testing import Harness, running
from tests.postgres import PgBouncer, Postgres, pgbouncer

WHO = text("SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()")


@pytest.fixture(scope="module")
def bouncer(server: Postgres) -> Iterator[PgBouncer]:
    with pgbouncer(server, "default_pool_size = 2") as running:
        yield running


@pytest.fixture(params=["direct", "pooled"])
def reached(request: pytest.FixtureRequest, server: Postgres, bouncer: PgBouncer) -> tuple[str, dict[str, Any]]:
    """A database with one thing in it, reached directly or through a pooler, and what must be said for it."""
    url = server.database()
    server.sql("CREATE TABLE things (id integer PRIMARY KEY)", named(url))
    server.sql("INSERT INTO things VALUES (1)", named(url))
    return (url, {}) if request.param == "direct" else (bouncer.url(url), {"pooler": "transaction"})


def named(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


async def _is(harness: Harness, metric: Metric, value: float) -> bool:
    return await harness.value(metric) == value


def state(error: pytest.ExceptionInfo[DBAPIError]) -> str:
    return str(getattr(error.value.orig, "sqlstate", ""))


@pytest.mark.parametrize(
    ("identity", "named"),
    [
        ("0195c3f0-1111-7000-8000-000000000007", "0195c3f0-1111-7000-8000-000000000007"),
        ("x'; CREATE TABLE made (n int); --" * 3, "x___CREATE_TABLE_made"),
    ],
)
async def test_a_transaction_names_its_request_and_nobody_elses(
    identity: str, named: str, reached: tuple[str, dict[str, Any]], server: Postgres
) -> None:
    database = Database(reached[0], settings=DatabaseSettings(**reached[1]))
    async with running(database) as harness:
        current.set(WorkContext(identity, "0" * 32, "0" * 16))
        async with database.begin() as connection:
            shown = (await connection.execute(WHO)).scalar_one()
        assert shown.startswith(f"{harness.service.name} {named}") and len(shown) <= 63
        async with database.begin(isolation="SERIALIZABLE") as connection:
            assert (await connection.execute(WHO)).scalar_one() == shown
            assert (await connection.execute(text("SHOW transaction_isolation"))).scalar_one() == "serializable"
        current.set(None)
        async with database.connect() as connection:
            assert (await connection.execute(WHO)).scalar_one() == harness.service.name
            assert (await connection.execute(text("SELECT to_regclass('made')"))).scalar_one() is None


async def test_a_server_ends_what_takes_too_long_and_is_not_away_for_it(reached: tuple[str, dict[str, Any]]) -> None:
    database = Database(reached[0], settings=DatabaseSettings(**reached[1], query_timeout=2.0))
    async with running(database) as harness:
        with pytest.raises(DBAPIError, match="statement timeout") as late:
            async with database.begin() as connection:
                await connection.execute(text("SELECT pg_sleep(60)"))
        assert state(late) == "57014"
        assert await harness.value(UP) == 1
        async with database.begin() as connection:
            await connection.execute(text("SET LOCAL statement_timeout = 0"))  # who must may take longer


async def test_a_server_ends_what_waits_too_long_for_a_lock(reached: tuple[str, dict[str, Any]]) -> None:
    database = Database(reached[0], settings=DatabaseSettings(**reached[1], lock_timeout=0.1))
    async with running(database):
        async with database.begin() as holder:
            await holder.execute(text("UPDATE things SET id = 2"))
            with pytest.raises(DBAPIError, match="lock timeout") as kept:
                async with database.begin() as other:
                    await other.execute(text("UPDATE things SET id = 3"))
            assert state(kept) == "55P03"
        async with database.begin() as connection:
            assert (await connection.execute(text("SELECT id FROM things"))).scalar_one() == 2


async def test_who_does_nothing_in_a_transaction_loses_it_and_what_it_holds_is_free(
    reached: tuple[str, dict[str, Any]], server: Postgres
) -> None:
    database = Database(reached[0], settings=DatabaseSettings(**reached[1], idle_transaction_timeout=1.0))
    async with running(database):
        open = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{named(reached[0])}' AND state LIKE 'idle in%'"
        with pytest.raises(DatabaseUnavailableError):
            async with database.begin() as idle:
                await idle.execute(text("UPDATE things SET id = 2"))
                while await asyncio.to_thread(server.sql, open) != "0":
                    await asyncio.sleep(0.02)
                await database.run(lambda other: other.execute(text("UPDATE things SET id = 3")))
                await idle.execute(text("SELECT 1"))
        async with database.connect() as connection:
            assert (await connection.execute(text("SELECT id FROM things"))).scalar_one() == 3


async def test_a_commit_that_its_replicas_do_not_confirm_is_not_taken_for_one(server: Postgres) -> None:
    url = server.database()
    server.sql("CREATE TABLE things (id integer)", named(url))
    database = Database(url, settings=DatabaseSettings(query_timeout=2.0))
    async with running(database):
        server.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        server.sql("SELECT pg_reload_conf()")
        try:
            # A server whose wait for a replica is ended says that all is well: its own time limit must not do that.
            with pytest.raises(OutcomeUnknownError):
                async with database.begin() as connection:
                    while (await connection.execute(text("SHOW synchronous_standby_names"))).scalar_one() != "nobody":
                        pass
                    await connection.execute(text("INSERT INTO things VALUES (1)"))
        finally:
            server.sql("ALTER SYSTEM RESET synchronous_standby_names")
            server.sql("SELECT pg_reload_conf()")


@pytest.mark.parametrize("ignored", ["", "statement_timeout, lock_timeout, idle_in_transaction_session_timeout"])
async def test_a_pooler_that_nobody_told_of_is_named(ignored: str, server: Postgres) -> None:
    lines = f"ignore_startup_parameters = {ignored}" if ignored else ""
    with pgbouncer(server, f"default_pool_size = 2\n{lines}") as hidden:
        database = Database(hidden.url(server.database()))
        async with running(database) as harness:

            async def ask() -> None:
                for _ in range(10):
                    async with database.begin() as connection:
                        await connection.execute(text("SELECT 1"))

            found = await asyncio.gather(*(ask() for _ in range(12)), return_exceptions=True)
            failures = [error for error in found if error is not None]
            assert failures and all(isinstance(error, DatabaseUnavailableError) for error in failures)
            assert all("BEDPLATE_DATABASE__POOLER=transaction" in str(error) for error in failures)
            assert harness.service.builtins.logs.tail.search(text="pooler_not_told_of")
            if not ignored:  # else one may get through
                assert database.overview()["available"] is False
                assert await harness.value(UP) == 0


async def test_what_cannot_be_behind_a_pooler_is_found_behind_what_stands_before_it(
    server: Postgres, bouncer: PgBouncer
) -> None:
    database = Database(bouncer.url("postgres"), settings=DatabaseSettings(pooler="transaction"))
    async with running(database):
        for statement in (
            "/* asked */ SET statement_timeout = 5", "-- asked\nRESET ALL", "CREATE TEMP VIEW v AS SELECT 1",
            "SELECT 1 AS n INTO TEMP scratch", "LOAD 'plpgsql'",
        ):  # fmt: skip
            with pytest.raises(BedplateError, match="a pooler in transaction mode stands between"):
                async with database.begin() as connection:
                    await connection.execute(text(statement))


async def test_a_pooler_that_is_told_of_and_does_not_stand_there_is_said(server: Postgres) -> None:
    database = Database(server.database(), settings=DatabaseSettings(pooler="transaction"))
    async with running(database) as harness:
        assert harness.service.builtins.logs.tail.search(text="pooler_not_found")


async def test_waits_for_connections_and_their_use_are_measured(url: str) -> None:
    settings = DatabaseSettings(pool_size=1, pool_overflow=1, pool_timeout=0.05)
    database = Database(url, settings=settings)
    async with running(database) as harness:
        async with database.connect() as one, database.connect() as two:
            for connection in (one, two):
                await connection.execute(text("SELECT 1"))
            assert await harness.value(POOL) == 2
            with pytest.raises(DatabaseUnavailableError, match="All 2 connections"):
                async with database.connect():
                    raise AssertionError("there is none left")
            held = await harness.value(f"{POOL_USE.name}_count", server="primary")
        await harness.eventually(lambda: _is(harness, POOL, 0))  # the probe asks, too
        assert await harness.value(f"{POOL_USE.name}_count", server="primary") >= held + 2
        assert await harness.value(f"{POOL_WAIT.name}_count", server="primary") >= held + 3
        assert await harness.value(f"{POOL_WAIT.name}_sum", server="primary") > 0.05
        assert (await harness.client.get("/monitoring/unified/metrics")).json()["database"]["available"] is True
