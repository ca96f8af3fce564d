"""Sequences that belong to no column: on SQLite, which has none, a row of a table stands for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bedplate.database.cutover.asking import quoted
from bedplate.database.transfer.postgresql_side import PostgresqlSide
from bedplate.database.transfer.sqlite_side import SqliteSide

__all__ = ["carry_on", "uncounted"]

AnySide = SqliteSide | PostgresqlSide

_ALONE = """
SELECT c.relname FROM pg_class c WHERE c.relkind = 'S' AND c.relnamespace = current_schema()::regnamespace
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
  AND d.deptype IN ('a', 'i', 'e')) ORDER BY 1"""


def uncounted(source: AnySide, target: AnySide, numbers: Sequence[tuple[str, str]]) -> list[str]:
    """Return in words which sequences would begin anew."""
    known = {sequence for _, sequence in numbers}
    if isinstance(source, PostgresqlSide) and isinstance(target, PostgresqlSide):
        return []
    server = source if isinstance(source, PostgresqlSide) else target
    return [
        f"The sequence {name} belongs to no column: say in Migrations(numbers=…) what stands for it on SQLite."
        for (name,) in server.execute(_ALONE)
        if name not in known
    ]


def carry_on(source: AnySide, target: AnySide, numbers: Sequence[tuple[str, str]]) -> None:
    """Let what numbers by itself go on where the source's does; in the present transaction."""
    if isinstance(source, PostgresqlSide) and isinstance(target, PostgresqlSide):
        there = {name for (name,) in target.execute(_ALONE)}
        for (name,) in source.execute(_ALONE):
            if name in there:
                last, called = source.execute(f"SELECT last_value, is_called FROM {quoted(name)}")[0]
                _set(target, name, last, called=called)
        return
    for row, sequence in numbers:
        table, _, name = row.partition(".")
        if isinstance(source, SqliteSide) and isinstance(target, PostgresqlSide):
            found = source.execute(f"SELECT next FROM {quoted(table)} WHERE name = ?", (name,))
            if found:
                _set(target, sequence, int(found[0][0]), called=False)
        elif isinstance(source, PostgresqlSide):
            next = "SELECT CASE WHEN is_called THEN last_value + seqincrement ELSE last_value END"
            where = "pg_sequence WHERE seqrelid = ?::regclass"
            found = source.execute(f"{next} FROM {quoted(sequence)}, {where}", (quoted(sequence),))
            target.execute(f"DELETE FROM {quoted(table)} WHERE name = ?", (name,))
            target.execute(f"INSERT INTO {quoted(table)} (name, next) VALUES (?, ?)", (name, found[0][0]))


def _set(target: PostgresqlSide, name: str, value: Any, *, called: bool) -> None:
    target.execute("SELECT setval(?::regclass, ?, ?)", (quoted(name), value, called))
