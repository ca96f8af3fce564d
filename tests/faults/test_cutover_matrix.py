"""Whoever dies in whatever act of a cutover, while many write at every level: nothing is lost, and it goes on.

The worker, or PostgreSQL, is killed in the middle of every act and at its end, before what comes of it is written; in
both modes, on every way back before the switch, over switches and rollbacks to the end. What must be in the tables is
known by their writers alone, and compared by plain SELECTs; the two sides with each other by EXCEPT ALL.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from bedplate.database.cutover import Plan
from tests.crowd import Crowd, laid
from tests.endurance import dice, size, tell
from tests.moving import apart
from tests.postgres import Postgres, postgres
from tests.steered import ACTS, Desk, Worker

TABLES = ("entries", "notes")
ROWS = size(2_000, 20_000)
#: Writes in each of the runs, and how often somebody is killed in the middle of each act.
WRITES, TIMES = size(0, 260_000), size(1, 3)
#: In which acts somebody presses the way back, before the switch.
BACK = size(("backfill",), ACTS)
#: Acts in which somebody is killed on the way there.
THERE = size(("backfill", "index"), ACTS)
#: Seconds between a writer's transactions at most. A short run only wants some.
PAUSE = size(0.15, 0.008)
RUNS = [(mode, whom) for mode in ("capture", "dual-write") for whom in ("worker", "server")]


@pytest.fixture(scope="module")
def victims() -> Iterator[Postgres]:
    # What was acknowledged is not lost by kill -9, whatever fsync is.
    with postgres(18, "shared_buffers=256MB", "max_wal_size=2GB") as running:
        yield running


class Run:
    """One cutover from its beginning to its end, and who dies in it."""

    def __init__(self, server: Postgres, url: str, mode: Any, whom: str, crowd: Crowd, luck: random.Random) -> None:
        self.server, self.url, self.whom, self.crowd, self.luck = server, url, whom, crowd, luck
        self.desk = Desk(url, "moved", Plan(tables=TABLES, key="organization_id", partitions=4, mode=mode))
        self.kills = self.pressed = 0

    def close(self) -> None:
        """Leave."""
        self.desk.close()

    def killed(self, act: str, *, end: bool, meanwhile: str = "", wish: str = "", **how: Any) -> None:
        """Let a worker come to an act, and kill it or the server there.

        :param end: when the act is done, before the worker has written so. :param meanwhile: what is pressed then.
        :param wish: what leads there.
        """
        # It stands still at the act's end in any case, or a quick one would be over, and the next ones begun.
        worker = Worker(self.url, "moved", act, held=True)
        try:
            worker.reached("ended" if end else "begun", lambda: self.desk.encouraged(wish, **how))
            if not end:
                # In its first statements, or in the middle of a chunk, an index, a comparison.
                time.sleep(self.luck.random() ** 2 * 0.4)
            if meanwhile:
                self.desk.press(meanwhile)
            self.kills += 1
            if self.whom == "server":
                self.server.kill()
                self.server.start()
                if end:
                    worker.go()
            else:
                worker.kill()
            self.crowd.well()
        finally:
            worker.kill()
        # What its session still did on the server is done, or not.
        self.desk.left()

    def to(self, *states: str, wish: str = "", **how: Any) -> None:
        """Let a worker go on until a state is reached."""
        worker = Worker(self.url, "moved")
        try:
            self.pressed += self.desk.wait(*states, wish=wish, **how)
        finally:
            worker.kill()

    def back(self, act: str) -> None:
        """Begin, come to an act, want all undone, and be killed in that, too."""
        self.desk.start()
        self.killed(act, end=self.luck.random() < 0.5, meanwhile="rollback")
        self.desk.press("rollback")
        # Before its first look there is nothing to undo, and it may have been done before anybody died.
        if self.desk.record.state != "none":
            self.killed("undo", end=self.luck.random() < 0.5, wish="rollback")
        self.to("none", wish="rollback")

    def there(self) -> None:
        """Come to where it can be switched, killed in everything on the way."""
        self.desk.start()
        for act in THERE:
            for end in (False,) * TIMES + (True,):
                self.killed(act, end=end)
        self.to("verified")

    def turned(self, act: str, state: str) -> None:
        """Switch, or roll back, or finalize, killed in it."""
        how = {"confirm": "moved"} if act == "finalize" else {}
        for end in (False,) * TIMES + (True,):
            if self.desk.record.state == state:
                break  # what was killed was done
            self.desk.press(act, **how)
            self.killed(act, end=end, wish=act, **how)
        self.to(state, wish=act, **how)

    def alike(self, suffix: str) -> None:
        """See that both sides hold the same rows, when nobody writes and the worker has seen all."""
        worker = Worker(self.url, "moved")
        try:
            with self.crowd.still(), psycopg.connect(self.url, autocommit=True) as connection:
                ends = time.monotonic() + 120
                while sum(wrong := [apart(connection, table, f"{table}{suffix}") for table in TABLES]):
                    assert time.monotonic() < ends, wrong
                    time.sleep(0.05)
        finally:
            worker.kill()

    def followed(self, writes: int) -> None:
        """Let more be written while a worker follows."""
        worker = Worker(self.url, "moved")
        try:
            self.crowd.more(writes)
        finally:
            worker.kill()


def _made(connection: psycopg.Connection[Any]) -> set[Any]:
    """Return everything that there is in the schema, and triggers of tables: what a cutover leaves is more."""
    return set(
        connection.execute(
            """SELECT 'relation', relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
            UNION ALL SELECT 'function', proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace
            UNION ALL SELECT 'trigger', tgname::text FROM pg_trigger WHERE NOT tgisinternal"""
        ).fetchall()
    )


@pytest.mark.timeout(size(600, 3_600))
@pytest.mark.parametrize(("mode", "whom"), RUNS[:: size(4, 1)])
def test_nothing_is_lost_whoever_dies_in_whatever_act(victims: Postgres, mode: str, whom: str) -> None:
    luck, url = dice(), victims.database()
    laid(url, TABLES, ROWS)
    with Crowd(url, TABLES, seed=luck.randrange(10**6), rows=ROWS, pause=PAUSE) as crowd:
        with closing(Run(victims, url, mode, whom, crowd, luck)) as run:
            with psycopg.connect(url, autocommit=True) as connection:
                before = _made(connection)
            for act in BACK:
                run.back(act)
                with psycopg.connect(url, autocommit=True) as connection:
                    assert _made(connection) == before, f"undone in {act}"
            _whole(run, crowd)
        account = crowd.account()
    tell(
        f"a cutover ({mode}) whose {whom} dies in every act",
        writes=account.writes,
        kills=run.kills,
        missing=account.missing,
        extra=account.extra,
        different=account.different,
        pressed_again=run.pressed,
        **account.counts,
    )
    assert account.lost == 0, account.wrong[:10]
    assert account.writes >= WRITES


def _whole(run: Run, crowd: Crowd) -> None:
    """Go the whole way: to the switch, back, there again, and to the end."""
    run.there()
    run.alike("_partitioned")
    run.turned("switch", "switched")
    run.followed(max(100, WRITES // 10))
    run.alike("_legacy")
    run.turned("rollback", "verified")
    run.alike("_partitioned")
    run.turned("switch", "switched")
    run.followed(max(100, WRITES - crowd.writes))
    run.alike("_legacy")
    run.turned("finalize", "finalized")
    crowd.more(100)
