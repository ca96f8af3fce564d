"""What a real PgBouncer says of its pools, shown; and one that is away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from bedplate.database import Database, DatabaseSettings, DatabaseUnavailableError
from bedplate.database.pgbouncer import PgBouncer
from bedplate.database.pgbouncer.metrics import CLIENTS, SERVERS, TRANSACTIONS, UP, WAIT
from bedplate.testing import CASES, running
from tests.postgres import Postgres, pgbouncer


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_it_conforms(case: Any) -> None:
    await case(lambda: PgBouncer("postgresql://nobody@127.0.0.1:1/pgbouncer"))


async def test_who_waits_is_seen_and_a_restart_counts_on(server: Postgres) -> None:
    with pgbouncer(server, "default_pool_size = 2") as bouncer:
        url = server.database()
        name = url.rpartition("@/")[2].partition("?")[0]
        # However long it takes until all are seen, none that holds or waits is given up meanwhile.
        patient = DatabaseSettings(pooler="transaction", query_timeout=120, idle_transaction_timeout=0)
        database = Database(bouncer.url(url), settings=patient)
        watched = PgBouncer(bouncer.url("pgbouncer"))
        async with running([database, watched]) as harness:
            over = asyncio.Event()

            async def hold() -> None:
                async with database.connect() as connection:
                    await connection.execute(text("SELECT 1"))
                    await over.wait()

            holders = [asyncio.create_task(hold()) for _ in range(5)]

            async def seen() -> bool:
                # All of one look: a server that is being connected is not active yet while its client does not wait any
                # more, and the database's own probe comes and goes as a client of its own.
                await watched.look()
                clients = {
                    state: await harness.value(CLIENTS, pool=name, state=state) for state in ("active", "waiting")
                }
                active = await harness.value(SERVERS, pool=name, state="active")
                shown = watched.overview()[name]["clients"]
                return clients == shown == {"active": 2, "waiting": 3} and active == 2

            await harness.eventually(seen, 60)
            assert await harness.value(WAIT, pool=name) > 0
            over.set()
            await asyncio.gather(*holders)

            async def counted() -> bool:
                await watched.look()
                return await harness.value(TRANSACTIONS, pool=name) >= 5

            await harness.eventually(counted, 60)
            before = await harness.value(TRANSACTIONS, pool=name)
            bouncer.kill()
            with pytest.raises(DatabaseUnavailableError, match="does not answer"):
                await watched.look()
            assert await harness.value(UP) == 0
            bouncer.start()
            await database.ping()
            await harness.eventually(watched_again(watched), 60)
            assert await harness.value(UP) == 1
            assert await harness.value(TRANSACTIONS, pool=name) >= before


def watched_again(watched: PgBouncer) -> Any:
    async def look() -> bool:
        await watched.look()
        return True

    return look
