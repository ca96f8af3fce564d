"""The steps move all rows while they are written, and say whether they have."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
import pytest

from bedplate.database.cutover import CutoverError, Difference, Plan
from bedplate.database.cutover.steps import (
    Follower,
    apply,
    backfill,
    capture,
    differing,
    index,
    keylog,
    pairs,
    prepare,
    repair,
    replays,
    sync,
    tend,
    verify,
)
from bedplate.database.cutover.work import Stopped, Work
from tests.moving import Steady, Writers, apart, filled, moving
from tests.postgres import Postgres

Connection = psycopg.Connection[Any]
PLAN = Plan(tables="orders", key="organization_id", partitions=4)
STEPS = (prepare, capture, backfill, index, sync)


@contextmanager
def moved(url: str, plan: Plan = PLAN) -> Iterator[Work]:
    with moving(url, plan) as work:
        for step in STEPS:
            step(work)
        yield work


def test_a_table_nobody_writes_is_moved(url: str, connection: Connection) -> None:
    with moved(url) as work:
        verdict = verify(work)
        assert verdict.equal and verdict.rows == {"orders": (2000, 2000)}
        assert apart(connection, "orders", "orders_partitioned") == 0
        # In the order of the key, so that rows of one organisation lie together.
        assert work.journal.load("backfill:orders")["order"] == ["organization_id", "id"]
        # The planner knows the twin and each of its partitions.
        known = connection.execute(
            "SELECT count(*) FROM pg_stats WHERE tablename ~ '^orders_p' AND attname = 'organization_id'"
        ).fetchone()
        assert known == (1 + PLAN.partitions,)
        for step in STEPS:
            step(work)
        assert verify(work).rows == {"orders": (2000, 2000)}


@pytest.mark.parametrize("version", [15, 18])
def test_a_table_that_is_written_at_all_levels_is_moved(request: pytest.FixtureRequest, version: int) -> None:
    server: Postgres = request.getfixturevalue("newest" if version == 18 else "eldest")
    url = filled(server)
    with moving(url, PLAN) as work, Writers(url, most=500, truncates=True) as writers:
        for step in STEPS:
            step(work)
        assert verify(work).equal
        writers.join()
        while tend(work).total != 0:
            pass
        assert verify(work).equal
        assert apart(work.connection, "orders", "orders_partitioned") == 0


def test_a_table_that_was_emptied_is_emptied(url: str, connection: Connection) -> None:
    with moving(url, PLAN) as work:
        prepare(work)
        capture(work)
        connection.execute("TRUNCATE orders; INSERT INTO orders (id, organization_id) VALUES (7, 1), (8, 2)")
        backfill(work)
        index(work)
        assert sync(work).total == 0
        assert verify(work).rows == {"orders": (2, 2)}
        connection.execute("INSERT INTO orders (id, organization_id) VALUES (9, 1); TRUNCATE orders")
        assert tend(work).total == 0
        assert verify(work).rows == {"orders": (0, 0)}


def test_what_stands_in_the_way_is_said_before_anything_is_made(url: str, connection: Connection) -> None:
    connection.execute("CREATE TABLE orders_p001 (i int); CREATE VIEW seen AS SELECT * FROM orders")
    with moving(url, PLAN) as work, pytest.raises(CutoverError, match="There is a orders_p001 already"):
        prepare(work)
    connection.execute("DROP TABLE orders_p001")
    with moving(url, Plan(tables=["orders", "progress"], key="organization_id")) as work:
        with pytest.raises(CutoverError, match="has no column organization_id"):
            prepare(work)
    assert connection.execute("SELECT to_regclass('orders_partitioned')").fetchone() == (None,)


def test_a_key_log_that_is_gone_is_not_made_anew(url: str, connection: Connection) -> None:
    with moving(url, PLAN) as work:
        prepare(work)
        capture(work)
        connection.execute("ALTER TABLE orders DISABLE TRIGGER bedplate_keys_update")
        with pytest.raises(CutoverError, match="not any more, or a trigger of it is disabled"):
            capture(work)
        with pytest.raises(CutoverError, match="not in place, or one of its triggers is disabled"):
            for step in STEPS[2:]:
                step(work)


def test_a_table_that_is_no_key_log_is_left_alone(url: str, connection: Connection) -> None:
    with moving(url, PLAN) as work:
        prepare(work)
        connection.execute("CREATE TABLE orders_keys (i int)")
        with pytest.raises(CutoverError, match="that is no key log"):
            capture(work)


def test_capture_waits_for_long_transactions_without_a_queue_behind_it(url: str, connection: Connection) -> None:
    class Ending(Steady):
        """Ends the transaction that is in the way after some rests, and sees that others write until then."""

        def rest(self, worked: float, rows: int = 0) -> None:
            if next(rests) == 3:
                holder.rollback()
            connection.execute("UPDATE orders SET note = 'still written' WHERE id = 2")

    rests = itertools.count()
    with psycopg.connect(url) as holder, moving(url, PLAN, pace=Ending()) as work:
        prepare(work)
        holder.execute("UPDATE orders SET note = 'held' WHERE id = 1")
        capture(work)
        (pair,) = pairs(work.connection, PLAN)
        assert keylog(work.connection, pair).intact
        assert next(rests) > 3 and [what for what, _ in work.meter.locks] == ["capture"]  # type: ignore[attr-defined]


def test_a_stopped_worker_goes_on_where_it_was(url: str, connection: Connection) -> None:
    connection.execute("INSERT INTO orders (organization_id) SELECT 7 FROM generate_series(1, 5000); ANALYZE orders")
    with moving(url, PLAN, pace=Steady(1e-9, rests=3)) as work:
        prepare(work)
        capture(work)
        with pytest.raises(Stopped):
            backfill(work)
        before = work.journal.load("backfill:orders")["rows"]
    with moved(url) as work:
        copied = work.meter.counts["orders", "backfill"]  # type: ignore[attr-defined]
        assert 0 < before < 7000 and before + copied == 7000
        assert verify(work).equal


def test_the_replay_rests_only_where_that_lets_nobody_get_ahead(url: str, connection: Connection) -> None:
    @dataclass
    class Rests(Steady):
        rows: list[int] = field(default_factory=list)

        def rest(self, worked: float, rows: int = 0) -> None:
            self.rows.append(rows)

    connection.execute("INSERT INTO orders (organization_id) SELECT 7 FROM generate_series(1, 3000)")
    with moved(url) as work:
        pace = Rests(gentle=True)
        (replay,) = replays(replace(work, pace=pace))
        connection.execute("UPDATE orders SET note = 'written'")
        replay.drain()
        # The log was longer than a round, and nobody knows yet whether it grows.
        assert pace.rows[0] == 0
        pace.rows.clear()
        connection.execute("UPDATE orders SET note = 'again' WHERE id <= 100")
        replay.drain()
        assert pace.rows[0] == 100
        assert verify(work).equal


def test_the_replay_does_not_rest_again_and_again_where_writers_gain_by_it(
    url: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for constant, value in {"_LOOK": -1.0, "_LEAST": 100, "_START": 100, "_MOST": 100}.items():
        monkeypatch.setattr(f"bedplate.database.cutover.steps.replay.{constant}", value)

    @dataclass
    class Written(Steady):
        """Whenever the worker rests for writers, these do more than it has done."""

        rows: list[int] = field(default_factory=list)

        def rest(self, worked: float, rows: int = 0) -> None:
            self.rows.append(rows)
            if len(self.rows) <= 20:
                write(150 if rows else 50)

    def write(count: int) -> None:
        first = next(batches) * 200 + 1
        connection.execute("UPDATE orders SET note = 'new' WHERE id BETWEEN %s AND %s", (first, first + count - 1))

    with moved(url) as work:
        batches, pace = itertools.count(), Written(gentle=True)
        connection.execute("INSERT INTO orders (id, organization_id) SELECT i, 7 FROM generate_series(2001, 5000) i")
        tend(work)
        (replay,) = replays(replace(work, pace=pace))
        connection.execute("UPDATE orders SET note = 'first' WHERE id > 4600")
        replay.drain()
        # It did so once, and saw what came of it.
        assert pace.rows.count(100) == 1
        assert verify(work).equal


def test_indexes_are_made_with_the_connections_that_are_left(url: str, connection: Connection) -> None:
    with moving(url, PLAN) as work:
        left = [0]

        @contextmanager
        def connect() -> Iterator[Connection]:
            left[0] -= 1
            if left[0] < 0:
                raise CutoverError("The database cannot be reached: too many clients already.", "Is it running?")
            with work.connect() as opened:
                yield opened

        few = replace(work, connect=connect)
        for step in (prepare, capture, backfill):
            step(work)
        # Tried again: a CutoverError would wait for somebody.
        with pytest.raises(ConnectionError, match="too many clients"):
            index(few)
        left[0] = 1
        with pytest.raises(ConnectionError, match="too many clients"):
            index(few)
        assert connection.execute("SELECT count(*) FROM pg_indexes WHERE tablename = 'orders_p003'").fetchone() != (0,)
        index(work)
        sync(work)
        assert verify(work).equal


@pytest.mark.parametrize("order", [("organization_id", "note"), ("id",)])
def test_a_row_that_comes_with_two_chunks_is_there_once(
    url: str, connection: Connection, order: tuple[str, ...]
) -> None:
    connection.execute("DROP INDEX orders_organization; UPDATE orders SET note = id::text, organization_id = 1")
    connection.execute("ALTER TABLE orders ALTER note SET NOT NULL; ANALYZE orders")
    if "note" in order:
        connection.execute("CREATE INDEX ON orders (organization_id, note)")
    pace = Steady(1e-9, rests=1)
    with moving(url, PLAN, pace=pace) as work:
        prepare(work)
        connection.execute(
            "INSERT INTO orders (id, organization_id, note) SELECT -i, 1, '0' FROM generate_series(1, 3000) i"
        )
        capture(work)
        assert work.journal.load("backfill:orders")["order"] == list(order)
        with pytest.raises(Stopped):
            backfill(work)
        # Copied rows go to the end of the order, to be copied again.
        connection.execute("UPDATE orders SET note = '5' WHERE note = '0'")
        pace.rests = None
        for step in (backfill, index, sync):
            step(work)
        assert verify(work).equal
        twice = "rows copied twice" in dict(work.journal.notes)  # type: ignore[attr-defined]
        assert twice is ("note" in order)
    assert apart(connection, "orders", "orders_partitioned") == 0


def test_rows_that_exchange_unique_values_are_replayed_together(url: str, connection: Connection) -> None:
    connection.execute("UPDATE orders SET organization_id = 1")
    swap = "UPDATE orders SET code = CASE id WHEN 3 THEN 'code 6' WHEN 6 THEN 'code 3' END WHERE id IN (3, 6)"
    with moved(url) as work:
        connection.execute(swap)
        connection.execute("UPDATE orders SET note = 'x' WHERE id > 1900")
        (one,) = replays(work)
        # One row of the log at a time, which the other's value stands in the way of.
        while one.round(most=1).keys:
            pass
        assert verify(work).equal
    assert apart(connection, "orders", "orders_partitioned") == 0


def test_a_lost_row_is_told_from_one_that_was_just_written(url: str, connection: Connection) -> None:
    with moved(url) as work:
        connection.execute(
            """DELETE FROM orders_partitioned WHERE id = 5; UPDATE orders_partitioned SET note = 'wrong' WHERE id = 6;
            INSERT INTO orders_partitioned (id, organization_id) OVERRIDING SYSTEM VALUE VALUES (-1, 3);
            UPDATE orders SET note = 'late' WHERE id BETWEEN 100 AND 120"""
        )
        verdict = verify(work)
        assert not verdict.equal and verdict.differing == {"orders": 3}
        found = verdict.detail["orders"]["differences"]
        assert sorted(found) == ["different 6, 7", "extra -1, 3", "missing 5, 6"]
        repaired = repair(work)
        assert repaired.equal and repaired.repaired == {"orders": 3}
        told = [detail for event, detail in work.journal.notes if event == "repaired"]  # type: ignore[attr-defined]
        assert len(told) == 1 and len(told[0]["rows"]) == 3
    assert apart(connection, "orders", "orders_partitioned") == 0


def test_a_race_is_no_loss(url: str, connection: Connection) -> None:
    class Late(Steady):
        """Writes while the worker rests, so that something is always new when it compares."""

        def rest(self, worked: float, rows: int = 0) -> None:
            connection.execute("UPDATE orders SET note = note || '.' WHERE id IN (11, 12)")

    with moved(url) as work, moving(url, PLAN, pace=Late(), alone=False) as late:
        verdict = verify(late)
        assert verdict.equal and verdict.detail["orders"]["raced"] == 2
        assert tend(work).total == 0


def test_given_keys_are_compared_and_made_equal_in_an_open_transaction(url: str, connection: Connection) -> None:
    with moved(url) as work:
        (pair,) = pairs(connection, PLAN)
        connection.execute("DELETE FROM orders WHERE id = 3; UPDATE orders SET organization_id = 9 WHERE id = 4")
        keys = [("3", "4"), ("4", "5"), ("4", "9"), ("5", "6")]
        follower = Follower(connection, pair)
        follower.warm(connection)
        with connection.transaction(force_rollback=True):
            found = {(one.kind, one.row) for one in follower.differing(connection, keys)}
            assert found == {("extra", ("3", "4")), ("extra", ("4", "5")), ("missing", ("4", "9"))}
            assert follower.apply(connection, keys) == 2
            assert follower.differing(connection, keys) == []
        with connection.transaction():
            assert apply(connection, pair, keys) == 2
            assert differing(connection, pair, keys) == []
        assert verify(work).equal


def test_a_column_that_came_meanwhile_is_refused(url: str, connection: Connection) -> None:
    with moved(url) as work:
        connection.execute("ALTER TABLE orders ADD COLUMN later int")
        with pytest.raises(CutoverError, match="later"):
            tend(work)


def test_several_tables_go_together(url: str, connection: Connection) -> None:
    connection.execute(
        """CREATE TABLE "Odd Lines" (organization_id int, "no" text COLLATE "C", at timestamptz, PRIMARY KEY ("no", at),
          "the order" bigint REFERENCES orders ON DELETE CASCADE);
        ALTER TABLE "Odd Lines" ALTER organization_id SET NOT NULL;
        INSERT INTO "Odd Lines" SELECT i % 5, 'no ' || i, '2026-01-01', NULL FROM generate_series(1, 300) i"""
    )
    with moving(url, Plan(tables=("orders",), key="organization_id", partitions=2)) as work:
        with pytest.raises(CutoverError, match="Foreign keys point here"):
            prepare(work)
    connection.execute('ALTER TABLE "Odd Lines" DROP CONSTRAINT "Odd Lines_the order_fkey"')
    with moved(url, Plan(tables=("orders", '"Odd Lines"'), key="organization_id", partitions=2)) as work:
        connection.execute("""UPDATE "Odd Lines" SET "no" = "no" || '''\\' WHERE organization_id = 2""")
        assert tend(work).keys == {"orders": 0, '"Odd Lines"': 0}
        assert verify(work).rows == {"orders": (2000, 2000), '"Odd Lines"': (300, 300)}
    assert apart(connection, '"Odd Lines"', '"Odd Lines_partitioned"') == 0


def test_differences_that_are_given_are_repaired(url: str, connection: Connection) -> None:
    with moved(url) as work:
        connection.execute("DELETE FROM orders_partitioned WHERE id = 5")
        assert repair(work, {"orders": [Difference("missing", ("5", "6"))]}).equal


def test_a_log_that_has_grown_is_small_again_when_all_is_replayed(url: str, connection: Connection) -> None:
    size = "SELECT pg_relation_size('orders_keys')"
    with moved(url) as work:
        # As if one row had been written again and again.
        connection.execute("INSERT INTO orders_keys SELECT 1, 2 FROM generate_series(1, 40000)")
        assert (connection.execute(size).fetchone() or [0])[0] > 1 << 20
        with connection.transaction():
            connection.execute("UPDATE orders SET note = 'not yet' WHERE id = 1")
            # Nobody waits for a writer who takes his time, who waits for nobody either.
            while tend(work).total:
                pass
            assert (connection.execute(size).fetchone() or [0])[0] > 1 << 20
        assert tend(work).total == 0
        assert (connection.execute(size).fetchone() or [0])[0] < 1 << 20
        assert ("log" in dict(work.meter.locks)) and verify(work).equal  # type: ignore[attr-defined]
