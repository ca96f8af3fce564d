"""A worker that dies at any statement leaves nothing half-done: the next one goes on, and nothing is lost."""

from __future__ import annotations

import itertools
import random
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from bedplate.database.cutover import Plan
from bedplate.database.cutover.steps import backfill, capture, index, prepare, sync, verify
from tests.endurance import WHOLE, dice, size
from tests.moving import AGAIN, Steady, apart, moving, write

PLAN = Plan(tables="orders", key="organization_id", partitions=2)


class Killed(BaseException):
    """The end of a worker, which no step catches."""


class Mortal:
    """A connection that dies at a statement; several share how many are left."""

    def __init__(self, connection: psycopg.Connection[Any], left: list[int]) -> None:
        self._connection = connection
        self._left = left

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, *statement: Any, **how: Any) -> Any:
        self._left[0] -= 1
        if self._left[0] < 0:
            self._connection.close()
            raise Killed
        return self._connection.execute(*statement, **how)


@pytest.mark.timeout(size(120, 3600))
@pytest.mark.parametrize("seed", range(3 if WHOLE else 1))
def test_a_worker_that_dies_at_any_statement_is_replaced(url: str, seed: int) -> None:
    luck = random.Random(dice().randrange(1000) + seed)
    budget, deaths = 1, 0
    with psycopg.connect(url, autocommit=True) as writer:
        writer.execute("DELETE FROM orders WHERE id > 1000")
        for _ in itertools.count():
            left = [budget]
            try:
                with moving(url, PLAN, pace=Steady(1e-9), wrap=lambda opened, left=left: Mortal(opened, left)) as work:  # type: ignore[misc]
                    for step in (prepare, capture, backfill, index, sync):
                        step(work)
                    assert verify(work).equal
                    break
            except Killed:
                deaths += 1
                # The next dies a little later. What it has to look at first is the same each time.
                budget += luck.randint(*((1, 3) if WHOLE else (20, 80)))
                with suppress(*AGAIN):
                    write(writer, luck, truncates=luck.random() < 0.2)
        assert deaths > 3
        assert apart(writer, "orders", "orders_partitioned") == 0
