"""Databases to be moved, and transfers that are killed: ``python -m tests.transfers`` does it in forks of itself."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bedplate.database.transfer import Progress, Transfer
from bedplate.database.transfer.changes import PostgresqlChanges, SqliteChanges
from bedplate.database.transfer.moving import Mover
from bedplate.database.transfer.state import State
from tests.endurance import size

__all__ = ["KILLS", "SHOP", "file_of", "schema_of", "shop"]

#: Tables with all that makes moving them hard: a circle of foreign keys, one to itself, a number given once, no key.
SHOP = """
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT, email VARCHAR(80) NOT NULL UNIQUE, boss INTEGER REFERENCES users (id),
    first_order BIGINT REFERENCES orders (id) DEFERRABLE INITIALLY DEFERRED,
    active BOOLEAN NOT NULL DEFAULT 1, made DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE orders (
    id BIGINT NOT NULL PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    price DECIMAL_TEXT, at TIMESTAMPTZ, data JSON, parts JSONB, raw BLOB, code UUID, weight DOUBLE,
    doubled BIGINT GENERATED ALWAYS AS (id * 2)
);
CREATE INDEX ix_orders_user ON orders (user_id, at);
CREATE TABLE lines (order_id BIGINT NOT NULL, place SMALLINT NOT NULL, text TEXT, PRIMARY KEY (order_id, place));
CREATE TABLE notes (text TEXT, number INT);
"""

_numbers = itertools.count()


def file_of(folder: Path, script: str = "", name: str = "source") -> tuple[str, sqlite3.Connection]:
    """Make a file with these tables; return its URL, and a connection that commits each statement."""
    path = folder / f"{name}.sqlite3"
    connection = sqlite3.connect(path, isolation_level=None, timeout=60)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.executescript(script)
    return f"sqlite:///{path}", connection


def shop(folder: Path, rows: int = 30, name: str = "source") -> tuple[str, sqlite3.Connection]:
    """Make a file with rows in all tables of :data:`SHOP`."""
    url, connection = file_of(folder, SHOP, name)
    connection.execute("BEGIN")
    for number in range(1, rows + 1):
        email, boss = f"user{number}@example.org", number - 1 or None
        connection.execute("INSERT INTO users (id, email, boss) VALUES (?, ?, ?)", (number, email, boss))
        values = (
            *(
                number * 10**13,
                number,
                f"{number}.{number:03}0",
                f"2026-01-01 10:00:{number % 60:02}.{number:06}+00:00",
            ),
            *(json.dumps({"b": [number, None], "a": "\t"}), '{"a": 1.50, "bb": true}', bytes([number % 256, 0, 92])),
            *(f"00000000-0000-4000-8000-{number:012}", number / 7),
        )
        connection.execute(f"INSERT INTO orders VALUES ({', '.join('?' * 9)})", values)
        connection.execute("UPDATE users SET first_order = ? WHERE id = ?", (values[0], number))
        connection.execute("INSERT INTO lines VALUES (?, ?, ?)", (values[0], number % 5, f"back\\slash\n{number}\x7f€"))
        connection.execute("INSERT INTO notes VALUES (?, ?)", (None if number % 3 else "same", number % 2))
    connection.execute("COMMIT")
    return url, connection


def schema_of(url: str, run: Callable[[str], object]) -> str:
    """Make an empty schema in a server's database, and return the URL in which it stands for the whole database."""
    name = f"moved{os.getpid()}_{next(_numbers)}"
    run(f"CREATE SCHEMA {name}")
    return f"{url}&options=-csearch_path%3D{name}"


#: Where a transfer can be killed: at its phases, in a chunk and in the last transaction before they are committed, and
#: when only the log is left.
KILLS = {
    "run": size(
        ("run chunk", "run compare", "run end"),
        ("run copy", "run chunk", "run index", "run compare", "run last", "run end"),
    ),
    "follow": size(
        ("follow chunk", "follow compare", "follow nowhere", "run last", "run log"),
        (
            *("follow copy", "follow chunk", "follow changes", "follow index", "follow compare", "follow nowhere"),
            *("run changes", "run last", "run end", "run log"),
        ),
    ),
}


def _die(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def killed(transfer: Callable[..., Transfer], what: str, kill: str) -> bool:
    """Carry out a transfer in a fork that kills itself there; return whether it did."""
    child = os.fork()
    if child == 0:
        seen = itertools.count()

        def watch(progress: Progress) -> None:
            # Not at its beginning: some of it has been done by then.
            if progress.phase == kill and next(seen) == (2 if kill == "copy" else 0):
                _die()

        if kill == "log":
            SqliteChanges.drop = PostgresqlChanges.drop = _die  # type: ignore[method-assign]
        if kill == "end":
            Mover.numbers = _die  # type: ignore[method-assign]
        reached = State.reached

        def reach(self: State, *values: Any) -> None:
            reached(self, *values)
            if next(seen) == 2:
                _die()

        with patch.object(State, "reached", reach if kill == "chunk" else reached):
            getattr(transfer(watch=watch), what)()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def main(arguments: Sequence[str]) -> int:
    """Move a file to a target, killed at each point once; print where, and what the last run reports."""
    source, target, way = arguments
    path = source.removeprefix("sqlite:///")

    def transfer(**options: Any) -> Transfer:
        return Transfer(source, target, chunk=7, **options)

    hit = []
    for place, point in enumerate(KILLS[way]):
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("INSERT INTO lines VALUES (?, 1, 'written between runs')", (place,))
            connection.execute("UPDATE lines SET text = text || '!' WHERE place = ?", (place % 5,))
        if killed(transfer, *point.split()):
            hit.append(point)
    print(json.dumps({"killed": hit, **transfer().run().to_json()}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
