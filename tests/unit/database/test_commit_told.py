"""What is committed is told as committed, whenever the server is lost after that."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bedplate.database import Database, DatabaseSettings
from bedplate.database.replicas import asking
from bedplate.testing import running
from tests.postgres import Postgres, pgbouncer


@pytest.mark.parametrize("when", ["before the position is told", "after it"])
async def test_a_server_that_is_lost_right_after_a_commit_has_committed_once(
    server: Postgres, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    url = server.database()
    name = url.partition("?")[0].rpartition("/")[2]
    server.sql("CREATE TABLE notes (n int)", name)
    told = asking.written
    lost: list[Any] = []

    async def losing(connection: AsyncConnection) -> int:
        position = await told(connection) if when == "after it" else 0
        if not lost:
            pid = (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
            lost.append(server.sql(f"SELECT pg_terminate_backend({pid}, 5000)"))
        return position or await told(connection)

    with pgbouncer(server) as bouncer:
        settings = DatabaseSettings(pooler="transaction", replica_timeout=30.0, connect_timeout=30.0)
        # One that never answers: what is written is read from the primary.
        nobody = url.replace(name, "nobody")
        database = Database(bouncer.url(url), replicas=[nobody], settings=settings)
        async with running(database):
            async with database.begin() as connection:
                await connection.execute(text("SELECT 1"))
            monkeypatch.setattr(asking, "written", losing)
            await database.run(lambda connection: connection.execute(text("INSERT INTO notes VALUES (1)")))
            monkeypatch.undo()
    assert lost == ["t"]
    assert server.sql("SELECT count(*) FROM notes", name) == "1"
