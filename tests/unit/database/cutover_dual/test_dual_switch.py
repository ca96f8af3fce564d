"""The switch of a cutover by dual writes, and the ways back, while the service writes both tables."""

from __future__ import annotations

import itertools
from typing import Any

import psycopg
import pytest

from bedplate.database.cutover import Plan
from bedplate.database.cutover.steps import backfill, capture, index, prepare, sync, tend, verify
from bedplate.database.cutover.switch import rollback, switch, undo
from bedplate.database.cutover.work import Work
from tests.moving import Writers, apart, moving

Connection = psycopg.Connection[Any]
PLAN = Plan(tables="orders", key="organization_id", partitions=3, mode="dual-write")
_OURS = "SELECT tgname FROM pg_trigger WHERE tgname LIKE 'bedplate_dual%'"


def _synced(work: Work) -> None:
    for step in (prepare, capture, backfill, index, sync):
        step(work)
    assert verify(work).equal


def _caught_up(work: Work) -> None:
    while tend(work).total:
        pass
    assert verify(work).equal


def test_it_is_switched_and_back_and_switched_under_writes(url: str, connection: Connection) -> None:
    # Numbers that come once: on (id) alone nothing is unique after the switch.
    with Writers(url, seed=5, pause=0.05, fresh=itertools.count(2_000_000)) as writers, moving(url, PLAN) as work:
        _synced(work)
        for step, shadow in ((switch, "orders_legacy"), (rollback, "orders_partitioned"), (switch, "orders_legacy")):
            step(work)
            assert not connection.execute(_OURS.encode()).fetchall()
            assert connection.execute("SELECT to_regclass(%s) IS NOT NULL", (shadow,)).fetchone() == (True,)
            before = writers.writes
            while writers.writes < before + 10:
                tend(work)
    with moving(url, PLAN) as work:
        _caught_up(work)
        columns = "id, organization_id, note, amount, code, twice"
        assert apart(connection, "orders", "orders_legacy", columns) == 0


def test_a_transaction_that_stays_open_is_not_waited_for_with_everybody_behind(
    url: str, connection: Connection
) -> None:
    with moving(url, PLAN) as work, psycopg.connect(url, autocommit=True) as idle:
        _synced(work)
        idle.execute("BEGIN; UPDATE orders SET note = 'open' WHERE id = 5")
        # This one does not know how long others wait, and would fail if somebody waited for the first before it.
        connection.execute("SET lock_timeout = '5s'")
        with pytest.raises(Exception, match=r"transaction|lock"):
            switch(work, within=0.5)
        connection.execute("UPDATE orders SET note = 'goes on' WHERE id = 6")
        idle.execute("COMMIT")
        switch(work)
        _caught_up(work)


@pytest.mark.parametrize("steps", [(prepare, capture), (prepare, capture, backfill, index, sync)])
def test_it_is_undone_as_if_nothing_had_been(url: str, connection: Connection, steps: tuple[Any, ...]) -> None:
    count = """SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace),
        (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal), (SELECT count(*) FROM pg_proc)"""
    with moving(url, PLAN) as work:
        before = connection.execute(count.encode()).fetchone()
        for step in steps:
            step(work)
        undo(work)
        assert connection.execute(count.encode()).fetchone() == before
        connection.execute("UPDATE orders SET note = 'as ever' WHERE id < 50")
