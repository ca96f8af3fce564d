"""The structure of an SQLite database."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from bedplate.database.indexes.sqlite import standing
from bedplate.database.transfer.errors import TransferError
from bedplate.database.transfer.schema import OWN, Column, Index, Reference, Schema, Table

__all__ = ["read_sqlite"]

_AUTOINCREMENT = re.compile(r"\bAUTOINCREMENT\b", re.IGNORECASE)
_CHECK = re.compile(r"\bCHECK\s*\(", re.IGNORECASE)
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\[[^\]]*\]|`[^`]*`|--[^\n]*|/\*.*?\*/", re.DOTALL)


def read_sqlite(connection: sqlite3.Connection) -> Schema:
    """Read the structure; whatever the connection's text factory is.

    :raises TransferError: when SQLite is too old to tell.
    """
    if sqlite3.sqlite_version_info < (3, 37):
        what = f"SQLite {sqlite3.sqlite_version} does not tell what is a table of its own."
        raise TransferError(what, "Use a Python with SQLite 3.37 or newer.")
    tables: dict[str, Table] = {}
    others: list[str] = []
    searched = standing(_rows(connection, "SELECT type, name, sql FROM sqlite_master"))
    for row in _rows(connection, "SELECT name, type FROM pragma_table_list WHERE schema = 'main' ORDER BY name"):
        name, kind = row
        if name.startswith(("sqlite_", OWN)) or kind == "shadow" or name.removesuffix("_keys") in searched:
            continue
        if kind == "table":
            tables[name] = _table(connection, name)
        else:
            others.append(f"The {kind}{' table' if kind == 'virtual' else ''} {name} is not moved.")
    triggers = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger' ORDER BY name"
    for name, table in _rows(connection, triggers):
        if not name.startswith(OWN) and name.rpartition("_")[0] not in searched:
            others.append(f"The trigger {name} of {table} is not moved.")
    return Schema("sqlite", tables, tuple(others))


def _rows(connection: sqlite3.Connection, statement: str, *values: Any) -> list[Any]:
    return connection.execute(statement, values).fetchall()


def _table(connection: sqlite3.Connection, name: str) -> Table:
    sql = _rows(connection, "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", name)[0][0]
    plain = _QUOTED.sub("''", sql)
    found = _rows(connection, 'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?)', name)
    key = tuple(row[0] for row in sorted((row for row in found if row[4]), key=lambda row: row[4]))
    rowid = (
        len(key) == 1 and any(row[4] and row[1].upper() == "INTEGER" for row in found) and _has_rowid(connection, name)
    )
    columns = tuple(
        Column(
            name=row[0],
            type=row[1],
            required=bool(row[2]) or bool(row[4]),
            default=row[3] if row[5] == 0 else None,
            generated=row[5] in (2, 3),
            counted=bool(row[4]) and rowid,
        )
        for row in found
    )
    checks = len(_CHECK.findall(plain))
    return Table(name, columns, key, _indexes(connection, name), _references(connection, name), checks)


def autoincrement(connection: sqlite3.Connection, name: str) -> bool:
    """Say whether a table never gives a number twice."""
    sql = _rows(connection, "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", name)[0][0]
    return _AUTOINCREMENT.search(_QUOTED.sub("''", sql)) is not None


def _has_rowid(connection: sqlite3.Connection, name: str) -> bool:
    return not _rows(connection, "SELECT 1 FROM pragma_table_list WHERE schema = 'main' AND name = ? AND wr", name)


def _indexes(connection: sqlite3.Connection, table: str) -> tuple[Index, ...]:
    found = []
    for name, unique, origin, partial in _rows(
        connection, 'SELECT name, "unique", origin, partial FROM pragma_index_list(?) ORDER BY seq DESC', table
    ):
        if origin == "pk":
            continue
        columns = [row[0] for row in _rows(connection, "SELECT name FROM pragma_index_info(?) ORDER BY seqno", name)]
        plain = not partial and None not in columns
        found.append(Index(name, tuple(columns) if plain else (), bool(unique), origin == "u"))
    return tuple(found)


def _references(connection: sqlite3.Connection, table: str) -> tuple[Reference, ...]:
    keys: dict[int, list[Any]] = {}
    rows = 'SELECT id, "table", "from", "to", on_update, on_delete FROM pragma_foreign_key_list(?) ORDER BY id, seq'
    for row in _rows(connection, rows, table):
        keys.setdefault(row[0], []).append(row)
    found = []
    for parts in keys.values():
        other = parts[0][1]
        columns = tuple(row[2] for row in parts)
        others = tuple(row[3] for row in parts)
        if None in others:
            primary = "SELECT name FROM pragma_table_info(?) WHERE pk ORDER BY pk"
            others = tuple(row[0] for row in _rows(connection, primary, other))
        found.append(Reference(columns, other, others, parts[0][5], parts[0][4]))
    return tuple(found)
