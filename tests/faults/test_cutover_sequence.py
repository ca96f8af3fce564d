"""Two tables through the whole of a cutover under live writes, whose worker is killed on the way.

Writers at every isolation level insert, change, delete and move rows between organisations throughout; each knows what
it was told is committed. From preflight over switch, rollback and another switch to the end nobody of them gets an
error that is not about another writer, and in the end exactly what they know is there: by keys and values, and by a
count of all that nobody touched.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from random import Random
from typing import Any

import psycopg
import pytest
from psycopg import IsolationLevel

from bedplate.database.cutover import Plan
from bedplate.database.cutover.machine.component import MIGRATIONS
from bedplate.database.cutover.machine.look import look
from bedplate.database.cutover.machine.record import Book, Record
from bedplate.database.cutover.machine.wishes import press
from bedplate.database.migrations import upgrade
from tests.endurance import dice, size, tell
from tests.postgres import Postgres, postgres

ROWS = size(30_000, 1_500_000)
ORGANIZATIONS = 500
TABLES = ("revenue", "expense")
PLAN = Plan(tables=TABLES, key="organization_id", partitions=size(4, 64))
NAME = "ledger"
LEVELS = (IsolationLevel.READ_COMMITTED, IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE)
PATIENCE = size(90.0, 1800.0)

_WORKER = """
import sys
from bedplate.database.cutover.machine.real import real_steps
from bedplate.database.cutover.machine.runner import Runner
Runner(sys.argv[1], sys.argv[2], real_steps(), idle=0.05).run()
"""

Values = tuple[int, Decimal, str | None]


class Writer(threading.Thread):
    """Writes rows of its own and a share of the old ones, and knows what they are."""

    def __init__(self, url: str, level: IsolationLevel, number: int, seed: int) -> None:
        super().__init__(name=f"writer {level.name}")
        self.url, self.level, self.number = url, level, number
        self.thrown = Random(seed)
        self.stop = threading.Event()
        self.writes = 0
        self.errors: list[BaseException] = []
        #: By table and id: what is there, None where nothing is.
        self.known: dict[tuple[str, int], Values | None] = {}

    def run(self) -> None:
        with psycopg.connect(self.url) as connection:
            connection.isolation_level = self.level
            while not self.stop.wait(self.thrown.uniform(0, size(0.02, 0.004))):
                try:
                    with connection.transaction():
                        told = [self._write(connection) for _ in range(self.thrown.choice((1, 1, 3)))]
                except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
                    continue
                except psycopg.Error as error:
                    self.errors.append(error)
                    return
                for one in told:
                    self.known.update(one)
                self.writes += 1

    def _write(self, connection: psycopg.Connection[Any]) -> dict[tuple[str, int], Values | None]:
        table, organization = self.thrown.choice(TABLES), self.thrown.randrange(ORGANIZATIONS)
        amount, what = Decimal(self.thrown.randrange(-(10**6), 10**6)).scaleb(-2), self.thrown.random()
        # Ids of one's own: the others' are theirs.
        id = self.thrown.randrange(ROWS // 3) * 3 + self.number
        if what < 0.4:
            row = connection.execute(
                f"INSERT INTO {table} (organization_id, amount, note) VALUES (%s, %s, %s) RETURNING id",
                (organization, amount, self.name),
            ).fetchone()
            assert row is not None
            return {(table, row[0]): (organization, amount, self.name)}
        values: tuple[Any, int]
        if what < 0.6:
            statement, values = f"UPDATE {table} SET amount = %s WHERE id = %s", (amount, id)
        elif what < 0.8:
            statement, values = f"UPDATE {table} SET organization_id = %s WHERE id = %s", (organization, id)
        else:
            connection.execute(f"DELETE FROM {table} WHERE id = %s", (id,))
            return {(table, id): None}
        row = connection.execute(f"{statement} RETURNING organization_id, amount, note", values).fetchone()
        return {(table, id): None if row is None else tuple(row)}


class Site:
    """The database, and who works on the cutover."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection = psycopg.connect(url, autocommit=True)
        self.worker: subprocess.Popen[bytes] | None = None

    def start_worker(self) -> None:
        self.worker = subprocess.Popen([sys.executable, "-c", _WORKER, self.url, NAME])

    def kill_worker(self) -> None:
        if self.worker is not None:
            self.worker.kill()
            self.worker.wait(60)
            self.worker = None

    def record(self) -> Record:
        record = Book(self.connection, NAME).read()
        assert record is not None
        return record

    def wait(self, *states: str, part: str = "") -> None:
        end = time.monotonic() + PATIENCE
        book = Book(self.connection, NAME)
        while (record := self.record()).state not in states or (part and part not in book.progress()):
            assert self.worker is not None and self.worker.poll() is None, "the worker is gone"
            assert record.trouble != "waits", f"{record.error} {record.mend}"
            assert time.monotonic() < end, f"{record.state}: {record.error}"
            time.sleep(0.01)

    def press(self, wish: Any, **how: Any) -> None:
        press(self.connection, NAME, wish, "test", **how)

    def close(self) -> None:
        self.kill_worker()
        self.connection.close()


@pytest.fixture(scope="module")
def cutover_server() -> Iterator[Postgres]:
    with postgres(18, "shared_buffers=256MB", "max_wal_size=2GB") as running:
        yield running


@contextmanager
def site(url: str) -> Iterator[Site]:
    from sqlalchemy import create_engine

    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url))
    with engine.begin() as connection:
        upgrade(connection, [MIGRATIONS], 20.0)
    engine.dispose()
    there = Site(url)
    for table in TABLES:
        there.connection.execute(
            f"CREATE TABLE {table} (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,"
            " organization_id int NOT NULL, amount numeric(18, 2) NOT NULL, note text)"
        )
        there.connection.execute(
            f"INSERT INTO {table} SELECT n, n %% {ORGANIZATIONS}, n, NULL FROM generate_series(0, %s) n", (ROWS - 1,)
        )
        there.connection.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {ROWS})")
        there.connection.execute(f"CREATE INDEX ON {table} (organization_id, id)")
        there.connection.execute(f"ANALYZE {table}")
    try:
        yield there
    finally:
        there.close()


@contextmanager
def writing(url: str, thrown: Random) -> Iterator[list[Writer]]:
    writers = [Writer(url, level, number, thrown.randrange(10**6)) for number, level in enumerate(LEVELS)]
    for writer in writers:
        writer.start()
    try:
        yield writers
    finally:
        for writer in writers:
            writer.stop.set()
        for writer in writers:
            writer.join(60)


@pytest.mark.timeout(size(180, 3600))
def test_nothing_is_lost_from_preflight_over_switches_and_a_rollback_to_the_end(cutover_server: Postgres) -> None:
    thrown = dice()
    with site(cutover_server.database()) as there:
        with writing(there.url, thrown) as writers:
            _move(there, thrown)
            before = [writer.writes for writer in writers]
            end = time.monotonic() + PATIENCE
            while any(
                writer.is_alive() and writer.writes <= count for writer, count in zip(writers, before, strict=True)
            ):
                assert time.monotonic() < end
                time.sleep(0.01)
        assert [error for writer in writers for error in writer.errors] == []
        assert all(writer.writes for writer in writers)
        for table in TABLES:
            _compare(there.connection, table, writers)
        held = [event.detail["held"] for event in Book(there.connection, NAME).timeline(1000) if "held" in event.detail]
        transactions = sum(writer.writes for writer in writers)
        # What is missing, extra or different has failed above.
        tell(f"{2 * ROWS} rows from preflight to the end", writes=transactions, kills=size(3, 5), missing=0, held=held)


def _move(there: Site, thrown: Random) -> None:
    """Take the tables through all states; the worker is killed in some of them, wherever it is then."""
    there.press("start", plan=PLAN)
    there.press("throttle", percent=size(20, 100))
    there.start_worker()
    there.wait("backfilling", part=f"backfill:{TABLES[0]}")
    there.kill_worker()
    assert there.record().state == "backfilling"
    there.press("throttle", percent=100)
    there.start_worker()
    there.wait("indexing", "synced", "verified")
    there.kill_worker()
    there.start_worker()
    there.wait("verified")
    killed = size(1, 3)
    for wish, state in (("switch", "switched"), ("rollback", "verified"), ("switch", "switched")):
        there.press(wish)
        if (killed := killed - 1) >= 0:
            # Before, in or after its lock: the state says which, and so do the tables.
            time.sleep(thrown.uniform(0, 0.4))
            there.kill_worker()
            there.start_worker()
        there.wait(state)
        kinds = {
            there.connection.execute("SELECT relkind::text FROM pg_class WHERE oid = %s::regclass", (table,)).fetchone()
            for table in TABLES
        }
        assert kinds == {("p",) if state == "switched" else ("r",)}
    seen = look(there.connection, NAME, PLAN)
    assert [one.shadow.name for one in seen.tables if one.shadow] == [f'"public"."{table}_legacy"' for table in TABLES]
    there.press("finalize", confirm=NAME)
    there.wait("finalized")


def _compare(connection: psycopg.Connection[Any], table: str, writers: list[Writer]) -> None:
    """Compare a table with what its writers know, row by row, and count what nobody touched."""
    known: dict[int, Values | None] = {}
    for writer in writers:
        known |= {id: values for (name, id), values in writer.known.items() if name == table}
    found = {
        id: tuple(values)
        for id, *values in connection.execute(f"SELECT id, organization_id, amount, note FROM {table}")
    }
    wrong = {id: (values, found.get(id)) for id, values in known.items() if found.get(id) != values}
    assert not wrong, dict(list(wrong.items())[:5])
    untouched = {id: values for id, values in found.items() if id not in known}
    assert len(untouched) == ROWS - sum(id < ROWS for id in known)
    assert all(values == (id % ORGANIZATIONS, Decimal(id), None) for id, values in untouched.items())
