"""What commits between the reading and the writing of a chunk leaves no phantom, as it does without tombstones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from bedplate.database.cutover import Plan
from bedplate.database.cutover.dualwrite import DualWrites, Tombstones
from bedplate.database.cutover.steps import backfill, capture, pairs, prepare
from bedplate.database.cutover.work import Stopped, Work
from tests.moving import LEVELS, TableJournal, apart, moving

Connection = psycopg.Connection[Any]
PLAN = Plan(tables="orders", key="organization_id", partitions=2, mode="dual-write")

#: The usual triggers: what is deleted, or gets another key, is deleted in the twin, where it need not be yet.
_NAIVE = """
CREATE OR REPLACE FUNCTION orders_dual_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM orders_partitioned t USING old_rows o WHERE t.id = o.id AND t.organization_id = o.organization_id;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION orders_dual_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM orders_partitioned t USING old_rows o WHERE t.id = o.id AND t.organization_id = o.organization_id;
    INSERT INTO orders_partitioned (id, organization_id, note, amount, code)
        SELECT id, organization_id, note, amount, code FROM new_rows
        ON CONFLICT (id, organization_id) DO UPDATE SET note = excluded.note, amount = excluded.amount;
    RETURN NULL;
END $$"""

#: Each changes which row there is under a key that has been read, and the naive form leaves the old one.
_WRITES = {
    7: "DELETE FROM orders WHERE id = 7",
    8: "UPDATE orders SET organization_id = 99 WHERE id = 8",
    9: "UPDATE orders SET id = 500000 WHERE id = 9",
    10: "DELETE FROM orders WHERE id = 10; INSERT INTO orders (id, organization_id) VALUES (10, 98)",
    11: "DELETE FROM orders WHERE id % 100 = 11",
}
_PHANTOMS = {7, 8, 9, 10, *range(11, 2000, 100)}


class Interrupted(TableJournal):
    """A journal that lets something happen when a chunk is written and not yet committed, once."""

    happens: Callable[[], object] | None = None

    def save(self, part: str, progress: Any) -> None:
        if part.startswith("backfill") and progress["upto"] is not None and self.happens is not None:
            happens, self.happens = self.happens, None
            happens()
        super().save(part, progress)


@contextmanager
def begun(url: str) -> Iterator[tuple[Work, Interrupted]]:
    """A cutover whose triggers are in place."""
    with moving(url, PLAN) as work:
        journal = Interrupted(work.connection)
        work = replace(work, journal=journal)
        prepare(work)
        capture(work)
        yield work, journal


def _stopped(work: Work) -> None:
    """Copy the first chunk, which has all rows, and stop."""
    work.pace.rests = 0  # type: ignore[attr-defined]
    with pytest.raises(Stopped):
        backfill(work)
    work.pace.rests = None  # type: ignore[attr-defined]


def _judge(connection: Connection, *, naive: bool) -> None:
    extra = "SELECT id, organization_id FROM orders_partitioned EXCEPT SELECT id, organization_id FROM orders"
    assert {row[0] for row in connection.execute(extra.encode())} == (_PHANTOMS if naive else set())
    if not naive:
        assert apart(connection, "orders", "orders_partitioned") == 0


@pytest.mark.parametrize("naive", [True, False])
def test_what_commits_while_a_chunk_is_under_way(url: str, connection: Connection, naive: bool) -> None:
    with begun(url) as (work, journal):
        if naive:
            connection.execute(_NAIVE)
        happened: list[object] = []
        journal.happens = lambda: happened.extend(connection.execute(write.encode()) for write in _WRITES.values())
        backfill(work)
        assert len(happened) == len(_WRITES)
        _judge(connection, naive=naive)


@pytest.mark.parametrize("naive", [True, False])
@pytest.mark.parametrize("level", LEVELS[1:])
def test_what_is_done_with_a_snapshot_from_before_a_chunk(
    url: str, connection: Connection, level: str, naive: bool
) -> None:
    with begun(url) as (work, _), psycopg.connect(url, autocommit=True) as old:
        if naive:
            connection.execute(_NAIVE)
        old.execute(f"BEGIN ISOLATION LEVEL {level}".encode())
        old.execute("SELECT count(*) FROM orders")
        _stopped(work)
        # The rows are there, and this transaction does not see them.
        assert connection.execute("SELECT count(*) FROM orders_partitioned").fetchone() == (2000,)
        for write in _WRITES.values():
            old.execute(write.encode())
        old.execute("COMMIT")
        backfill(work)
        _judge(connection, naive=naive)


def test_an_old_snapshot_that_would_miss_a_copied_row_is_tried_again(url: str, connection: Connection) -> None:
    with begun(url) as (work, _), psycopg.connect(url, autocommit=True) as old:
        old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT count(*) FROM orders")
        backfill(work)
        statements = (
            "UPDATE orders SET note = 'new' WHERE id = 7",
            "DELETE FROM orders WHERE id = 7",
            "DELETE FROM orders WHERE id % 10 = 7",
            "UPDATE orders SET organization_id = 99 WHERE id = 7",
        )
        for statement in statements:
            old.execute("SAVEPOINT before")
            with pytest.raises(psycopg.errors.SerializationFailure):
                old.execute(statement.encode())
            old.execute("ROLLBACK TO before")
        # What is new, it sees.
        old.execute("INSERT INTO orders (id, organization_id) VALUES (900000, 5)")
        old.execute("UPDATE orders SET organization_id = 6 WHERE id = 900000")
        old.execute("COMMIT")
        for statement in statements:
            connection.execute(statement.encode())
        _judge(connection, naive=False)


def test_a_key_that_is_gone_and_comes_again_is_not_reaped(url: str, connection: Connection) -> None:
    with begun(url) as (work, journal), psycopg.connect(url, autocommit=True) as writer:
        writer.execute("DELETE FROM orders WHERE id IN (7, 8)")

        def again() -> None:
            # With the phantom in an open chunk: this waits for nobody, as it is another row.
            writer.execute("INSERT INTO orders (id, organization_id, note) VALUES (7, 8, 'anew'), (8, 1, 'anew')")

        journal.happens = again
        backfill(work)
        _judge(connection, naive=False)
        assert connection.execute("SELECT note FROM orders_partitioned WHERE id = 7").fetchall() == [("anew",)]


def test_a_row_that_is_deleted_while_it_is_reaped_and_comes_again_stays(url: str, connection: Connection) -> None:
    with begun(url) as (work, _), psycopg.connect(url, autocommit=True) as writer:
        _stopped(work)
        (pair,) = pairs(work.connection, PLAN)
        tombstones = Tombstones(work.connection, DualWrites(work.connection, pair))
        writer.execute("DELETE FROM orders WHERE id IN (7, 8)")
        writer.execute("BEGIN; INSERT INTO orders (id, organization_id, note) VALUES (7, 8, 'anew')")
        # The reaper's snapshot has no order 7. It waits for the writer, gives way, and does it again.
        assert tombstones.reap() == 0
        writer.execute("COMMIT")
        assert tombstones.reap() > 0
        assert connection.execute("SELECT id, note FROM orders_partitioned WHERE id IN (7, 8)").fetchall() == [
            (7, "anew")
        ]
        backfill(work)
        _judge(connection, naive=False)
