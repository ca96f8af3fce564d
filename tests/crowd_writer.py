"""One writer of a crowd, in a process of its own: what it writes, and what it knows of it."""

from __future__ import annotations

import random
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import psycopg

__all__ = ["ORGANIZATIONS", "PATIENCE", "SHARED", "Account", "Writer", "write_on"]

#: Rows that all writers change, in so many organisations, and ids of each writer's own new rows.
SHARED, ORGANIZATIONS, _OWN = 5, 200, 10**9
#: Seconds that the others may be away.
PATIENCE = 300.0
_COLUMNS = "id, organization_id, amount, note"
_RETRIED = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)

Row = tuple[int, int, str | None]


@dataclass
class Account:
    """What was written, and how what is there differs from it.

    :ivar writes: statements that changed rows, of transactions that were committed. :ivar wrong: the first rows that
        are not as they must be. :ivar counts: by what was done; ``met another`` are transactions that had to give way.
    """

    writes: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0
    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    #: What was added to each shared row.
    shared: Counter[tuple[str, int]] = field(default_factory=Counter)

    def add(self, other: Account) -> None:
        """Take in another writer's."""
        self.writes += other.writes
        self.missing += other.missing
        self.extra += other.extra
        self.different += other.different
        self.wrong += other.wrong
        self.counts.update(other.counts)
        self.shared.update(other.shared)

    @property
    def lost(self) -> int:
        """Rows that are missing, extra or different."""
        return self.missing + self.extra + self.different


def write_on(writer: Writer, pipe: Connection, done: Any) -> None:
    """Write until the other end of the pipe is gone; what goes wrong is said there."""
    try:
        writer.run(pipe, done)
    except EOFError:
        return
    except BaseException:
        pipe.send(f"{writer.level}: {traceback.format_exc(limit=-6)}")


@dataclass
class _Staged:
    """A transaction on its way: what it will have changed, and what its statements must say."""

    rows: dict[tuple[str, int], Row | None] = field(default_factory=dict)
    shared: Counter[tuple[str, int]] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    expected: list[tuple[Any, int, str]] = field(default_factory=list)
    #: By the cursor that tells the id: the table and the row.
    given: list[tuple[Any, str, Row]] = field(default_factory=list)
    #: Rows that this transaction has touched: not chosen again where the outcome would depend on order.
    writes: int = 0


@dataclass
class Writer:
    """Writes by its dice, at one isolation level, and knows its rows."""

    url: str
    tables: tuple[str, ...]
    level: str
    number: int
    of: int
    rows: int
    seed: int
    batch: int
    pause: float

    def run(self, pipe: Connection, done: Any) -> None:
        self._dice = random.Random(self.seed)
        self._known: dict[tuple[str, int], Row] = {}
        self._ids: dict[str, list[int]] = {}
        self._places: dict[tuple[str, int], int] = {}
        for table in self.tables:
            self._ids[table] = []
            for number in range(1, self.rows + 1):
                if number % self.of == self.number:
                    self._learn(table, number, (number % ORGANIZATIONS, number, "old"))
        self._fresh, self._transactions = _OWN * (self.number + 1), 0
        self._account = Account()
        connection = self._connected()
        self._obey(pipe, "go")
        while True:
            if pipe.poll():
                self._obey(pipe, "stop")
                connection = self._paused(pipe, connection)
            try:
                if connection.closed:
                    connection = self._connected()
                self._transaction(connection)
            except psycopg.OperationalError:
                connection.close()
            done.value = self._account.writes
            if self.pause:
                time.sleep(self._dice.uniform(0, self.pause))

    def _obey(self, pipe: Connection, word: str) -> None:
        said = pipe.recv()
        assert said == word, said
        pipe.send(None)

    def _paused(self, pipe: Connection, connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
        while True:
            said = pipe.recv()
            if said == "go":
                pipe.send(None)
                return connection
            if connection.closed:
                connection = self._connected()
            pipe.send(self._compare(connection))

    # --- what is known ------------------------------------------------------------------------------------------------

    def _learn(self, table: str, number: int, row: Row | None) -> None:
        key, ids = (table, number), self._ids[table]
        if row is None:
            if key in self._known:
                del self._known[key]
                place, last = self._places.pop(key), ids.pop()
                if last != number:
                    ids[place] = last
                    self._places[table, last] = place
            return
        if key not in self._known:
            self._places[key] = len(ids)
            ids.append(number)
        self._known[key] = row

    def _compare(self, connection: psycopg.Connection[Any]) -> Account:
        account = Account(self._account.writes, counts=self._account.counts, shared=self._account.shared)
        for table in self.tables:
            with connection.transaction():
                found: dict[int, list[Row]] = {}
                for number, *row in connection.execute(
                    f"SELECT {_COLUMNS} FROM {table} WHERE writer = %s".encode(), (self.number,)
                ):
                    found.setdefault(number, []).append((row[0], row[1], row[2]))
            wrong = []
            for number in self._ids[table]:
                rows, wanted = found.pop(number, []), self._known[table, number]
                account.missing += not rows
                account.extra += max(0, len(rows) - 1)
                account.different += len(rows) == 1 and rows[0] != wanted
                if rows != [wanted]:
                    wrong.append(f"{self.level} {table} {number}: {rows} for {wanted}")
            account.extra += len(found)
            wrong += [f"{self.level} {table} {number}: {rows} for nothing" for number, rows in found.items()]
            account.wrong += wrong[:5]
        return account

    # --- transactions -------------------------------------------------------------------------------------------------

    def _connected(self) -> psycopg.Connection[Any]:
        """Connect, as soon as somebody answers; and learn how the last transaction ended that nobody told us of."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                connection = psycopg.connect(self.url, autocommit=True, application_name=f"crowd {self.level}")
                connection.execute(f"SET default_transaction_isolation = '{self.level}'".encode())
                row = connection.execute("SELECT done FROM marks WHERE writer = %s", (self.number,)).fetchone()
            except psycopg.OperationalError:
                assert time.monotonic() < end, "The server is away for too long."
                time.sleep(0.01)
                continue
            assert row is not None, "The marks are gone."
            if self._doubted is not None:
                self._account.counts["unknown"] += 1
                if row[0] == self._transactions:
                    self._account.counts["unknown, but done"] += 1
                    self._found_out(connection, self._doubted)
                self._doubted = None
            assert row[0] <= self._transactions
            return connection

    _doubted: _Staged | None = None

    def _transaction(self, connection: psycopg.Connection[Any]) -> None:
        dice = self._dice
        staged = _Staged()
        self._transactions += 1
        self._doubted = staged
        try:
            if dice.random() < 0.03:
                with connection.transaction():
                    self._mark(connection)
                    self._copy(connection, staged)
            else:
                # One message there, one back.
                with connection.pipeline(), connection.transaction():
                    self._mark(connection)
                    for _ in range(dice.randint(1, self.batch)):
                        self._write(connection, staged)
        except _RETRIED:
            self._doubted = None
            self._account.counts["met another"] += 1
            return
        self._doubted = None
        for cursor, count, what in staged.expected:
            assert cursor.rowcount == count, f"{what} changed {cursor.rowcount} rows for {count}"
        for cursor, table, row in staged.given:
            (number,) = cursor.fetchone()
            assert (table, number) not in self._known, f"{table} {number} was given twice"
            staged.rows[table, number] = row
        self._settle(staged)

    def _settle(self, staged: _Staged) -> None:
        for (table, number), row in staged.rows.items():
            self._learn(table, number, row)
        self._account.shared.update(staged.shared)
        self._account.counts.update(staged.counts)
        self._account.writes += staged.writes

    def _found_out(self, connection: psycopg.Connection[Any], staged: _Staged) -> None:
        """Take a transaction for done whose end nobody told; which ids it was given says the table."""
        for _, table, row in staged.given:
            # Its text is of this one row alone.
            found = connection.execute(
                f"SELECT id FROM {table} WHERE writer = %s AND note = %s".encode(), (self.number, row[2])
            ).fetchall()
            assert len(found) == 1, f"{len(found)} rows of {table} are {row}"
            staged.rows[table, found[0][0]] = row
        self._settle(staged)

    def _mark(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute("UPDATE marks SET done = %s WHERE writer = %s", (self._transactions, self.number))

    def _new(self) -> int:
        self._fresh += 1
        return self._fresh

    def _copy(self, connection: psycopg.Connection[Any], staged: _Staged) -> None:
        table, lines = self._dice.choice(self.tables), []
        for _ in range(self._dice.randint(1, 60)):
            number, row = self._new(), (self._dice.randrange(ORGANIZATIONS), self._dice.randrange(10**6), "copied")
            staged.rows[table, number] = row
            lines.append(f"{number}\t{row[0]}\t{self.number}\t{row[1]}\t{row[2]}\n")
        with connection.cursor().copy(
            f"COPY {table} (id, organization_id, writer, amount, note) FROM STDIN".encode()
        ) as copy:
            copy.write("".join(lines))
        self._count(staged, "copy")

    def _count(self, staged: _Staged, what: str) -> None:
        staged.counts[what] += 1
        staged.writes += 1

    def _write(self, connection: psycopg.Connection[Any], staged: _Staged) -> None:
        dice, what = self._dice, self._dice.random()
        table, organization = dice.choice(self.tables), dice.randrange(ORGANIZATIONS)
        amount, ids = dice.randrange(10**6), self._ids[table]
        if what < 0.015:
            self._share(connection, staged, table, organization)
        elif what < 0.31 or len(ids) < 100:
            self._insert(connection, staged, table, (organization, amount, None))
        elif what < 0.37:
            self._append(connection, staged, table, (organization, amount, f"{self.number} {self._transactions}"))
        elif what < 0.42:
            self._several(connection, staged, table, amount)
        else:
            self._change(connection, staged, table, organization, amount)

    def _share(self, connection: Any, staged: _Staged, table: str, organization: int) -> None:
        number, more = -self._dice.randint(1, SHARED), self._dice.randint(-9, 9)
        cursor = connection.execute(
            f"UPDATE {table} SET amount = amount + %s, organization_id = %s WHERE id = %s".encode(),
            (more, organization, number),
        )
        staged.shared[table, number] += more
        staged.expected.append((cursor, 1, "a change of a shared row"))
        self._count(staged, "shared")

    def _insert(self, connection: Any, staged: _Staged, table: str, row: Row) -> None:
        number = self._new()
        connection.execute(
            f"INSERT INTO {table} (id, organization_id, writer, amount, note) VALUES (%s, %s, %s, %s, %s)".encode(),
            (number, row[0], self.number, *row[1:]),
        )
        staged.rows[table, number] = row
        self._count(staged, "insert")

    def _append(self, connection: Any, staged: _Staged, table: str, row: Row) -> None:
        """Insert a row whose id the table gives."""
        row = (row[0], row[1], f"{row[2]} {len(staged.given)}")
        cursor = connection.execute(
            f"""INSERT INTO {table} (organization_id, writer, amount, note) VALUES (%s, %s, %s, %s)
            RETURNING id""".encode(),
            (row[0], self.number, *row[1:]),
        )
        staged.given.append((cursor, table, row))
        self._count(staged, "append")

    def _several(self, connection: Any, staged: _Staged, table: str, amount: int) -> None:
        """Change, and move, several rows of one's own by one statement."""
        ids = self._ids[table]
        chosen = {ids[self._dice.randrange(len(ids))] for _ in range(self._dice.randint(2, 20))}
        chosen = {number for number in chosen if (table, number) not in staged.rows}
        cursor = connection.execute(
            f"""UPDATE {table} SET amount = amount + %s, organization_id = (organization_id + 1) %% {ORGANIZATIONS}
            WHERE id = ANY(%s)""".encode(),
            (amount, list(chosen)),
        )
        for number in chosen:
            old = self._known[table, number]
            staged.rows[table, number] = ((old[0] + 1) % ORGANIZATIONS, old[1] + amount, old[2])
        staged.expected.append((cursor, len(chosen), "a change of several rows"))
        self._count(staged, "bulk")

    def _change(self, connection: Any, staged: _Staged, table: str, organization: int, amount: int) -> None:
        dice, ids = self._dice, self._ids[table]
        number = ids[dice.randrange(len(ids))]
        if (table, number) in staged.rows:
            return
        old, what = self._known[table, number], dice.random()
        # With the key, and without it.
        where, values = "id = %s", (number,)
        if dice.random() < 0.5:
            where, values = "id = %s AND organization_id = %s", (number, old[0])  # type: ignore[assignment]
        if what < 0.4:
            statement, row, done = "UPDATE {} SET amount = %s", (old[0], amount, old[2]), "update"
            values = (amount, *values)  # type: ignore[assignment]
        elif what < 0.7:
            statement, row, done = "UPDATE {} SET organization_id = %s", (organization, old[1], old[2]), "move"
            values = (organization, *values)  # type: ignore[assignment]
        else:
            statement, row, done = "DELETE FROM {}", None, "delete"
        cursor = connection.execute(f"{statement.format(table)} WHERE {where}".encode(), values)
        staged.expected.append((cursor, 1, f"the {done} of {table} {number}"))
        staged.rows[table, number] = row
        self._count(staged, done)
        if row is None and dice.random() < 0.2:
            # The same id again, most probably in another partition.
            again = (organization, amount, "again")
            connection.execute(
                f"INSERT INTO {table} (id, organization_id, writer, amount, note) VALUES (%s, %s, %s, %s, %s)".encode(),
                (number, again[0], self.number, *again[1:]),
            )
            staged.rows[table, number] = again
            self._count(staged, "again")
