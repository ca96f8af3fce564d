"""A PostgreSQL database as source or target of a transfer."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import ask, literal, quoted
from bedplate.database.transfer.errors import TransferError
from bedplate.database.transfer.faults import Faults
from bedplate.database.transfer.jsons import bare_number, number, read_json, shortest
from bedplate.database.transfer.lines import NULL, escaped, joined, split, unescaped
from bedplate.database.transfer.mapping import Pair, PairColumn
from bedplate.database.transfer.postgresql_schema import read_postgresql
from bedplate.database.transfer.schema import Schema
from bedplate.database.transfer.side import Batch, Key, Role, Row
from bedplate.database.transfer.sqlite_side import prefix
from bedplate.database.transfer.values import trimmed

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["PostgresqlSide"]

#: All values as one text, whatever the server's, the database's or the user's settings are.
_SETTINGS = (
    "SET TimeZone = 'UTC'",
    "SET DateStyle = 'ISO, YMD'",
    "SET IntervalStyle = 'postgres'",
    "SET extra_float_digits = 1",
    "SET bytea_output = 'hex'",
    "SET xmloption = 'content'",
    "SET row_security = off",
    "SET statement_timeout = 0",
    "SET idle_in_transaction_session_timeout = 0",
    "SET lock_timeout = '10s'",
    "SET client_min_messages = warning",
)
#: Keys in one statement.
_KEYS = 500


class PostgresqlSide:
    """A database; :param connection: of psycopg, with autocommit."""

    dialect = "postgresql"

    def __init__(self, connection: Connection[Any], role: Role, shown: str) -> None:
        self.connection = connection
        self.role: Role = role
        self.shown = shown
        for statement in _SETTINGS:
            ask(connection, statement)
        encoding = ask(connection, "SELECT current_setting('server_encoding'), current_schema()")[0]
        if encoding[0] != "UTF8":
            what = f"The database {shown} keeps its texts as {encoding[0]}, not as UTF8."
            raise TransferError(what, "Make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0.")
        if encoding[1] is None:
            raise TransferError(f"The user of {shown} has no schema on its search path.", "Set its search_path.")
        names = "SELECT current_database() || '/' || current_schema() || '/' || oid FROM pg_database"
        self.identity = "postgresql:" + ask(connection, f"{names} WHERE datname = current_database()")[0][0]

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def schema(self) -> Schema:
        """Return the structure of the schema that tables are made in."""
        return read_postgresql(self.connection)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write, all or nothing."""
        with self.connection.transaction():
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read as of one moment."""
        with self.connection.transaction():
            ask(self.connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield

    @contextmanager
    def fence(self, pairs: Sequence[Pair]) -> Iterator[None]:
        """Hold locks that let others read and nobody write."""
        import psycopg

        names = ", ".join(quoted(pair.name) for pair in pairs)
        with self.connection.transaction():
            for attempt in itertools.count():
                try:
                    with self.connection.transaction():
                        ask(self.connection, "SET LOCAL lock_timeout = '2s'")
                        if names:
                            ask(self.connection, f"LOCK TABLE {names} IN SHARE MODE")
                    break
                except psycopg.errors.LockNotAvailable:
                    if attempt == 4:
                        what = f"Somebody writes into the tables of {self.shown} and does not let go."
                        raise TransferError(what, "Stop who writes, or copy while it is written to: --live.") from None
                    time.sleep(0.5)
                except psycopg.errors.InsufficientPrivilege as error:
                    what = f"The tables of {self.shown} cannot be locked: {error.diag.message_primary}."
                    raise TransferError(what, "Use a user with the right to write into them.") from None
            yield

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Carry out a statement and return its rows."""
        return ask(self.connection, statement.replace("?", "%s") if values else statement, values)

    def scan(self, pair: Pair, faults: Faults, *, after: Key | None = None, size: int) -> Iterator[Batch]:
        """Return all rows after a key, in one stream."""
        keys = pair.keys
        statement = f"SELECT {self._columns(pair)} FROM {quoted(pair.name)}"
        if keys:
            names = ", ".join(map(quoted, pair.names[:keys]))
            if after is not None:
                # Constants without a type take the columns'.
                statement += f" WHERE ({names}) > ({', '.join(literal(str(value)) for value in after)})"
            statement += f" ORDER BY {names}"
        for lines in self._stream(pair, statement, size):
            rows: list[Row] = [(self._key(line, keys), line) for line in lines]
            yield Batch(rows, rows[-1][0])

    def read(self, pair: Pair, faults: Faults, *, size: int) -> Iterator[list[bytes]]:
        """Return the lines of all rows."""
        return self._stream(pair, f"SELECT {self._columns(pair)} FROM {quoted(pair.name)}", size)

    def get(self, pair: Pair, keys: Iterable[Key], faults: Faults) -> dict[bytes, bytes]:
        """Return the lines of rows."""
        found: dict[bytes, bytes] = {}
        for where in self._wheres(pair, ([str(value) for value in key] for key in keys)):
            statement = f"SELECT {self._columns(pair)} FROM {quoted(pair.name)} WHERE {where}"
            for lines in self._stream(pair, statement, _KEYS):
                found.update((prefix(line, pair.keys), line) for line in lines)
        return found

    def canonical(self, pair: Pair, key: Key) -> bytes:
        """Return a key's fields."""
        columns = zip(pair.columns, key, strict=False)
        texts = [
            number(Decimal(value), True) if trimmed(one.kind, self._other(one)) else str(value)
            for one, value in columns
        ]
        line = joined([escaped(text) for text in texts])
        return self._fixed(line, self._fixes(pair.columns[: pair.keys]))

    def native(self, pair: Pair, canonical: bytes) -> Key:
        """Return the key whose fields these are."""
        return self._key(canonical, pair.keys)

    def try_lines(self, pair: Pair, lines: Sequence[bytes], faults: Faults) -> None:
        """Do nothing: what reads the source's values looks at them."""

    def insert(self, pair: Pair, lines: Sequence[bytes], faults: Faults) -> None:
        """Add rows by COPY."""
        import psycopg

        names = ", ".join(map(quoted, pair.names))
        statement = f"COPY {quoted(pair.name)} ({names}) FROM STDIN"
        try:
            with self.connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
                copy.write(b"\n".join(lines) + b"\n" if lines else b"")
        except (psycopg.errors.DataError, psycopg.errors.IntegrityError) as error:
            # What the driver says further would show values.
            said = error.diag.message_primary
            what = f"{pair.name} of {self.shown} refuses {_place(error.diag.context, lines, pair)}: {said}."
            raise TransferError(what, "Mend it in the source, and run the same again.") from None

    def delete(self, pair: Pair, keys: Iterable[bytes]) -> None:
        """Remove rows."""
        for where in self._wheres(pair, (self.native(pair, key) for key in keys)):
            ask(self.connection, f"DELETE FROM {quoted(pair.name)} WHERE {where}")

    def empty(self, pair: Pair) -> None:
        """Remove all rows."""
        ask(self.connection, f"TRUNCATE {quoted(pair.name)}")

    def count(self, pair: Pair) -> int:
        """Return how many rows there are."""
        return int(ask(self.connection, f"SELECT count(*) FROM {quoted(pair.name)}")[0][0])

    def last_number(self, pair: Pair, column: str) -> int | None:
        """Return the last number that the column's sequence gave; None when it gave none."""
        sequence = self._sequence(pair, column)
        if sequence is None:
            return None
        rows = ask(self.connection, f"SELECT last_value FROM {sequence} WHERE is_called")
        return int(rows[0][0]) if rows else None

    def set_last_number(self, pair: Pair, column: str, last: int | None) -> None:
        """Let the column's sequence go on."""
        sequence = self._sequence(pair, column)
        if sequence is None:
            return
        greatest = ask(self.connection, f"SELECT max({quoted(column)}) FROM {quoted(pair.name)}")[0][0]
        limits = "SELECT seqmin, seqmax FROM pg_sequence WHERE seqrelid = %s::regclass"
        least, most = ask(self.connection, limits, (sequence,))[0]
        known = [number for number in (last, greatest) if number is not None]
        if known and max(known) >= least:
            ask(self.connection, "SELECT setval(%s::regclass, %s)", (sequence, min(max(known), most)))

    def _sequence(self, pair: Pair, column: str) -> str | None:
        found = ask(self.connection, "SELECT pg_get_serial_sequence(%s, %s)", (quoted(pair.name), column))[0][0]
        return None if found is None else str(found)

    def _columns(self, pair: Pair) -> str:
        return ", ".join(self._expression(column) for column in pair.columns)

    def _expression(self, column: PairColumn) -> str:
        name = quoted(column.name)
        if column.kind.padded:
            return f"{name}::text"
        if trimmed(column.kind, self._other(column)):
            return f"trim_scale({name})"
        return name

    def _other(self, column: PairColumn) -> str:
        """Return the type that the other side declares."""
        return column.target.type if self.role == "source" else column.source.type

    def _fixes(self, columns: Sequence[PairColumn]) -> list[tuple[int, Callable[[str], str]]]:
        """Return what makes PostgreSQL's texts of some kinds canonical: those of which there are several."""
        fixes: list[tuple[int, Callable[[str], str]]] = []
        for place, column in enumerate(columns):
            if column.kind.name == "real":
                fixes.append((place, lambda text: shortest(float(text))))
            elif column.kind.name in ("json", "jsonb"):
                fixes.append((place, lambda text: read_json(text, False) if bare_number(text) else text))
        return fixes

    def _stream(self, pair: Pair, statement: str, size: int) -> Iterator[list[bytes]]:
        fixes = self._fixes(pair.columns)
        lines: list[bytes] = []
        with self.connection.cursor() as cursor, cursor.copy(f"COPY ({statement}) TO STDOUT".encode()) as copy:
            for data in copy:
                line = bytes(data)[:-1]
                lines.append(self._fixed(line, fixes) if fixes else line)
                if len(lines) >= size:
                    yield lines
                    lines = []
        if lines:
            yield lines

    def _fixed(self, line: bytes, fixes: Sequence[tuple[int, Callable[[str], str]]]) -> bytes:
        if not fixes:
            return line
        fields = split(line)
        for place, fix in fixes:
            text = unescaped(fields[place])
            fields[place] = NULL if text is None else escaped(fix(text))
        return joined(fields)

    def _key(self, line: bytes, keys: int) -> Key:
        return tuple(unescaped(field.decode()) for field in line.split(b"\t", keys)[:keys]) if keys else ()

    def _wheres(self, pair: Pair, keys: Iterable[Sequence[str]]) -> Iterator[str]:
        names = ", ".join(map(quoted, pair.names[: pair.keys]))
        whole = iter(keys)
        while some := list(itertools.islice(whole, _KEYS)):
            values = ", ".join(f"({', '.join(map(literal, key))})" for key in some)
            yield f"({names}) IN ({values})"


def _place(context: str | None, lines: Sequence[bytes], pair: Pair) -> str:
    """Return which row a refused COPY was at."""
    if context and pair.keys:
        words = context.split("line ")
        number = words[1].split(",")[0].split(":")[0] if len(words) > 1 else ""
        if number.isdigit() and 0 < int(number) <= len(lines):
            fields = split(prefix(lines[int(number) - 1], pair.keys))
            said = ", ".join(f"{n}={(unescaped(f) or '')[:60]}" for n, f in zip(pair.names, fields, strict=False))
            return f"row {said}"
    return "a row"
