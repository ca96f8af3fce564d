"""What changes in the source while it is copied: the keys of written rows, noted by triggers in the source itself.

They are there from the start of ``--live`` until the last pass, and taken away by it, or when a run fails.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from bedplate.database.cutover.asking import ask, quoted
from bedplate.database.cutover.keylog import KeyLog, Taken
from bedplate.database.transfer.errors import TransferError
from bedplate.database.transfer.mapping import Pair
from bedplate.database.transfer.schema import OWN
from bedplate.database.transfer.side import Key
from bedplate.database.transfer.waiting import PATIENCE, begin_writing

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["ALL", "Change", "Changes", "PostgresqlChanges", "SqliteChanges"]

_LOG = f"{OWN}_log"
#: Of a log's rows, as many as there are.
ALL = 1 << 62


@dataclass(frozen=True, slots=True)
class Change:
    """A written row; without a key the whole table. ``number``: the place in the log, where it has one."""

    number: int
    table: str
    key: Key | None


class Changes(Protocol):
    """The changes of a source since the log was made; a token tells one log from a later one."""

    def token(self) -> str:
        """Return which log there is; empty when there is none, or a part of it is missing or does not work."""

    def create(self) -> str:
        """Make the log, and return its token; what commits from now on is in it."""

    def drop(self) -> None:
        """Take the log away, if it is there."""

    def pending(self, most: int = ALL) -> list[Change]:
        """Return what is in the log, as the present snapshot sees it: of rows at most so many, by table or in all."""

    def emptied(self) -> set[str]:
        """Return the tables that were emptied, as the present snapshot sees it: which rows they had nobody knows."""

    def batches(self, size: int) -> Iterator[tuple[str, list[Key]]]:
        """Return the different keys in the log, as the present snapshot sees it, by table, so many at a time.

        What is held in memory does not grow with the log.
        """

    def forget(self, changes: Sequence[Change]) -> None:
        """Take changes out of the log."""


class SqliteChanges:
    """In a file: triggers a table, and one log.

    :param reading: the connection whose snapshots count. :param writing: another one. :param waits: is called when
        somebody else keeps the right to write.
    """

    def __init__(
        self,
        reading: sqlite3.Connection,
        writing: sqlite3.Connection,
        pairs: Sequence[Pair],
        waits: Callable[[], object] = lambda: None,
    ) -> None:
        self._reading = reading
        self._writing = writing
        self._waits = waits
        self._pairs = [pair for pair in pairs if pair.keys]
        self._widest = max((pair.keys for pair in self._pairs), default=1)

    def token(self) -> str:
        """Return which log there is."""
        rows = self._reading.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        present = {name: sql for name, sql in rows if name.startswith(OWN)}
        if present != self._triggers():
            return ""
        with suppress(sqlite3.OperationalError):
            return str(self._reading.execute(f"SELECT token FROM {_LOG}_token").fetchone()[0])
        return ""

    def _triggers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for place, pair in enumerate(self._pairs):
            found |= _triggers(pair, f"{OWN}_{place}")
        return found

    def create(self) -> str:
        """Make the log."""
        token = uuid4().hex
        keys = ", ".join(f"k{place}" for place in range(self._widest))
        with _written(self._writing, self._waits):
            execute = self._writing.execute
            execute(f"CREATE TABLE {_LOG} (number INTEGER PRIMARY KEY, name TEXT NOT NULL, {keys})")
            execute(f"CREATE TABLE {_LOG}_token (token TEXT NOT NULL)")
            execute(f"INSERT INTO {_LOG}_token VALUES (?)", (token,))
            for statement in self._triggers().values():
                execute(statement)
        return token

    def drop(self) -> None:
        """Take the log away."""
        names = f"SELECT name FROM sqlite_master WHERE type = 'trigger' AND substr(name, 1, {len(OWN)}) = '{OWN}'"
        if not self._writing.execute(f"SELECT 1 FROM sqlite_master WHERE name = '{_LOG}'").fetchall():
            return
        with _written(self._writing, self._waits):
            for (name,) in self._writing.execute(names).fetchall():
                self._writing.execute(f"DROP TRIGGER {quoted(name)}")
            self._writing.execute(f"DROP TABLE IF EXISTS {_LOG}")
            self._writing.execute(f"DROP TABLE IF EXISTS {_LOG}_token")

    def pending(self, most: int = ALL) -> list[Change]:
        """Return what is in the log."""
        keys = {pair.name: pair.keys for pair in self._pairs}
        rows = self._reading.execute(f"SELECT * FROM {_LOG} ORDER BY number LIMIT ?", (most,)).fetchall()
        return [Change(row[0], row[1], tuple(row[2 : 2 + keys[row[1]]])) for row in rows if row[1] in keys]

    def emptied(self) -> set[str]:
        """Return no table: a file has no TRUNCATE."""
        return set()

    def batches(self, size: int) -> Iterator[tuple[str, list[Key]]]:
        """Return the different keys in the log; SQLite sorts what is much in a file of its own."""
        for pair in self._pairs:
            names = ", ".join(f"k{place}" for place in range(pair.keys))
            cursor = self._reading.execute(f"SELECT DISTINCT {names} FROM {_LOG} WHERE name = ?", (pair.name,))
            while rows := cursor.fetchmany(size):
                yield pair.name, [tuple(row) for row in rows]

    def forget(self, changes: Sequence[Change]) -> None:
        """Take changes out of the log."""
        if changes:
            # Numbers come in the order of commits: there is one writer at a time.
            with _written(self._writing, self._waits):
                self._writing.execute(f"DELETE FROM {_LOG} WHERE number <= ?", (max(one.number for one in changes),))


class _written:  # noqa: N801 - reads as a block
    """A transaction that writes into the source's file, and nothing of the user's."""

    def __init__(self, connection: sqlite3.Connection, waits: Callable[[], object]) -> None:
        self._connection, self._waits = connection, waits

    def __enter__(self) -> None:
        try:
            begin_writing(self._connection, self._waits)
        except sqlite3.OperationalError as error:
            what = f"The right to write into the source cannot be had for {PATIENCE:.0f} s: {error}."
            raise TransferError(what, "Somebody keeps it: end the long transaction, and run the same again.") from None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._connection.execute("COMMIT" if kind is None else "ROLLBACK")


def _triggers(pair: Pair, name: str) -> dict[str, str]:
    """Return the triggers of a table, by their names."""
    table, keys = quoted(pair.name), [quoted(one) for one in pair.names[: pair.keys]]
    into = f"INSERT INTO {_LOG} (name, {', '.join(f'k{place}' for place in range(pair.keys))})"
    title = "'" + pair.name.replace("'", "''") + "'"

    def noted(row: str) -> str:
        return f"{into} VALUES ({title}, {', '.join(f'{row}.{key}' for key in keys)});"

    # OR REPLACE removes rows without a word; whoever has a value that is to be unique might go.
    replaced = ""
    for index in pair.source.indexes:
        if index.unique and index.columns:
            same = " AND ".join(f"{quoted(column)} = NEW.{quoted(column)}" for column in index.columns)
            replaced += f"{into} SELECT {title}, {', '.join(keys)} FROM {table} WHERE {same};"
    made = {
        "insert": ("AFTER INSERT", noted("NEW")),
        "update": ("AFTER UPDATE", f"{noted('OLD')} {noted('NEW')}"),
        "delete": ("AFTER DELETE", noted("OLD")),
    }
    if replaced:
        made |= {"replace_insert": ("BEFORE INSERT", replaced), "replace_update": ("BEFORE UPDATE", replaced)}
    return {
        f"{name}_{event}": f"CREATE TRIGGER {name}_{event} {when} ON {table} BEGIN {body} END"
        for event, (when, body) in made.items()
    }


class PostgresqlChanges:
    """On a server: a :class:`~bedplate.database.cutover.KeyLog` a table.

    :param reading: the connection whose snapshots count. :param writing: another one.
    """

    def __init__(self, reading: Connection[Any], writing: Connection[Any], pairs: Sequence[Pair]) -> None:
        self._reading = reading
        self._writing = writing
        self._pairs = {pair.name: pair for pair in pairs if pair.keys}
        self._schema = ask(writing, "SELECT current_schema()")[0][0]
        self._about = quoted(self._schema, _LOG)
        self._made: dict[str, tuple[KeyLog, KeyLog]] = {}
        self._taken: dict[str, Taken] = {}

    @property
    def _logs(self) -> dict[str, tuple[KeyLog, KeyLog]]:
        """The log of each table, through the connection that reads and the one that writes.

        To make them takes the catalog's search path, so it is done before a snapshot is.
        """
        if not self._made:
            for name, pair in self._pairs.items():
                table, columns = quoted(self._schema, name), pair.names[: pair.keys]
                reading, writing = (
                    KeyLog(connection, table, columns, name=f"{OWN}_{name}")
                    for connection in (self._reading, self._writing)
                )
                self._made[name] = (reading, writing)
        return self._made

    def token(self) -> str:
        """Return which log there is."""
        there = ask(self._reading, "SELECT to_regclass(%s) IS NOT NULL", (self._about,))[0][0]
        if not there or not all(writing.intact for _, writing in self._logs.values()):
            return ""
        rows = ask(self._reading, f"SELECT token FROM {self._about}")
        return str(rows[0][0]) if rows else ""

    def create(self) -> str:
        """Make the log."""
        token = uuid4().hex
        self.drop()
        for _, writing in self._logs.values():
            self._patiently(writing.create)
        # It comes last: logs without it are of a run that was cut short.
        with self._writing.transaction():
            ask(self._writing, f"CREATE TABLE {self._about} (token text NOT NULL)")
            ask(self._writing, f"INSERT INTO {self._about} VALUES (%s)", (token,))
        return token

    def drop(self) -> None:
        """Take the log away."""
        ask(self._writing, f"DROP TABLE IF EXISTS {self._about}")
        for _, writing in self._logs.values():
            self._patiently(writing.drop)

    def pending(self, most: int = ALL) -> list[Change]:
        """Return what is in the log."""
        found = []
        for name, (reading, _) in self._logs.items():
            taken = self._taken[name] = reading.take(most)
            found += [Change(0, name, key) for key in taken.keys]
            found += [Change(0, name, None)] if taken.truncated else []
        return found

    def emptied(self) -> set[str]:
        """Return the tables that were truncated."""
        return {name for name, (reading, _) in self._logs.items() if reading.truncated}

    def batches(self, size: int) -> Iterator[tuple[str, list[Key]]]:
        """Return the different keys in the log, through cursors of the server."""
        for name, (reading, _) in self._logs.items():
            for keys in reading.streamed(size):
                yield name, keys

    def forget(self, changes: Sequence[Change]) -> None:
        """Take changes out of the log: those that were pending last, and none that came later."""
        for name, taken in self._taken.items():
            log = self._logs[name][1]
            log.remove(taken, taken.keys)
            log.followed(taken)
        self._taken = {}

    def _patiently(self, act: Any) -> None:
        import psycopg

        for attempt in range(40):
            try:
                act()
                return
            except psycopg.errors.LockNotAvailable:
                if attempt == 39:
                    raise TransferError("A table of the source is held by others.", "Try again.") from None
                time.sleep(0.1)
