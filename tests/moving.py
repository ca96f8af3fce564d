"""What the steps of a cutover work with, for tests: a journal in a table, a pace without rests, and writers."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from bedplate.database.cutover import Plan
from bedplate.database.cutover.work import State, Stopped, Work

__all__ = ["AGAIN", "LEVELS", "Steady", "TableJournal", "Watch", "Writers", "apart", "moving", "write"]

Connection = psycopg.Connection[Any]
LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
#: What two writers may do to each other at some level, or a cutover to them, and each would try again.
AGAIN = (
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.UniqueViolation,
)


class TableJournal:
    """A journal in a table of the same database."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.state: State = "none"
        self.notes: list[tuple[str, dict[str, Any]]] = []
        connection.execute("CREATE TABLE IF NOT EXISTS public.progress (part text PRIMARY KEY, value json NOT NULL)")

    def enter(self, state: State) -> None:
        self.state = state

    def load(self, part: str) -> Mapping[str, Any]:
        row = self._connection.execute("SELECT value FROM public.progress WHERE part = %s", (part,)).fetchone()
        return {} if row is None else dict(row[0])

    def save(self, part: str, progress: Mapping[str, Any]) -> None:
        self._connection.execute(
            "INSERT INTO public.progress VALUES (%s, %s) ON CONFLICT (part) DO UPDATE SET value = excluded.value",
            (part, json.dumps(dict(progress))),
        )

    def note(self, event: str, **detail: Any) -> None:
        self.notes.append((event, detail))


@dataclass
class Steady:
    """A pace that never rests, and stops after so many rests if told."""

    seconds: float = 0.05
    rests: int | None = None

    def rest(self, worked: float) -> None:
        if self.rests is not None:
            self.rests -= 1
            if self.rests < 0:
                raise Stopped


@dataclass
class Watch:
    """Remembers what it is told."""

    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    locks: list[tuple[str, float]] = field(default_factory=list)

    def rows(self, table: str, step: str, count: int) -> None:
        self.counts[table, step] = self.counts.get((table, step), 0) + count

    def total(self, table: str, done: int, of: int) -> None:
        assert 0 <= done <= of

    def pending(self, table: str, keys: int) -> None:
        assert keys >= -1

    def held(self, what: str, seconds: float) -> None:
        self.locks.append((what, seconds))


@contextmanager
def moving(
    url: str, plan: Plan, *, pace: Any = None, wrap: Callable[[Any], Any] = lambda connection: connection
) -> Iterator[Work]:
    """Open what a worker of a cutover works with.

    :param wrap: makes something else of each connection.
    """

    @contextmanager
    def connect() -> Iterator[Any]:
        with psycopg.connect(url, autocommit=True) as opened:
            yield wrap(opened)

    with connect() as connection:
        yield Work(connection, connect, plan, TableJournal(connection), pace or Steady(), Watch())


def apart(connection: Connection, one: str, other: str, columns: str = "*") -> int:
    """Count the rows that only one of two tables has, by SQL's own means."""
    row = connection.execute(
        f"""SELECT count(*) FROM ((SELECT {columns} FROM {one} EXCEPT ALL SELECT {columns} FROM {other})
        UNION ALL (SELECT {columns} FROM {other} EXCEPT ALL SELECT {columns} FROM {one})) d""".encode()
    ).fetchone()
    assert row is not None
    return int(row[0])


class Writers:
    """Who writes the table ``orders (id, organization_id, note, amount)`` meanwhile, one thread for each level.

    :param seed: of the dice. :param most: transactions of each, or until the end. :param truncates: at times.
    """

    def __init__(
        self, url: str, *, seed: int = 1, most: int | None = None, truncates: bool = False, table: str = "orders"
    ) -> None:
        self._url = url
        self._most = most
        self._table = table
        self._truncates = truncates
        self._ended = threading.Event()
        self._seed = seed
        self.writes = 0
        self.failed: list[Exception] = []
        self._lock = threading.Lock()
        self._started = threading.Barrier(len(LEVELS) + 1)

    def __enter__(self) -> Writers:
        self._threads = [
            threading.Thread(target=self._write, args=(level, self._seed + number))
            for number, level in enumerate(LEVELS)
        ]
        for thread in self._threads:
            thread.start()
        self._started.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def join(self) -> None:
        """Wait until they have done all."""
        for thread in self._threads:
            thread.join(300)
        assert not self.failed, self.failed

    def _write(self, level: str, seed: int) -> None:
        dice = random.Random(seed)
        done = 0
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(f"SET default_transaction_isolation = '{level}'".encode())
            self._started.wait(60)
            while not self._ended.is_set() and (self._most is None or done < self._most):
                try:
                    with connection.transaction():
                        for _ in range(dice.randint(1, 3)):
                            write(connection, dice, table=self._table, truncates=self._truncates)
                except AGAIN:
                    pass
                except Exception as error:
                    self.failed.append(error)
                    return
                done += 1
                with self._lock:
                    self.writes += 1


def write(connection: Connection, dice: random.Random, *, table: str = "orders", truncates: bool = False) -> None:
    """Write something to the table, as the dice want it."""
    some, org = dice.randint(1, 400), dice.randint(1, 40)
    what = dice.random()
    if what < 0.3:
        connection.execute(
            f"INSERT INTO {table} (id, organization_id, note) VALUES (%s, %s, %s)".encode(),
            (dice.randint(1, 100_000), org, dice.choice(["a", "b", None])),
        )
    elif what < 0.5:
        connection.execute(
            f"UPDATE {table} SET note = note || 'c', amount = amount + 1 WHERE id = %s".encode(), (some,)
        )
    elif what < 0.65:
        connection.execute(f"UPDATE {table} SET organization_id = %s WHERE id = %s".encode(), (org, some))
    elif what < 0.75:
        connection.execute(f"DELETE FROM {table} WHERE id = %s".encode(), (some,))
    elif what < 0.82:
        connection.execute(
            f"UPDATE {table} SET organization_id = organization_id %% 40 + 1 WHERE id %% 97 = %s".encode(), (org,)
        )
    elif what < 0.88:
        connection.execute(f"DELETE FROM {table} WHERE organization_id = %s AND id %% 3 = 0".encode(), (org,))
    elif what < 0.94:
        connection.execute(
            f"""INSERT INTO {table} (id, organization_id, note) SELECT i, i %% 40 + 1, 'bulk'
            FROM generate_series(%s::int, %s::int) i ON CONFLICT (id) DO NOTHING""".encode(),
            (some, some + 30),
        )
    elif what < 0.997 or not truncates:
        begin = dice.randint(1, 100_000)
        rows = "".join(f"{number}\t{org}\tcopied\n" for number in range(begin, begin + 5))
        with connection.cursor().copy(f"COPY {table} (id, organization_id, note) FROM STDIN".encode()) as copy:
            copy.write(rows)
    else:
        connection.execute(f"TRUNCATE {table}".encode())
