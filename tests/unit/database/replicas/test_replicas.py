"""Replicas over real servers: reads go to them, never see the past of their writer, and survive what befalls them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bedplate.database import Database, DatabaseSettings, DatabaseUnavailableError
from bedplate.database.replicas.metrics import BYTES, FALLBACKS, LAG, READS, USED
from bedplate.problems import BedplateError
from bedplate.service import Service
from bedplate.service.lifecycle import StartError
from bedplate.telemetry.context import WorkContext, current
from bedplate.testing import CASES, running, settings
from tests.postgres import Postgres, postgres, replica

#: Whom a busy machine keeps waiting is not ejected for it.
CALM = DatabaseSettings(pool_size=20, replica_timeout=30.0, connect_timeout=30.0)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Postgres, Postgres, Postgres]]:
    with postgres() as primary, replica(primary) as one, replica(primary) as two:
        yield primary, one, two


@pytest.fixture
def urls(servers: tuple[Postgres, Postgres, Postgres]) -> Iterator[list[str]]:
    primary, *followers = servers
    name = primary.database().rpartition("@/")[2].partition("?")[0]
    primary.sql("CREATE TABLE notes (id int PRIMARY KEY, n int NOT NULL)", name)
    primary.sql("INSERT INTO notes VALUES (1, 0)", name)
    for follower in followers:
        while primary.sql("SELECT pg_current_wal_flush_lsn()") > follower.sql("SELECT pg_last_wal_replay_lsn()"):
            pass
    yield [server.url(name) for server in servers]
    for follower in followers:
        if follower._process is None:
            follower.start()
        follower.resume()
        with suppress(AssertionError):
            follower.resume_replay()


def database_of(urls: list[str], options: DatabaseSettings = CALM) -> Database:
    return Database(urls[0], replicas=urls[1:], settings=options)


async def ready(database: Database, harness: Any, healthy: int = 2) -> None:
    async def usable() -> bool:
        if sum(one.usable for one in database.replicas) == healthy:
            return True
        await harness.clock.advance(5)  # one that did not answer at first is looked at again
        return False

    await harness.eventually(usable, 60)


async def write(database: Database, n: int) -> None:
    async with database.begin() as connection:
        await connection.execute(text("UPDATE notes SET n = :n WHERE id = 1"), {"n": n})


async def number(database: Database, *, stale_ok: bool = False) -> int:
    async with database.read(stale_ok=stale_ok) as connection:
        return int((await connection.execute(text("SELECT n FROM notes WHERE id = 1"))).scalar_one())


def work(database: Database, written: str = "") -> None:
    """Begin another request, which has been told how far its session has come."""
    current.set(WorkContext("request", "0" * 32, "0" * 16))
    database.must_see(written)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_it_conforms_with_replicas(case: Any, urls: list[str]) -> None:
    await case(lambda: database_of(urls))


async def test_replicas_take_turns_and_no_read_can_write(urls: list[str]) -> None:
    database = database_of(urls)
    async with running(database) as harness:
        await ready(database, harness)
        work(database)
        for _ in range(6):
            async with database.read() as connection:
                assert (await connection.execute(text("SELECT pg_is_in_recovery()"))).scalar_one() is True
        assert await harness.value(READS, server="replica1") == await harness.value(READS, server="replica2") == 3
        with pytest.raises(DBAPIError, match="read-only"):
            async with database.read() as connection:
                await connection.execute(text("DELETE FROM notes"))
        database.must_see("primary")
        with pytest.raises(DBAPIError, match="read-only"):
            async with database.read() as connection:
                await connection.execute(text("DELETE FROM notes"))
        assert await harness.value(FALLBACKS, reason="behind") == 1
        assert await number(database) == 0  # the primary's position is known by now, and replicas have come that far
        assert await harness.value(READS, server="primary") == 1


async def test_nobody_reads_the_past_of_what_was_written_while_a_replica_stalls_and_goes_on(
    urls: list[str], servers: tuple[Postgres, Postgres, Postgres]
) -> None:
    database, stalling = database_of(urls), servers[1]
    async with running(database) as harness:
        await ready(database, harness)
        stale: list[tuple[int, int]] = []
        current.set(None)

        async def session(row: int) -> None:
            written = ""
            for n in range(1, 41):
                work(database, written)  # a request of the session, maybe at another instance
                async with database.begin() as connection:
                    await connection.execute(
                        text("INSERT INTO notes VALUES (:id, :n) ON CONFLICT (id) DO UPDATE SET n = :n"),
                        {"id": row, "n": n},
                    )
                written = database.written
                work(database, written)
                async with database.read() as connection:
                    seen = (await connection.execute(text("SELECT n FROM notes WHERE id = :id"), {"id": row})).scalar()
                if seen != n:
                    stale.append((n, seen or 0))

        async def stall() -> None:
            for _ in range(4):
                await asyncio.to_thread(stalling.pause_replay)
                await asyncio.sleep(0.05)
                await asyncio.to_thread(stalling.resume_replay)

        await asyncio.gather(stall(), *(asyncio.create_task(session(row)) for row in range(10, 22)))
        assert stale == []
        answered = [await harness.value(READS, server=name) for name in ("primary", "replica1", "replica2")]
        assert sum(answered) == 480 and answered[2] > 0


async def test_who_may_see_the_past_does_not_wait_and_a_token_binds_who_carries_it(
    urls: list[str], servers: tuple[Postgres, Postgres, Postgres]
) -> None:
    database = database_of(urls[:2])
    async with running(database) as harness:
        await ready(database, harness, 1)
        servers[1].pause_replay()
        work(database)
        await write(database, 7)
        written = database.written
        assert "/" in written
        assert (await number(database), await number(database, stale_ok=True)) == (7, 0)
        work(database)
        assert (await number(database), database.written) == (0, "")  # another one's request waits for nobody
        work(database, written)
        assert await number(database) == 7
        current.set(None)  # no request: all that this process wrote is seen
        assert await number(database) == 7
        servers[1].resume_replay()
        work(database)
        await write(database, 8)
        for written in (database.written, "no position", "FFFFFFFF/FFFFFFFF"):
            work(database, written)
            assert await number(database) == 8


async def test_a_request_is_a_piece_of_work_and_its_cookie_carries_how_far_the_session_is(
    urls: list[str], servers: tuple[Postgres, Postgres, Postgres]
) -> None:
    own = settings(database_url=urls[0], database_replica_urls=urls[1:2])
    assert "hidden" not in repr(settings(database_replica_urls=["postgresql://shop:hidden@db-2/shop"]))
    database = Database(own.database_url or "", replicas=own.database_replica_urls, settings=CALM)
    app = FastAPI()

    @app.put("/{n}")
    async def put(n: int) -> str:
        await asyncio.create_task(write(database, n))  # any task of the request's
        return database.written

    @app.get("/")
    async def get(written: str = "") -> int:
        database.must_see(written)
        return await number(database)

    async with running(Service("shop", app, [database], settings=own)) as harness:
        await ready(database, harness, 1)
        await asyncio.to_thread(servers[1].pause_replay)
        written = (await harness.client.put("/5")).json()
        assert (await harness.client.get("/")).json() == 0
        assert (await harness.client.get("/", params={"written": written})).json() == 5


async def test_one_that_is_behind_is_ejected_told_and_returns_when_it_has_caught_up(
    urls: list[str], servers: tuple[Postgres, Postgres, Postgres]
) -> None:
    database = database_of(urls)
    async with running(database) as harness:
        await ready(database, harness)
        await harness.clock.advance(300)  # idle for minutes: nothing lags
        assert await harness.value(LAG, replica="replica1") < 1
        servers[1].pause_replay()
        await write(database, 1)

        async def looked_at() -> bool:
            await harness.clock.advance(5)
            return not database.replicas[0].usable

        await harness.eventually(looked_at, 60)
        found = (await harness.client.get("/database/replica/health")).json()
        assert (found["status"], found["healthy"], found["replicas"][0]["state"]) == ("degraded", 1, "behind")
        assert await harness.value(LAG, replica="replica1") > 10
        assert await harness.value(BYTES, replica="replica1") > 0
        assert await harness.value(USED, replica="replica1") == 0
        lag = (await harness.client.get("/database/replica/lag")).json()
        assert lag["maxLagSeconds"] > 10 and lag["replicas"]["replica2"]["lagSeconds"] < 1
        work(database)
        assert [await number(database) for _ in range(4)] == [1] * 4  # of the other one
        servers[1].resume_replay()

        async def returned() -> bool:
            await harness.clock.advance(5)
            return database.replicas[0].usable

        await harness.eventually(returned, 60)
        assert await harness.value(LAG, replica="replica1") < 1


async def test_readers_see_no_error_while_replicas_are_killed_and_hang(
    urls: list[str], servers: tuple[Postgres, Postgres, Postgres]
) -> None:
    database, (_, one, two) = database_of(urls, DatabaseSettings(pool_size=20, replica_timeout=3.0)), servers
    async with running(database) as harness:
        await ready(database, harness)
        done, over = 0, False

        async def reader() -> None:
            nonlocal done
            work(database)
            while not over:
                assert await number(database, stale_ok=True) == 0
                done += 1

        async def more() -> None:
            before = done
            await harness.eventually(lambda: done > before + 200, 60)

        readers = [asyncio.create_task(reader()) for _ in range(8)]
        await more()
        await asyncio.to_thread(one.kill)
        await more()
        assert not database.replicas[0].usable
        await asyncio.to_thread(two.kill)
        await more()
        assert [replica.usable for replica in database.replicas] == [False, False]
        found = (await harness.client.get("/database/replica/health")).json()
        assert (found["status"], found["readsFrom"]) == ("unhealthy", "primary")
        await asyncio.to_thread(one.start)
        await asyncio.to_thread(two.start)

        async def back() -> bool:
            await harness.clock.advance(5)
            return all(replica.usable for replica in database.replicas)

        await harness.eventually(back, 60)
        over = True
        await asyncio.gather(*readers)
        assert await harness.value(FALLBACKS, reason="fault") > 0
        assert await harness.value(FALLBACKS, reason="unhealthy") > 0
        two.hang()
        assert [await number(database, stale_ok=True) for _ in range(2)] == [0, 0]
        assert [replica.usable for replica in database.replicas] == [True, False]
        two.resume()


async def test_replicas_answer_while_the_primary_is_away(
    urls: list[str], servers: tuple[Postgres, Postgres, Postgres]
) -> None:
    database = database_of(urls)
    async with running(database) as harness:
        await ready(database, harness)
        servers[0].stop()
        try:
            work(database)
            assert [await number(database) for _ in range(4)] == [0] * 4
            with pytest.raises(DatabaseUnavailableError):
                await write(database, 1)
            await harness.clock.advance(60)
            assert await number(database) == 0
        finally:
            servers[0].start()
        await write(database, 1)
        assert await number(database) == 1


async def test_what_is_no_replica_of_the_primary_is_never_read_from(urls: list[str]) -> None:
    with postgres(stranger=True) as stranger:
        database = Database(urls[0], replicas=[urls[0], stranger.url("postgres"), urls[1]], settings=CALM)
        async with running(database) as harness:
            await ready(database, harness, 1)
            await harness.eventually(lambda: all(one.seen is not None for one in database.replicas))
            assert [one.state for one in database.replicas] == ["foreign", "foreign", "healthy"]
            assert [await number(database, stale_ok=True) for _ in range(3)] == [0, 0, 0]
            assert await harness.value(READS, server="replica3") == 3


async def test_figures_of_a_database_without_replicas_and_of_one_with_them(urls: list[str]) -> None:
    database, alone = database_of(urls), Database(urls[0], "alone")
    async with running([database, alone]) as harness:
        await ready(database, harness)
        work(database)
        await number(database)
        await harness.clock.advance(30)
        get = harness.client.get
        info = (await get("/database/info")).json()
        assert (info["type"], info["available"], info["replicas"]) == ("postgresql", True, {"total": 2, "healthy": 2})
        assert (await get("/database/replica/stats")).json()["reads"] == {"primary": 0, "replica1": 1, "replica2": 0}
        pools = (await get("/database/replica/pool-stats")).json()
        assert pools["primary"]["limit"] == pools["replicas"]["replica1"]["limit"] == 40
        assert (await get("/database/replica/health?database=alone")).json()["status"] == "none"
        checks = [check for check in database.spec.checks if check.group == "replicas"]
        assert len(checks) == 5 and {await _passes(harness, check) for check in checks} == {True}
        assert "replicas" not in {check.group for check in alone.spec.checks}
        seen = database.overview()["replicas"]
        assert (seen["total"], seen["healthy"], seen["readsFrom"]) == (2, 2, "replicas") and seen["maxLagSeconds"] < 10
        (section,) = database.sections()
        assert [moment.text for moment in section.moments] == ["replica1 is healthy", "replica2 is healthy"]
        assert section.summary == "2 of 2 answer reads." and not alone.sections()
        assert (await get("/database/replica/health?database=none")).status_code == 404
        assert (await get("/database/info", headers={"authorization": "Bearer nobody"})).status_code == 401


async def _passes(harness: Any, check: Any) -> bool:
    answer = await harness.client.request(check.method, check.path)
    found = [_of(answer.json(), path) for path in check.fields]
    return answer.status_code == check.expect and None not in found


def _of(document: Any, path: str) -> Any:
    for name in path.split("."):
        document = document[int(name)] if isinstance(document, list) else document[name]
    return document


async def test_a_file_has_no_replicas(urls: list[str]) -> None:
    with pytest.raises((BedplateError, StartError), match="no PostgreSQL server"):
        async with running(Database(replicas=urls[1:])):
            pass


async def test_a_read_of_a_file_is_a_read(tmp_path: Any) -> None:
    database = Database(f"sqlite:///{tmp_path / 'records.sqlite3'}")
    async with running(database):
        async with database.begin() as connection:
            await connection.execute(text("CREATE TABLE notes (id int, n int)"))
            await connection.execute(text("INSERT INTO notes VALUES (1, 4)"))
        assert (await number(database), database.written) == (4, "")
