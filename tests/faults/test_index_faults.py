"""Indexes made under writes: whoever makes them is killed and begins again, and nobody who writes waits for long."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bedplate.database.indexes.build import Limits
from bedplate.database.indexes.place import Place
from bedplate.database.indexes.progress import Progress
from bedplate.database.indexes.work import apply, look
from tests.endurance import dice, size, tell
from tests.postgres import Postgres, postgres

ROWS = size(5_000, 200_000)
WRITERS = size(1, 6)
#: Times that it is killed.
KILLS = size(1, 6)

MODULE = """
from contextlib import asynccontextmanager

from bedplate import Service, Settings, Spec
from bedplate.database import Database
from bedplate.database.indexes import AccessPath, Index


class Orders:
    def __init__(self, database):
        self.spec = Spec(kind="orders", summary="Keeps orders.", needs=(database,))

    @asynccontextmanager
    async def lifespan(self, host):
        yield

    def indexes(self):
        def paths(table):
            return AccessPath(statement=f"SELECT * FROM {table} WHERE at = :at", sample={"at": 7}, asked="A test.")
        return [
            Index(name="ix_orders_at", table="orders", on=("at", "note"), path=paths("orders")),
            Index(name="ix_orders_note", table="orders", on=("lower(note)",), path=paths("orders")),
            Index(name="ix_lines_at", table="lines", on=("at", "note"), path=paths("lines")),
        ]


def build(settings: Settings):
    database = Database(settings.database_url or "")
    return Service("orders", None, [Orders(database)], settings=settings)
"""
SCHEMA = f"""
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at int, note text);
INSERT INTO orders (at, note) SELECT i % 1000, md5(i::text) FROM generate_series(1, {ROWS}) i;
CREATE TABLE lines (id bigint GENERATED ALWAYS AS IDENTITY, at int, note text) PARTITION BY HASH (id);
CREATE TABLE lines_0 PARTITION OF lines FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE lines_1 PARTITION OF lines FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE lines_2 PARTITION OF lines FOR VALUES WITH (MODULUS 3, REMAINDER 2);
INSERT INTO lines (at, note) SELECT at, note FROM orders;
"""


class Writers:
    """Who writes to both tables all the time, and how long each waited for a lock at most."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._over = threading.Event()
        self.longest = 0.0
        self.written = 0
        self.errors: list[str] = []

    def __enter__(self) -> Writers:
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(WRITERS)]
        self._threads.append(threading.Thread(target=self._look))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _write(self, number: int) -> None:
        try:
            with psycopg.connect(self._url, autocommit=True, application_name="writer") as connection:
                while not self._over.is_set():
                    for table in ("orders", "lines"):
                        connection.execute(f"INSERT INTO {table} (at, note) VALUES (%s, 'new')".encode(), (number,))
                        connection.execute(
                            f"UPDATE {table} SET note = note || 'x' WHERE id = %s".encode(), (self.written % 1000 + 1,)
                        )
                    self.written += 1
                    self._over.wait(0.005)
        except Exception as error:
            self.errors.append(str(error))

    def _look(self) -> None:
        """Watch for how long anybody who writes waits for a lock on a table, by the server's own clock."""
        try:
            with psycopg.connect(self._url, autocommit=True) as connection:
                while not self._over.is_set():
                    row = connection.execute(
                        "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - l.waitstart)), 0)::float8"
                        " FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
                        " WHERE a.application_name = 'writer' AND NOT l.granted AND l.locktype = 'relation'"
                    ).fetchone()
                    assert row is not None
                    self.longest = max(self.longest, row[0])
                    self._over.wait(0.02)
        except Exception as error:
            self.errors.append(str(error))


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres(18, "maintenance_work_mem=1MB") as running:
        yield running


@pytest.fixture
def url(server: Postgres) -> str:
    url = server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA.encode())
    return url


@contextmanager
def _command(folder: Path, url: str) -> Iterator[subprocess.Popen[bytes]]:
    (folder / "orders_of_faults.py").write_text(MODULE)
    process = subprocess.Popen(
        [sys.executable, "-m", "bedplate.cli", "db", "indexes", "orders_of_faults:build", "--apply", "--json"],
        cwd=folder,
        env={**os.environ, "DATABASE_URL": url, "PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _at_work(connection: psycopg.Connection[Any]) -> bool:
    """Say whether an index is being made, or what was left of one dropped."""
    return (
        connection.execute(
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'bedplate indexes' AND state = 'active'"
            " AND query ~ '^(CREATE|DROP) INDEX CONCURRENTLY'"
        ).fetchone()
        is not None
    )


@pytest.mark.timeout(size(240, 1800))
def test_who_is_killed_in_the_middle_begins_again(url: str, tmp_path: Path) -> None:
    dices = dice()
    invalid = 0
    # Somebody who is in the middle of something holds every other one up, so that it is surely in its own.
    with psycopg.connect(url, autocommit=True) as connection, Writers(url) as writers:
        for number in range(KILLS):
            with psycopg.connect(url) as holder, _command(tmp_path, url) as process:
                if held := number % 2 == 0:
                    holder.execute(f"UPDATE orders SET at = at WHERE id = {dices.randrange(1, 1000)}".encode())
                end = time.monotonic() + 100
                while not _at_work(connection) and process.poll() is None:
                    assert time.monotonic() < end
                    time.sleep(0.01)
                time.sleep(0 if held else dices.random())
                process.kill()
                process.wait(30)
                # The server notices that nobody waits for its answer.
                while _at_work(connection):
                    assert time.monotonic() < end
                    time.sleep(0.05)
            row = connection.execute("SELECT count(*) FROM pg_index WHERE NOT indisvalid").fetchone()
            assert row is not None
            invalid += row[0]
        with _command(tmp_path, url) as process:
            out, err = process.communicate(timeout=size(100, 600))
            assert process.returncode == 0, (out, err)
        assert not writers.errors
        rows = connection.execute("SELECT count(*) FROM pg_index WHERE NOT indisvalid").fetchall()
        assert (invalid > 0, rows) == (True, [(0,)])
        tell("indexes made under writes", writes=writers.written, kills=KILLS, left_invalid=invalid)
        names = connection.execute(
            "SELECT relname FROM pg_class WHERE relname LIKE 'ix_%' AND relkind IN ('i', 'I') ORDER BY 1"
        ).fetchall()
        parts = [f"ix_lines_at_{number}" for number in range(3)]
        assert [row[0] for row in names] == ["ix_lines_at", *parts, "ix_orders_at", "ix_orders_note"]
    with psycopg.connect(url, autocommit=True) as connection:
        # Each index holds every row, those that were written meanwhile, too.
        connection.execute("CREATE EXTENSION amcheck")
        connection.execute(
            "SELECT bt_index_check(oid, true) FROM pg_class WHERE relname LIKE 'ix_%' AND relkind = 'i'"
        ).fetchall()


@pytest.mark.timeout(size(240, 900))
def test_nobody_who_writes_waits_long_for_a_lock_that_is_asked_for(url: str) -> None:
    module: dict[str, Any] = {}
    exec(MODULE, module)
    declared = module["Orders"](None).indexes()
    place = Place(url)
    waits: list[float] = []
    released = threading.Event()

    def watch(progress: Progress) -> None:
        if progress.phase == "waiting for a lock":
            waits.append(time.monotonic())
            if len(waits) >= 4 and waits[-1] - waits[0] > 2.5:
                released.set()

    def hold() -> None:
        # Whoever waited for the lock of the partitioned table as long as this lasts would hold up all who write to it.
        with psycopg.connect(url, application_name="holder") as holder:
            holder.execute("UPDATE lines SET at = at WHERE id = 5000")
            held.set()
            released.wait(90)

    held = threading.Event()
    holder = threading.Thread(target=hold)
    with Writers(url) as writers:
        holder.start()
        assert held.wait(60)
        done = apply(place, declared[::-1], limits=Limits(lock=0.1, patience=80), watch=watch)
        holder.join(60)
        assert done.faults == {}
        assert look(place, declared).complete
    place.close()
    assert not writers.errors
    assert writers.written > 0 and len(waits) >= 4
    assert writers.longest < 1.5
