"""The steps move all rows while they are written, and say whether they have."""

from __future__ import annotations

from typing import Any

import psycopg

from bedplate.database.cutover import Plan
from bedplate.database.cutover.steps import backfill, capture, index, prepare, sync, tend, verify
from bedplate.database.cutover.work import Work
from tests.moving import Writers, apart, moving

Connection = psycopg.Connection[Any]
PLAN = Plan(tables="orders", key="organization_id", partitions=4)


def _all(work: Work) -> None:
    for step in (prepare, capture, backfill, index, sync):
        step(work)


def test_a_table_nobody_writes_is_moved(url: str, connection: Connection) -> None:
    with moving(url, PLAN) as work:
        _all(work)
        verdict = verify(work)
    assert verdict.equal and verdict.rows == {"orders": (2000, 2000)}
    assert apart(connection, "orders", "orders_partitioned") == 0


def test_a_table_that_is_written_at_all_levels_is_moved(url: str, connection: Connection) -> None:
    with moving(url, PLAN) as work, Writers(url, most=400, truncates=True) as writers:
        _all(work)
        assert verify(work).equal
        writers.join()
        while tend(work).total != 0:
            pass
        assert verify(work).equal
    assert writers.writes > 0
    assert apart(connection, "orders", "orders_partitioned") == 0
