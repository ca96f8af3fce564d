"""The rendered configuration of PgBouncer: really started before a real server, with passwords, and used."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from sqlalchemy import text

from bedplate.database import Database, DatabaseSettings, DatabaseUnavailableError
from bedplate.render import Container, Subject
from bedplate.render.pgbouncer import ENVIRONMENTS, pgbouncer_files
from bedplate.testing import running
from tests.postgres import postgres, replica
from tests.redis import free_port

SETTINGS = DatabaseSettings(pooler="transaction", pool_size=15, pool_overflow=15)
CONTAINER = Container(name="shop", target="shop:build")


def test_who_has_no_pooler_gets_none() -> None:
    assert pgbouncer_files(Subject(name="shop", specs=(Database().spec,), container=CONTAINER)) == {}


def test_a_thousand_clients_share_a_hundred_connections_in_production() -> None:
    assert (ENVIRONMENTS["production"].clients, ENVIRONMENTS["production"].servers) == (1000, 100)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
async def test_it_starts_and_a_service_works_through_it(environment: str) -> None:
    subject = Subject(name="shop", specs=(Database(settings=SETTINGS).spec,), container=CONTAINER)
    with tempfile.TemporaryDirectory() as name, postgres() as primary, replica(primary) as follower:
        top, port = Path(name), free_port()
        for path, content in pgbouncer_files(subject).items():
            (top / path).parent.mkdir(parents=True, exist_ok=True)
            (top / path).write_text(content)
        (top / "data").mkdir()
        (top / "database-password").write_text('of "shop"')
        (top / "pgbouncer-admin-password").write_text("of-people")
        top.chmod(0o755)
        primary.sql("""CREATE ROLE shop LOGIN PASSWORD 'of "shop"'""")
        primary.sql("CREATE DATABASE shop OWNER shop")
        environ = {
            **os.environ,
            "DATA": str(top / "data"),
            "SECRETS": name,
            "PORT": str(port),
            "PRIMARY": f"{primary.folder} 5432",
            "REPLICAS": f"{follower.folder} 5432",
        }
        command = ["sh", str(top / "pgbouncer/shop/start"), environment]
        with (top / "log").open("wb") as log:
            process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
        try:
            url = f"postgresql://shop:of%20%22shop%22@127.0.0.1:{port}/shop"
            database = Database(url, replicas=[f"{url}_replica1"], settings=SETTINGS)
            for _ in range(3000):
                assert process.poll() is None, (top / "log").read_text()
                if (top / "data" / f".s.PGSQL.{port}").exists():
                    break
                await asyncio.sleep(0.02)
            async with running(database) as harness:

                async def usable() -> bool:
                    await harness.clock.advance(5)  # it may not have heard of the database at first: it is asked again
                    return database.replicas[0].usable

                await harness.eventually(usable, 60)

                async def add(n: int) -> None:
                    async with database.begin() as connection:
                        await connection.execute(text("INSERT INTO sums VALUES (:n)"), {"n": n})

                async with database.begin() as connection:
                    await connection.execute(text("CREATE TABLE sums (n int)"))
                await asyncio.gather(*(add(n) for n in range(60)))
                async with database.read() as connection:
                    assert (await connection.execute(text("SELECT sum(n) FROM sums"))).scalar_one() == 1770
            servers = int(primary.sql("SELECT count(*) FROM pg_stat_activity WHERE datname = 'shop'"))
            assert 0 < servers <= ENVIRONMENTS[environment].servers
            stranger = Database(f"postgresql://shop:guessed@127.0.0.1:{port}/shop", settings=SETTINGS)
            async with running(stranger):
                with pytest.raises(DatabaseUnavailableError, match="authentication failed"):
                    await stranger.ready()
        finally:
            process.terminate()
            process.wait(60)
