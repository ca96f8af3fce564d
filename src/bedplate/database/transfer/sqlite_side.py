"""An SQLite file as source or target of a transfer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bedplate.database.cutover.asking import quoted
from bedplate.database.transfer.errors import Fault, Misfit, TransferError
from bedplate.database.transfer.faults import Faults
from bedplate.database.transfer.lines import NULL, joined, split, unescaped
from bedplate.database.transfer.mapping import Pair
from bedplate.database.transfer.schema import Schema
from bedplate.database.transfer.side import Batch, Key, Role
from bedplate.database.transfer.sqlite_schema import autoincrement, read_sqlite
from bedplate.database.transfer.values import InvalidText, Reader, Writer, of_invalid_text, reader, writer
from bedplate.database.transfer.waiting import PATIENCE, begin_writing

__all__ = ["SqliteSide"]


class SqliteSide:
    """A file; :param connection: with ``isolation_level`` None, so that transactions are where we say."""

    dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection, path: Path, role: Role, shown: str) -> None:
        self.connection = connection
        self.role: Role = role
        self.shown = shown
        self.identity = f"sqlite:{path.resolve()}"
        #: Is called when somebody else keeps the right to write.
        self.waits: Callable[[], object] = lambda: None
        self._readers: dict[str, list[Reader]] = {}
        self._writers: dict[str, list[Writer]] = {}

    @classmethod
    def open(cls, path: Path, role: Role, shown: str) -> SqliteSide:
        """Open a file; as a target it is made.

        :raises TransferError: when there is none to read, or it cannot be had.
        """
        if role == "source" and not path.is_file():
            raise TransferError(f"There is no file {path}.", "Name the SQLite file that is to be moved.")
        try:
            new = not path.exists()
            if new:
                path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
            try:
                if new:
                    connection.execute("PRAGMA journal_mode = WAL")
                if role == "target":
                    # They are looked at when all rows are there.
                    connection.execute("PRAGMA foreign_keys = OFF")
                connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
            except BaseException:
                connection.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise TransferError(f"The file {path} cannot be used: {error}.", "Is it an SQLite file?") from None
        return cls(connection, path, role, shown)

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def schema(self) -> Schema:
        """Return its structure."""
        return read_sqlite(self.connection)

    @property
    def keeps_readers_apart(self) -> bool:
        """Whether who reads and who writes do not wait for each other."""
        return bool(self.execute("PRAGMA journal_mode")[0][0] == "wal")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write, all or nothing."""
        with self._within("BEGIN IMMEDIATE", "COMMIT"):
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read as of one moment."""
        with self._within("BEGIN", "ROLLBACK"):
            yield

    @contextmanager
    def fence(self, pairs: Sequence[Pair]) -> Iterator[None]:
        """Hold the one right to write, and write nothing."""
        with self._within("BEGIN IMMEDIATE", "ROLLBACK"):
            yield

    @contextmanager
    def _within(self, begin: str, end: str) -> Iterator[None]:
        try:
            if begin == "BEGIN IMMEDIATE":
                begin_writing(self.connection, self.waits)
            else:
                self.connection.execute(begin)
        except sqlite3.OperationalError as error:
            what = f"The right to write into {self.shown} cannot be had for {PATIENCE:.0f} s: {error}."
            raise TransferError(what, "Stop who writes into it, or copy while it is written to: --live.") from None
        try:
            yield
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        self.connection.execute(end)

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Carry out a statement and return its rows."""
        return self.connection.execute(statement, values).fetchall()

    def scan(self, pair: Pair, faults: Faults, *, after: Key | None = None, size: int) -> Iterator[Batch]:
        """Return all rows after a key; each batch is read by itself, so no reader stays for long."""
        if not pair.keys:
            yield from self._whole(pair, faults, size)
            return
        names = ", ".join(map(quoted, pair.names[: pair.keys]))
        marks = ", ".join("?" * pair.keys)
        backwards = ", ".join(f"{quoted(name)} DESC" for name in pair.names[: pair.keys])
        greatest = f"SELECT {names} FROM {quoted(pair.name)} ORDER BY {backwards} LIMIT 1"
        last = next(iter(self._fetch(lambda: self.execute(greatest))), ())
        # Who goes on adding rows at the end would keep it from ever ending; they are in the log.
        bound = f"({names}) <= ({marks})"
        if not last or any(value is None or isinstance(value, InvalidText) for value in last):
            bound, last = "true", ()
        first = f"{self._select(pair)} WHERE {bound} ORDER BY {names} LIMIT {size}"
        later = f"{self._select(pair)} WHERE ({names}) > ({marks}) AND {bound} ORDER BY {names} LIMIT {size}"
        while True:
            statement, values = (first, last) if after is None else (later, (*after, *last))
            rows = self._fetch(lambda statement=statement, values=values: self.execute(statement, values))  # type: ignore[misc]
            if not rows:
                return
            after = tuple(rows[-1][: pair.keys])
            keyed = self._keyed(pair, rows, faults)
            yield Batch(keyed, after)

    def _whole(self, pair: Pair, faults: Faults, size: int) -> Iterator[Batch]:
        # Nothing tells where a failed reading would go on, so texts come marked from the start.
        self.connection.text_factory = of_invalid_text
        try:
            cursor = self.connection.execute(self._select(pair))
            while rows := cursor.fetchmany(size):
                yield Batch([((), line) for line in self._lines(pair, rows, faults)], ())
        finally:
            self.connection.text_factory = str

    def read(self, pair: Pair, faults: Faults, *, size: int) -> Iterator[list[bytes]]:
        """Return the lines of all rows."""
        for batch in self.scan(pair, faults, size=size):
            yield [line for _, line in batch.rows]

    def get(self, pair: Pair, keys: Iterable[Key], faults: Faults) -> dict[bytes, bytes]:
        """Return the lines of rows."""
        where = " AND ".join(f"{quoted(name)} IS ?" for name in pair.names[: pair.keys])
        statement = f"{self._select(pair)} WHERE {where}"
        found: dict[bytes, bytes] = {}
        for key in keys:
            rows = self._fetch(lambda key=key: self.execute(statement, key))  # type: ignore[misc]
            for line in self._lines(pair, rows, faults):
                found[prefix(line, pair.keys)] = line
        return found

    def canonical(self, pair: Pair, key: Key) -> bytes:
        """Return a key's fields."""
        readers = self._reading(pair)
        return joined([NULL if value is None else readers[place](value) for place, value in enumerate(key)])

    def native(self, pair: Pair, canonical: bytes) -> Key:
        """Return the key whose fields these are."""
        writers = self._writing(pair)
        return tuple(writers[place](unescaped(field) or "") for place, field in enumerate(split(canonical)))

    def try_lines(self, pair: Pair, lines: Sequence[bytes], faults: Faults) -> None:
        """Look whether rows fit, and add none."""
        self._rows(pair, lines, faults)

    def insert(self, pair: Pair, lines: Sequence[bytes], faults: Faults) -> None:
        """Add rows."""
        rows = self._rows(pair, lines, faults)
        marks = ", ".join("?" * len(pair.columns))
        names = ", ".join(map(quoted, pair.names))
        try:
            self.connection.executemany(f"INSERT INTO {quoted(pair.name)} ({names}) VALUES ({marks})", rows)
        except sqlite3.IntegrityError as error:
            what = f"{pair.name} of {self.shown} refuses rows: {error}."
            raise TransferError(what, "Look at its constraints.") from None

    def _rows(self, pair: Pair, lines: Sequence[bytes], faults: Faults) -> list[list[Any]]:
        rows = []
        writers = self._writing(pair)
        for line in lines:
            fields = [unescaped(field) for field in split(line)]
            try:
                rows.append([None if f is None else write(f) for f, write in zip(fields, writers, strict=True)])
            except Misfit:
                self._tell(pair, fields, writers, faults)
        return rows

    def _tell(self, pair: Pair, fields: Sequence[Any], writers: Sequence[Writer], faults: Faults) -> None:
        for column, field, write in zip(pair.columns, fields, writers, strict=True):
            try:
                if field is not None:
                    write(field)
            except Misfit as misfit:
                faults.add(Fault(pair.name, _named(pair, fields), column.name, str(misfit)))

    def delete(self, pair: Pair, keys: Iterable[bytes]) -> None:
        """Remove rows."""
        where = " AND ".join(f"{quoted(name)} = ?" for name in pair.names[: pair.keys])
        natives = (self.native(pair, key) for key in keys)
        self.connection.executemany(f"DELETE FROM {quoted(pair.name)} WHERE {where}", natives)

    def empty(self, pair: Pair) -> None:
        """Remove all rows."""
        self.connection.execute(f"DELETE FROM {quoted(pair.name)}")

    def count(self, pair: Pair) -> int:
        """Return how many rows there are."""
        return int(self.execute(f"SELECT count(*) FROM {quoted(pair.name)}")[0][0])

    def last_number(self, pair: Pair, column: str) -> int | None:
        """Return what AUTOINCREMENT remembers."""
        if not autoincrement(self.connection, pair.name):
            return None
        rows = self.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (pair.name,))
        return int(rows[0][0]) if rows else None

    def set_last_number(self, pair: Pair, column: str, last: int | None) -> None:
        """Let AUTOINCREMENT go on after a number; without it, the greatest one in use decides."""
        if last is None or not autoincrement(self.connection, pair.name):
            return
        rows = self.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (pair.name,))
        last = max([last, *(row[0] for row in rows)])
        self.execute("DELETE FROM sqlite_sequence WHERE name = ?", (pair.name,))
        self.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (pair.name, last))

    def orphans(self) -> list[str]:
        """Return in words which foreign keys point to nothing."""
        found = self.execute('SELECT "table", rowid, parent FROM pragma_foreign_key_check LIMIT 20')
        return [f"{table}, row {rowid}: what it refers to in {parent} is not there." for table, rowid, parent in found]

    def _select(self, pair: Pair) -> str:
        return f"SELECT {', '.join(map(quoted, pair.names))} FROM {quoted(pair.name)}"

    def _fetch(self, ask: Callable[[], list[Any]]) -> list[Any]:
        """Return rows; texts that are none come marked, at the price of a slower reading of all."""
        connection = self.connection
        if connection.text_factory is not str:
            return ask()
        try:
            return ask()
        except sqlite3.OperationalError as error:
            if "decode" not in str(error):
                raise
        connection.text_factory = of_invalid_text
        try:
            return ask()
        finally:
            connection.text_factory = str

    def _keyed(self, pair: Pair, rows: Sequence[Any], faults: Faults) -> list[tuple[Key, bytes]]:
        readers, keys, needed = self._reading(pair), pair.keys, self._needed(pair)
        found = []
        for row in rows:
            try:
                if None in row:
                    if any(row[place] is None for place in needed):
                        raise Misfit
                    fields = [NULL if one is None else read(one) for read, one in zip(readers, row, strict=True)]
                else:
                    fields = [read(one) for read, one in zip(readers, row, strict=True)]
                line = "\t".join(fields).encode()
            except Misfit:
                self._accuse(pair, row, readers, faults)
            else:
                found.append((tuple(row[:keys]), line))
        return found

    def _lines(self, pair: Pair, rows: Sequence[Any], faults: Faults) -> list[bytes]:
        return [line for _, line in self._keyed(pair, rows, faults)]

    def _accuse(self, pair: Pair, row: Sequence[Any], readers: Sequence[Reader], faults: Faults) -> None:
        needed = self._needed(pair)
        for place, (column, value, read) in enumerate(zip(pair.columns, row, readers, strict=True)):
            try:
                if value is not None:
                    read(value)
                elif place in needed:
                    raise Misfit("it is NULL, and the target requires a value")
            except Misfit as misfit:
                faults.add(Fault(pair.name, _named(pair, row), column.name, str(misfit)))

    def _needed(self, pair: Pair) -> list[int]:
        """Return which columns may not be NULL in the target."""
        return [place for place, one in enumerate(pair.columns) if one.target.required or place < pair.keys]

    def _reading(self, pair: Pair) -> list[Reader]:
        if pair.name not in self._readers:
            self._readers[pair.name] = [reader(column.kind, self._declared(column)) for column in pair.columns]
        return self._readers[pair.name]

    def _writing(self, pair: Pair) -> list[Writer]:
        if pair.name not in self._writers:
            self._writers[pair.name] = [writer(column.kind, self._declared(column)) for column in pair.columns]
        return self._writers[pair.name]

    def _declared(self, column: Any) -> str:
        return str((column.source if self.role == "source" else column.target).type)


def prefix(line: bytes, keys: int) -> bytes:
    """Return the canonical key that a line begins with."""
    return b"\t".join(line.split(b"\t", keys)[:keys]) if keys else line


def _named(pair: Pair, row: Sequence[Any]) -> str:
    """Return how people find a row: its key, shortened."""
    if not pair.keys:
        return "(without a key)"
    parts = []
    for name, value in zip(pair.names[: pair.keys], row, strict=False):
        text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        parts.append(f"{name}={text[:60]}")
    return ", ".join(parts)
