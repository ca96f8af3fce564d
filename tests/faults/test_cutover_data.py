"""The process that moves a table, and PostgreSQL, are killed at every step while others write: nothing is lost."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import psycopg
import pytest

from bedplate.database.cutover import Plan
from bedplate.database.cutover.steps import tend, verify
from tests.endurance import dice, size, tell
from tests.migrating import STEPS, Migration
from tests.moving import Writers, apart, filled, moving
from tests.postgres import Postgres, postgres

PLAN = Plan(tables="orders", key="organization_id", partitions=3)
#: Rows to be moved, and writes meanwhile for each that is killed.
ROWS, WRITES = size(5_000, 20_000), size(0, 40_000)
#: Seconds between transactions of each of three writers.
PAUSE = size(0.01, 0.002)


@pytest.fixture(scope="module")
def victim() -> Iterator[Postgres]:
    # What synchronous_commit promises is not lost by kill -9, whatever fsync is.
    with postgres(18) as running:
        yield running


@pytest.mark.timeout(size(300, 7_200))
@pytest.mark.parametrize("whom", ["the worker", "the server"])
def test_nothing_is_lost_whoever_is_killed(victim: Postgres, whom: str) -> None:
    luck = dice()
    for round_ in itertools.count():
        url = filled(victim)
        with psycopg.connect(url, autocommit=True) as connection:
            more = "SELECT i %% 40 + 1 FROM generate_series(1, %s) i"
            connection.execute(f"INSERT INTO orders (organization_id) {more}".encode(), [ROWS])
        # Beside others on a slow machine the worker may get too little of it to keep up with writers who never end.
        most = size(2_000, 10**9)
        with Writers(url, seed=luck.randrange(10**6), most=most, truncates=round_ % 2 == 1, pause=PAUSE) as writers:
            _killed(victim, url, whom, luck)
            while writers.writes < WRITES and round_ == 0:
                with moving(url, PLAN) as work:
                    tend(work)
        with moving(url, PLAN) as work:
            while tend(work).total:
                pass
            verdict = verify(work)
            assert verdict.equal, verdict.detail
            wrong = apart(work.connection, "orders", "orders_partitioned")
            kills = len(STEPS) * size(1, 5)
            tell(f"capture, {whom} killed in every step", writes=writers.writes, kills=kills, different=wrong)
            assert wrong == 0
        if round_ + 1 >= size(1, 2):
            return


def _killed(victim: Postgres, url: str, whom: str, luck: random.Random) -> None:
    """Let a process move the table and kill it, or the server, in each step, until one comes to the end."""
    left = [step.__name__ for step in STEPS for _ in range(size(1, 5))]
    for _ in range(len(left) * 20):
        migration = Migration(url, PLAN)
        try:
            while (step := migration.reached()) in {one.__name__ for one in STEPS}:
                if step in left:
                    left.remove(step)
                    # Somewhere in it: the first statements, or the last.
                    migration.process.join(luck.random() ** 2 * 0.2)
                    break
            else:
                assert not step.startswith("not equal"), step
                if step == "ended" and not left:
                    return
                assert step == "ended" or "OperationalError" in step or "LockNotAvailable" in step, step
            if whom == "the server":
                victim.kill()
                victim.start()
        finally:
            migration.kill()
    raise AssertionError(f"It never came to {left}.")
