"""A cutover beside traffic that wants its locks, comes through a pooler that dies, and reads replicas that stall.

Whoever wants a lock that everybody waits for must not let a queue grow behind it; and whoever writes must read it back,
from wherever he reads, before, while and after a table is exchanged under him.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest

from bedplate.database import Database, DatabaseSettings
from bedplate.database.cutover import Plan
from bedplate.testing import running
from tests.crowd import Crowd, laid
from tests.endurance import dice, size, tell
from tests.loaded import TIGHT, Account, Load, named, prepare
from tests.postgres import Postgres, pgbouncer, postgres, replica
from tests.steered import Desk, Worker

#: Seconds for which somebody holds a table for no reason: whoever waits behind him would wait as long.
HELD = size(3.0, 12.0)
TABLES = ("entries",)
#: What holds a table and no row that anybody else wants.
_WRITES = "INSERT INTO entries (id, organization_id, writer, amount) VALUES (0, 0, 0, 0)"
_READS = "SELECT count(*) FROM entries"


@pytest.fixture(scope="module")
def leader() -> Iterator[Postgres]:
    with postgres(18) as running:
        yield running


class Queue:
    """Watches, by the server's own clock, for how long anybody of the crowd waits for a table while inside."""

    def __init__(self, url: str) -> None:
        self._url, self._over = url, threading.Event()
        self.longest, self.seen = 0.0, 0
        self._error: Exception | None = None

    def __enter__(self) -> Queue:
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)
        if self._error is not None:
            raise self._error

    def _look(self) -> None:
        try:
            with psycopg.connect(self._url, autocommit=True) as connection:
                while not self._over.wait(0.01):
                    (waited, count) = connection.execute(
                        """SELECT coalesce(extract(epoch FROM clock_timestamp() - min(l.waitstart))::float8, 0),
                          count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                        WHERE a.application_name LIKE 'crowd%' AND NOT l.granted AND l.locktype = 'relation'"""
                    ).fetchall()[0]
                    self.longest, self.seen = max(self.longest, waited), self.seen + bool(count)
        except Exception as error:
            self._error = error


@contextmanager
def holding(url: str, statement: str) -> Iterator[None]:
    """Let somebody have a transaction open while inside, which did this."""
    with psycopg.connect(url) as connection:
        connection.execute(statement.encode())
        yield
        connection.rollback()


@pytest.mark.timeout(size(600, 900))
@pytest.mark.parametrize("mode", size(("capture",), ("capture", "dual-write")))
def test_no_queue_grows_behind_a_cutover_that_waits_for_locks(leader: Postgres, mode: Any) -> None:
    luck, url = dice(), leader.database()
    rows = size(1_000, 20_000)
    laid(url, TABLES, rows)
    plan = Plan(tables=TABLES, key="organization_id", partitions=3, mode=mode)
    # A reader is in the way of an exchange, and a writer of triggers, too.
    acts = (
        ("capture", "start", _WRITES, "verified"),
        ("switch", "switch", _READS, "switched"),
        ("rollback", "rollback", _READS, "verified"),
        ("undo", "rollback", _READS, "none"),
        ("capture", "start", _WRITES, "verified"),
        ("switch", "switch", _READS, "switched"),
        ("finalize", "finalize", _READS, "finalized"),
    )
    waits: dict[str, float] = {}
    with Crowd(url, TABLES, seed=luck.randrange(10**6), rows=rows, pause=0.01) as crowd:
        with closing(Desk(url, "queue", plan)) as desk:
            for act, wish, statement, state in acts[: size(3, None)]:
                how: dict[str, Any] = {"plan": plan} if wish == "start" else {}
                how |= {"confirm": "queue"} if wish == "finalize" else {}
                worker = Worker(url, "queue", act)
                try:
                    with Queue(url) as queue, holding(url, statement):
                        desk.press(wish, **how)
                        worker.reached()
                        ends = time.monotonic() + HELD
                        while time.monotonic() < ends:
                            crowd.more(1)
                        assert desk.record.state != state, "it did not wait for who held the table"
                    # One that gave up is wanted again; with the hindrance gone it is done.
                    desk.wait(state, wish="" if wish == "start" else wish, **how)
                finally:
                    worker.kill()
                waits[act] = round(max(waits.get(act, 0.0), queue.longest), 3)
        account = crowd.account()
    tell(
        f"a queue of locks ({mode})",
        writes=account.writes,
        missing=account.missing,
        extra=account.extra,
        different=account.different,
        longest_wait_seconds=waits,
    )
    assert account.lost == 0, account.wrong[:10]
    # Behind somebody who waits without an end it would be as long as the table was held.
    assert max(waits.values()) < HELD / 2, waits


@pytest.mark.timeout(size(600, 1_200))
async def test_everybody_reads_what_he_wrote_while_his_table_is_exchanged_and_servers_are_harmed(
    leader: Postgres,
) -> None:
    thrown, account, url = dice(), Account(), prepare(leader)
    plan = Plan(tables="written", key="writer", partitions=3)
    with (
        replica(leader) as follower,
        pgbouncer(leader, "server_login_retry = 1\nserver_connect_timeout = 2") as bouncer,
    ):
        settings = DatabaseSettings(**TIGHT, pooler="transaction", replica_wait=0.02)
        database = Database(bouncer.url(url), replicas=[follower.url(named(url))], settings=settings)
        load = Load(database, account)

        async def kill_pooler() -> None:
            bouncer.kill()
            await asyncio.sleep(thrown.uniform(0, 0.2))
            await asyncio.to_thread(bouncer.start)

        async def restart_pooler() -> None:
            await asyncio.to_thread(bouncer.restart)

        async def stall_replica() -> None:
            await asyncio.to_thread(follower.pause_replay)
            await asyncio.sleep(thrown.uniform(0.2, 1.0))
            await asyncio.to_thread(follower.resume_replay)

        async def kill_replica() -> None:
            follower.kill()
            await asyncio.to_thread(follower.start)

        async def kill_primary() -> None:
            leader.kill()
            await asyncio.to_thread(leader.start)

        harms: list[Callable[[], Awaitable[None]]] = [
            kill_pooler,
            stall_replica,
            restart_pooler,
            kill_replica,
            kill_primary,
        ]
        done = 0
        with closing(Desk(url, "traffic", plan)) as desk:
            async with running(database) as harness, load.under_way(harness):
                await load.more(harness)

                async def through(act: str, wish: str, state: str, **how: Any) -> None:
                    """Want something, and harm somebody while it is done."""
                    nonlocal done
                    worker = Worker(url, "traffic", act)
                    try:
                        await asyncio.to_thread(desk.press, wish, **how)
                        await asyncio.to_thread(worker.reached)
                        for harm in [harms[(done + number) % len(harms)] for number in range(size(1, 5))]:
                            await harm()
                            await load.more(harness, size(8, 40))
                            done += 1
                        again = "" if wish == "start" else wish
                        await asyncio.to_thread(lambda: desk.wait(state, wish=again, **how))
                    finally:
                        worker.kill()
                    await load.more(harness, size(8, 40))

                for act in size(("backfill",), ("capture", "backfill", "index", "verify")):
                    await through(act, "start", "verified", plan=plan)
                    if size(False, True):
                        await through("undo", "rollback", "none")
                if desk.record.state == "none":
                    await through("backfill", "start", "verified", plan=plan)
                for act, state in (("switch", "switched"), ("rollback", "verified"), ("switch", "switched")):
                    await through(act, act, state)
                await through("finalize", "finalize", "finalized", confirm="traffic")
        wrong = account.wrong(leader, named(url))
    tell("traffic through PgBouncer, read back from a replica, in a cutover", harms=done, **account.figures(wrong))
    assert account.stale == []
    assert wrong == []
    assert account.counts["done"] > 60
