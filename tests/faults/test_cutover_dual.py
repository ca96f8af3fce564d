"""A cutover by dual writes whose worker, or PostgreSQL, is killed while others write loses nothing."""

from __future__ import annotations

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

PLAN = Plan(tables="orders", key="organization_id", partitions=3, mode="dual-write")
NAMES = tuple(step.__name__ for step in STEPS)
#: In which steps whom to kill, rows to be moved, and writes meanwhile.
KILLED = {
    "the worker": size(("capture", "backfill", "index", "sync"), NAMES * 4),
    "the server": size(("backfill",), NAMES * 3),
}
ROWS, WRITES = size(5_000, 100_000), size(0, 40_000)
#: Seconds between transactions of each of three writers.
PAUSE = size(0.01, 0.0)


@pytest.fixture(scope="module")
def victim() -> Iterator[Postgres]:
    with postgres(18) as running:
        yield running


@pytest.mark.timeout(size(120, 7_200))
@pytest.mark.parametrize("whom", list(KILLED))
def test_dual_writes_lose_nothing_whoever_is_killed(victim: Postgres, whom: str) -> None:
    luck = dice()
    for round_ in range(size(1, 2)):
        url = filled(victim)
        with psycopg.connect(url, autocommit=True) as connection:
            more = "SELECT i %% 40 + 1 FROM generate_series(1, %s) i"
            connection.execute(f"INSERT INTO orders (organization_id) {more}".encode(), [ROWS])
        with Writers(url, seed=luck.randrange(10**6), truncates=round_ % 2 == 1, pause=PAUSE) as writers:
            _moved(victim, url, whom, luck)
            while writers.writes < WRITES and round_ == 0:
                with moving(url, PLAN) as work:
                    tend(work)
        with moving(url, PLAN) as work:
            while tend(work).total:
                pass
            verdict = verify(work)
            assert verdict.equal, verdict.detail
            wrong = apart(work.connection, "orders", "orders_partitioned")
            kills = len(KILLED[whom])
            tell(f"dual writes, {whom} killed in every step", writes=writers.writes, kills=kills, different=wrong)
            assert wrong == 0


def _moved(victim: Postgres, url: str, whom: str, luck: random.Random) -> None:
    """Let a process move the table, and kill it or the server in steps, until one comes to the end."""
    left = list(KILLED[whom])
    for _ in range(len(left) * 20 + 5):
        migration = Migration(url, PLAN)
        try:
            while (step := migration.reached()) in NAMES:
                if step in left:
                    left.remove(step)
                    # Early in it, or in the middle of a chunk or an index.
                    migration.process.join(luck.random() ** 2 * 0.3)
                    break
            else:
                if step == "ended" and not left:
                    return
                assert step == "ended" or "OperationalError" in step or "LockNotAvailable" in step, step
            if whom == "the server":
                victim.kill()
                victim.start()
        finally:
            migration.kill()
    raise AssertionError(f"It never came to {left}.")
