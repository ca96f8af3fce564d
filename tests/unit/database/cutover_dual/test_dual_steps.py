"""A cutover by dual writes loses nothing, whoever writes meanwhile and whenever its worker dies."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from bedplate.database.cutover import Plan
from bedplate.database.cutover.steps import backfill, capture, index, prepare, sync, tend, verify
from bedplate.database.cutover.work import Work
from tests.endurance import WHOLE, dice, size
from tests.moving import AGAIN, Steady, Writers, apart, moving, write
from tests.redis_server import until

Connection = psycopg.Connection[Any]
PLAN = Plan(tables="orders", key="organization_id", partitions=3, mode="dual-write")


class Killed(BaseException):
    """The end of a worker, which no step catches."""


class Mortal:
    """A connection that dies at a statement."""

    def __init__(self, connection: Connection, left: list[int]) -> None:
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


@dataclass
class Eventful:
    """A pace at whose first rest something happens."""

    happens: Callable[[], object]
    seconds: float = 0.05
    rests: int = 0
    gentle: bool = False

    def rest(self, worked: float, rows: int = 0) -> None:
        self.rests += 1
        if self.rests == 1:
            self.happens()


def _ended(work: Work, connection: Connection) -> None:
    while tend(work).total:
        pass
    verdict = verify(work)
    assert verdict.equal, verdict.detail
    assert apart(connection, "orders", "orders_partitioned") == 0


@pytest.mark.timeout(size(120, 1_200))
def test_nothing_is_lost_while_writers_at_all_levels_write(url: str, connection: Connection) -> None:
    with Writers(url, seed=dice().randrange(1000), truncates=True, pause=size(0.002, 0.0)) as writers:
        with moving(url, PLAN, pace=Steady(0.002)) as work:
            for step in (prepare, capture, backfill, index, sync):
                step(work)
                before = writers.writes
                while writers.writes < before + size(15, 4_000):
                    tend(work) if step is sync else work.pace.rest(0.0)
            assert verify(work).equal
    with moving(url, PLAN) as work:
        _ended(work, connection)
        missed = [note for note in work.journal.notes if note[0] == "missed by triggers"]  # type: ignore[attr-defined]
        assert not missed


@pytest.mark.timeout(size(120, 1_200))
@pytest.mark.parametrize("seed", range(5 if WHOLE else 1))
def test_a_worker_that_dies_at_any_statement_is_replaced(url: str, connection: Connection, seed: int) -> None:
    luck = random.Random(dice().randrange(1000) + seed)
    budget, deaths = 1, 0
    connection.execute("DELETE FROM orders WHERE id > 1000")
    while True:
        left = [budget]
        try:
            with moving(url, PLAN, pace=Steady(1e-9), wrap=lambda opened, left=left: Mortal(opened, left)) as work:  # type: ignore[misc]
                for step in (prepare, capture, backfill, index, sync):
                    step(work)
                assert verify(work).equal
                break
        except Killed:
            deaths += 1
            budget += luck.randint(*((1, 3) if WHOLE else (50, 120)))
            for _ in range(3):
                with suppress(*AGAIN):
                    write(connection, luck, truncates=luck.random() < 0.1)
    assert deaths > 3
    with moving(url, PLAN) as work:
        _ended(work, connection)


def test_a_transaction_that_wrote_before_the_triggers_ends_before_them(url: str, connection: Connection) -> None:
    with psycopg.connect(url, autocommit=True) as old, psycopg.connect(url, autocommit=True) as reader:
        old.execute("BEGIN; DELETE FROM orders WHERE id = 7; UPDATE orders SET organization_id = 99 WHERE id = 8")
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM orders")
        pace = Eventful(
            lambda: old.execute(
                "INSERT INTO orders (id, organization_id) VALUES (500, 1) "
                "ON CONFLICT (id) DO UPDATE SET note = 'late'; COMMIT"
            )
        )
        with moving(url, PLAN, pace=pace) as work:
            prepare(work)
            capture(work)
            assert pace.rests > 0
            # A snapshot from before the triggers fires them all the same.
            reader.execute("DELETE FROM orders WHERE id = 9; UPDATE orders SET organization_id = 99 WHERE id = 10")
            reader.execute("COMMIT")
            for step in (backfill, index, sync):
                step(work)
            _ended(work, connection)


def test_the_worker_gives_way_to_a_writer_of_the_same_row(url: str, connection: Connection) -> None:
    with psycopg.connect(url, autocommit=True) as writer:
        pace = Eventful(lambda: writer.execute("UPDATE orders SET note = 'mine' WHERE id = 3; COMMIT"))
        with moving(url, PLAN, pace=pace) as work:
            prepare(work)
            capture(work)
            writer.execute("BEGIN; UPDATE orders SET note = 'mine' WHERE id = 77")
            backfill(work)
            assert pace.rests > 1
            for step in (index, sync):
                step(work)
            _ended(work, connection)


def test_writers_who_delete_while_the_worker_rests_for_them_do_not_keep_it_for_ever(
    url: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bedplate.database.cutover.dualwrite.steps._ROUNDS", 2)

    class Deleted(Steady):
        def rest(self, worked: float, rows: int = 0) -> None:
            super().rest(worked, rows)
            if rows:
                connection.execute("INSERT INTO orders_tombstones SELECT -i, 1 FROM generate_series(1, 2500) i")

    with moving(url, PLAN, pace=Deleted(rests=100, gentle=True)) as work:
        for step in (prepare, capture, backfill):
            step(work)
    assert connection.execute("SELECT to_regclass('orders_tombstones')").fetchone() == (None,)


def test_an_index_whose_build_was_ended_is_made_anew(url: str, connection: Connection) -> None:
    with moving(url, PLAN) as work:
        for step in (prepare, capture, backfill):
            step(work)
        connection.execute("CREATE INDEX orders_organization_partitioned_p001 ON orders_p001 (organization_id, id)")
        connection.execute("""UPDATE pg_index SET indisvalid = false
            WHERE indexrelid = 'orders_organization_partitioned_p001'::regclass""")
        with Writers(url, most=size(200, 4_000)):
            index(work)
        index(work)
        sync(work)
        _ended(work, connection)
        invalid = "SELECT count(*) FROM pg_index WHERE indrelid::regclass::text LIKE 'orders_p%' AND NOT indisvalid"
        assert connection.execute(invalid.encode()).fetchone() == (0,)
        (deferrable,) = connection.execute(
            "SELECT condeferrable FROM pg_constraint WHERE conname LIKE 'orders_code_p%001'"
        )
        assert deferrable == (True,)


def test_an_index_whose_build_was_ended_may_be_made_whole_by_a_truncation(url: str, connection: Connection) -> None:
    name = "orders_organization_partitioned_p001"

    class Emptied:
        """A connection after whose second look at the index somebody truncates its table."""

        def __init__(self, opened: Connection) -> None:
            self._opened, self._looks = opened, 0

        def __getattr__(self, called: str) -> Any:
            return getattr(self._opened, called)

        def execute(self, statement: Any, values: Any = None, **how: Any) -> Any:
            done = self._opened.execute(statement, values, **how)
            if "indisvalid" in str(statement) and name in str(values):
                self._looks += 1
                if self._looks == 2:
                    connection.execute("TRUNCATE orders; INSERT INTO orders (organization_id) VALUES (7)")
            return done

    with moving(url, PLAN, wrap=Emptied) as work:
        for step in (prepare, capture, backfill):
            step(work)
        connection.execute(f"CREATE INDEX {name} ON orders_p001 (organization_id, id)".encode())
        connection.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", (name,))
        index(work)
        sync(work)
        _ended(work, connection)


def test_an_index_gives_way_to_a_writer_that_waits_for_it_in_turn(url: str, connection: Connection) -> None:
    waits = """SELECT count(*) FROM pg_stat_activity
        WHERE wait_event = 'virtualxid' AND query LIKE 'CREATE%INDEX CONCURRENTLY%'"""
    with moving(url, PLAN) as work, psycopg.connect(url) as writer, ThreadPoolExecutor(1) as pool:
        for step in (prepare, capture, backfill):
            step(work)
        # The server looks for deadlocks after that time of a wait and ends who waits: the index.
        work.connection.execute("SET deadlock_timeout = '2s'")
        writer.execute("SET deadlock_timeout = '60s'")
        writer.execute("INSERT INTO orders (id, organization_id, code) VALUES (9000, 1, 'of a truncated table')")
        built = pool.submit(index, work)
        until(lambda: connection.execute(waits).fetchone() == (1,), "the index waits for the writer")
        writer.execute("TRUNCATE orders")
        writer.execute("INSERT INTO orders (id, organization_id, code) VALUES (9001, 1, 'kept')")
        writer.commit()
        built.result(60)
        assert [note for note in work.journal.notes if note[0] == "index waits"]  # type: ignore[attr-defined]
        sync(work)
        _ended(work, connection)
        assert connection.execute("SELECT code FROM orders_partitioned").fetchall() == [("kept",)]


def test_what_triggers_miss_is_told_and_made_equal(url: str, connection: Connection) -> None:
    with moving(url, PLAN) as work:
        for step in (prepare, capture, backfill, index, sync):
            step(work)
        connection.execute("ALTER TABLE orders DISABLE TRIGGER bedplate_dual_update")
        connection.execute("UPDATE orders SET note = 'missed' WHERE id = 5")
        connection.execute("ALTER TABLE orders ENABLE TRIGGER bedplate_dual_update")
        connection.execute("UPDATE orders SET note = 'written' WHERE id = 6")
        _ended(work, connection)
        told = dict(work.journal.notes)["missed by triggers"]  # type: ignore[attr-defined]
        assert told["rows"] == 1 and told["first"] == ["different 5, 6"]
