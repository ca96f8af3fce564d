"""The database under load while its servers are killed, hang and change places.

An account that is kept beside the database says what became of each write, and the server is asked by psql in the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from random import Random
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bedplate.database import Database, DatabaseSettings
from bedplate.testing import running
from tests.endurance import dice, size, tell
from tests.loaded import TIGHT, Account, Load, named, prepare
from tests.postgres import PgBouncer, Postgres, pgbouncer, postgres, replica


@pytest.fixture
def servers() -> Iterator[tuple[Postgres, Postgres]]:
    with postgres() as primary, replica(primary) as follower:
        yield primary, follower


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
    wrong = account.wrong(primary, named(url))
    tell("a primary and its replica harmed", **account.figures(wrong))
    assert account.stale == []
    assert wrong == []
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
    wrong = account.wrong(follower, named(url))
    tell("PgBouncer killed, and a fail-over behind it", **account.figures(wrong))
    assert account.stale == []
    assert wrong == []


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
