"""After the switch the legacy table follows the partitioned one, whatever is written to it and however."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from bedplate.database.cutover import CutoverError, Plan
from bedplate.database.cutover.steps import backfill, capture, index, keylog, pairs, prepare, sync, tend, verify
from bedplate.database.cutover.work import Work
from tests.moving import Writers, apart, filled, moving, write
from tests.postgres import Postgres

Connection = psycopg.Connection[Any]
PLAN = Plan(tables="orders", key="organization_id", partitions=4)
IDS = itertools.count(10_000_000)


@contextmanager
def switched(url: str) -> Iterator[Work]:
    """Move a table, and let both exchange their names as the switch does."""
    with moving(url, PLAN) as work:
        for step in (prepare, capture, backfill, index, sync):
            step(work)
        connection = work.connection
        (pair,) = pairs(connection, PLAN)
        log, back = keylog(connection, pair), keylog(connection, pair, of=pair.shadow)
        back.lay()
        # A log that lies waiting must forget what befell the twin until then.
        connection.execute("CREATE TEMP TABLE kept AS SELECT id, organization_id, note, amount, code FROM orders")
        connection.execute("TRUNCATE orders")
        assert tend(work).total == 0
        connection.execute("INSERT INTO orders (id, organization_id, note, amount, code) SELECT * FROM kept")
        while tend(work).total:
            pass
        with connection.transaction():
            for statement in (
                "LOCK TABLE orders, orders_partitioned",
                *log.ending,
                *back.late,
                "ALTER TABLE orders RENAME TO orders_legacy",
                "ALTER TABLE orders_partitioned RENAME TO orders",
            ):
                connection.execute(statement.encode())
        log.drop()
        yield work


@pytest.mark.parametrize("version", [15, 18])
def test_whatever_is_written_to_partitions_comes_back(request: pytest.FixtureRequest, version: int) -> None:
    server: Postgres = request.getfixturevalue("newest" if version == 18 else "eldest")
    url = filled(server)
    dice = random.Random(version)
    with switched(url) as work, psycopg.connect(url, autocommit=True) as writer:
        assert tend(work).total == 0
        assert verify(work).rows == {"orders": (2000, 2000)}
        for round_ in range(20):
            write(writer, dice, fresh=IDS)
            if round_ % 10 == 0:
                writer.execute("SET session_replication_role = replica")
                write(writer, dice, fresh=IDS)
                writer.execute("RESET session_replication_role")
        for statement in (
            "UPDATE orders_p000 SET note = 'by itself', amount = 7",
            "DELETE FROM orders_p001 WHERE id % 5 = 0",
            "TRUNCATE orders_p002",
            "UPDATE orders SET organization_id = organization_id + 1",
            "TRUNCATE orders_p003; INSERT INTO orders (id, organization_id) SELECT -i, i FROM generate_series(1, 50) i",
        ):
            writer.execute(statement.encode())
            while tend(work).total:
                pass
            assert apart(writer, "orders", "orders_legacy") == 0, statement
        assert verify(work).equal
        writer.execute("TRUNCATE orders; INSERT INTO orders (id, organization_id) VALUES (1, 1)")
        assert tend(work).total == 0 and verify(work).rows == {"orders": (1, 1)}


def test_writers_at_all_levels_lose_nothing_on_the_way_back(url: str, connection: Connection) -> None:
    with switched(url) as work, Writers(url, most=400, truncates=True, fresh=IDS) as writers:
        tend(work)
        writers.join()
        while tend(work).total:
            pass
        assert verify(work).equal
    assert apart(connection, "orders", "orders_legacy") == 0


def test_rows_that_the_legacy_table_cannot_hold_are_told(url: str, connection: Connection) -> None:
    with switched(url) as work:
        connection.execute("INSERT INTO orders (id, organization_id) VALUES (-5, 1), (-5, 2)")
        with pytest.raises(CutoverError, match="cannot be in"):
            tend(work)
        connection.execute("DELETE FROM orders WHERE id = -5 AND organization_id = 2")
        assert tend(work).total == 0
