"""Records moved while many write and movers are killed: at the end all rows are the same."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bedplate.database.transfer import Transfer
from tests.endurance import dice, size, tell
from tests.postgres import Postgres, postgres
from tests.transfers import shop

ROWS = size(200, 20_000)
WRITERS = size(2, 4)
#: Transactions that are written before the last pass, at least.
WRITES = size(100, 3_000)
KILLS = size(1, 8)
LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")

FOLLOW = """
import sys
from bedplate.database.transfer import Transfer

transfer = Transfer(*sys.argv[1:3], chunk=50)
print("begun", flush=True)
transfer.follow()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


class Writers:
    """Threads that write into a source until they are told to stop."""

    def __init__(self, seed: int, connect: Callable[[], Any], begin: Callable[[int], str], mark: str) -> None:
        self._seed = seed
        self._connect = connect
        self._begin = begin
        self._mark = mark
        self._over = threading.Event()
        self._errors: list[BaseException] = []
        self.written = 0
        self.enough = threading.Event()

    @contextmanager
    def writing(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._write, args=(number,)) for number in range(WRITERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join(60)
        assert not self._errors, self._errors

    def _write(self, number: int) -> None:
        roll = random.Random(self._seed * 100 + number)
        try:
            with closing(self._connect()) as connection:
                while not self._over.wait(0.002):
                    self._transaction(connection, roll, number)
        except BaseException as error:
            self._errors.append(error)

    def _transaction(self, connection: Any, roll: random.Random, number: int) -> None:
        def run(statement: str, *values: Any) -> None:
            connection.execute(statement.replace("?", self._mark), values)

        try:
            run(self._begin(number))
            for _ in range(roll.randint(1, 4)):
                self._act(run, roll, number)
            run("COMMIT" if roll.random() < 0.9 else "ROLLBACK")
        except (psycopg.errors.OperationalError, sqlite3.OperationalError):
            # Another one was there first: serialisation failure, deadlock, or no right to write in time.
            run("ROLLBACK") if self._mark == "%s" or connection.in_transaction else None
            return
        self.written += 1
        if self.written >= WRITES:
            self.enough.set()

    def _act(self, run: Callable[..., None], roll: random.Random, number: int) -> None:
        one = roll.randint(1, ROWS)
        match roll.randint(0, 6):
            case 0:
                new = 10**6 * (number + 1) + roll.randrange(10**6)
                run("INSERT INTO users (id, email) VALUES (?, ?) ON CONFLICT DO NOTHING", new, f"new{new}")
            case 1:
                run("UPDATE users SET active = NOT active, boss = NULL WHERE id = ?", one)
            case 2:
                run("UPDATE lines SET place = place + 1 WHERE order_id = ? AND place < 30000", one * 10**13)
            case 3:
                run(
                    "UPDATE orders SET price = ? WHERE user_id = ?",
                    f"{roll.randrange(10**6)}.{roll.randrange(100):02}",
                    one,
                )
            case 4:
                # Its orders go with it.
                run("UPDATE users SET boss = NULL WHERE boss = ?", one)
                run("UPDATE users SET first_order = NULL, boss = NULL WHERE id = ?", one)
                run("DELETE FROM users WHERE id = ?", one)
            case 5:
                run("DELETE FROM lines WHERE order_id = ?", one * 10**13)
                run("INSERT INTO lines VALUES (?, 1, ?) ON CONFLICT DO NOTHING", one * 10**13, f"again {roll.random()}")
            case 6:
                run(
                    "UPDATE lines SET text = text || '.' WHERE order_id BETWEEN ? AND ?",
                    one * 10**13,
                    (one + 9) * 10**13,
                )


def everything(connection: Any) -> dict[str, list[Any]]:
    """Return all rows as Python has them, by no code of the transfer's."""
    found = {}
    for table, columns in (
        ("users", "id, email, boss, first_order, active, made"),
        ("orders", "id, user_id, price, raw, code, weight"),
        ("lines", "order_id, place, text"),
        ("notes", "text, number"),
    ):
        rows = connection.execute(f"SELECT {columns} FROM {table}").fetchall()
        found[table] = sorted(tuple(map(plain, row)) for row in rows)
    return found


def plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, Decimal):
        return str(value)
    return str(value).removesuffix(".000000") if not isinstance(value, bytes) else value.hex()


def follow(source: str, target: str, seconds: float) -> None:
    """Follow a source in a process that is killed after a while, wherever it is then."""
    running = subprocess.Popen([sys.executable, "-c", FOLLOW, source, target], stdout=subprocess.PIPE)
    assert running.stdout is not None and running.stdout.readline() == b"begun\n"
    try:
        running.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.kill(running.pid, signal.SIGKILL)
        running.communicate()


def moved(source: str, target: str, writers: Writers, roll: random.Random) -> None:
    with writers.writing():
        for _ in range(KILLS):
            follow(source, target, roll.uniform(0.05, size(0.5, 5.0)))
        assert Transfer(source, target, chunk=size(50, 5_000)).follow().equal
        assert writers.enough.wait(size(100, 600))
    report = Transfer(source, target).run()
    assert (report.state, report.equal) == ("finished", True)
    tell("a transfer", writes=writers.written, kills=KILLS, different=0)


@pytest.mark.timeout(size(120, 900))
def test_a_file_that_many_write_into(tmp_path: Path, server: Postgres) -> None:
    roll = dice()
    source, connection = shop(tmp_path, ROWS)

    def connect() -> sqlite3.Connection:
        made = sqlite3.connect(tmp_path / "source.sqlite3", isolation_level=None, timeout=60)
        made.execute("PRAGMA foreign_keys = ON")
        return made

    target = server.database()
    moved(source, target, Writers(roll.randrange(10**6), connect, lambda number: "BEGIN IMMEDIATE", "?"), roll)
    with psycopg.connect(target) as there:
        assert everything(there) == everything(connection)


@pytest.mark.timeout(size(120, 900))
def test_a_server_that_many_write_into(tmp_path: Path, server: Postgres) -> None:
    roll = dice()
    file, _ = shop(tmp_path, ROWS)
    source, target = server.database(), size(f"sqlite:///{tmp_path}/back.sqlite3", server.database())
    Transfer(file, source).run()
    writers = Writers(
        roll.randrange(10**6),
        lambda: psycopg.connect(source, autocommit=True),
        lambda number: f"BEGIN ISOLATION LEVEL {LEVELS[number % 3]}",
        "%s",
    )
    moved(source, target, writers, roll)
    with psycopg.connect(source) as here:
        if target.startswith("sqlite"):
            with closing(sqlite3.connect(tmp_path / "back.sqlite3")) as there:
                assert everything(there) == everything(here)
        else:
            with psycopg.connect(target) as there:
                assert everything(there) == everything(here)
