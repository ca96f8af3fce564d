"""Indexes in an SQLite file: what is there, and how what is missing is made."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from bedplate.database.indexes.catalog import Key, Present, Table
from bedplate.database.indexes.ddl import made_on_sqlite, quoted
from bedplate.database.indexes.declaration import Index

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["like", "lost", "make", "present", "remove", "standing", "tables"]

_QUOTES = str.maketrans("", "", '"`[]')
_SPACE = re.compile(r"\s+")


def present(connection: Connection) -> list[Present]:
    """Return all indexes of a file, and the tables of FTS5 that stand for some."""
    found = []
    for name, kind, _, sql in _master(connection):
        if kind == "table" and sql.upper().startswith("CREATE VIRTUAL TABLE") and "fts5" in sql.lower():
            found.append(Present(name, _searched(connection, name), _normal(sql)))
        elif kind == "table":
            found += [_index(connection, name, *row[1:5]) for row in _ask(connection, "index_list", name)]
    return sorted(found, key=lambda one: (one.table, one.name))


def _index(connection: Connection, table: str, name: str, unique: int, origin: str, partial: int) -> Present:
    parts = _ask(connection, "index_xinfo", name)
    sql = next((row[3] for row in _master(connection) if row[0] == name), "") or ""
    texts = _texts(sql)
    keys: list[Key] = []
    for place, (_, cid, column, descends, collation, is_key) in enumerate(parts):
        if is_key:
            what = column if cid >= 0 else texts[place] if place < len(texts) else "rowid"
            keys.append((what, "", collation, int(descends)))
    where = _normal(re.split(r"\)\s*WHERE\s", sql, maxsplit=1, flags=re.IGNORECASE)[-1]) if partial else ""
    described = f"{'UNIQUE ' if unique else ''}{keys} {where}"
    return Present(
        name, table, described, unique=bool(unique), constraint=origin != "c", keys=tuple(keys), rest=("btree", where)
    )


def tables(connection: Connection) -> list[Table]:
    """Return all tables with their foreign keys; SQLite counts no uses."""
    found = []
    for name, kind, _, sql in _master(connection):
        if kind == "table" and not sql.upper().startswith("CREATE VIRTUAL TABLE"):
            keys: dict[int, tuple[str, list[str]]] = {}
            for number, _, other, column, *_ in _ask(connection, "foreign_key_list", name):
                keys.setdefault(number, (other, []))[1].append(column)
            foreign = tuple((f"to {other}", tuple(columns), other) for other, columns in keys.values())
            found.append(Table(name, foreign=foreign))
    return found


def like(connection: Connection, index: Index) -> tuple[bool, str]:
    """Say whether what stands for an index is what is declared, and what is there instead."""
    kept = {row[0]: row for row in _master(connection)}
    for made in made_on_sqlite(index):
        if made.name not in kept:
            return False, f"{made.kind} {made.name} is missing"
        if made.kind == "index":
            row = kept[made.name]
            if _plain(row[3], row[2]) != _plain(made.sql, row[2]):
                return False, row[3]
        elif _normal(kept[made.name][3]) != _normal(made.sql):
            return False, kept[made.name][3]
    return True, ""


def lost(connection: Connection, index: Index) -> bool:
    """Say whether a part of what stands for an index is missing."""
    kept = {row[0] for row in _master(connection)}
    return any(made.name not in kept for made in made_on_sqlite(index))


def make(connection: Connection, index: Index) -> None:
    """Make what stands for an index, in the present transaction; what is there already of it goes first."""
    remove(connection, index)
    for made in made_on_sqlite(index):
        connection.exec_driver_sql(made.sql)
    for statement in index.form.filled(index) if index.form is not None else ():
        connection.exec_driver_sql(statement)


def standing(kept: Iterable[tuple[str, str, str]]) -> set[str]:
    """Return the names of indexes that tables of FTS5 stand for, of all that a file has: kind, name and statement.

    Beside each is a table of its keys, and triggers.
    """
    known = {(kind, name): sql or "" for kind, name, sql in kept}
    return {
        name
        for (kind, name), sql in known.items()
        if kind == "table"
        and sql.upper().startswith("CREATE VIRTUAL")
        and "fts5" in sql.lower()
        and ("table", f"{name}_keys") in known
        and ("trigger", f"{name}_insert") in known
    }


def remove(connection: Connection, index: Index) -> None:
    """Remove what stands for an index, in the present transaction."""
    for made in reversed(made_on_sqlite(index)):
        connection.exec_driver_sql(f"DROP {made.kind.upper()} IF EXISTS {quoted(made.name)}")


def _master(connection: Connection) -> Sequence[tuple[str, str, str, str]]:
    rows = connection.exec_driver_sql(
        "SELECT name, type, tbl_name, coalesce(sql, '') FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    )
    return [tuple(row) for row in rows]


def _ask(connection: Connection, pragma: str, name: str) -> Sequence[tuple[Any, ...]]:
    rows = connection.exec_driver_sql(f"PRAGMA {pragma}({quoted(name)})").all()
    return [tuple(row) for row in rows]


def _searched(connection: Connection, words: str) -> str:
    """Return the table whose words a table of FTS5 keeps."""
    return next((row[2] for row in _master(connection) if row[0] == f"{words}_insert"), words)


def _normal(sql: str) -> str:
    return _SPACE.sub(" ", sql.translate(_QUOTES)).strip().lower()


def _plain(sql: str, table: str) -> str:
    """Return the statement of an index without what people write as they like: quotes, spaces and parentheses."""
    text = _normal(sql).replace("if not exists ", "").replace(" asc", "")
    _, _, rest = text.partition(f" on {table.lower()}")
    return ("unique" if text.startswith("create unique") else "") + re.sub(r"[\s()]", "", rest).replace("!=", "<>")


def _texts(sql: str) -> list[str]:
    """Return the parts between the parentheses of ``CREATE INDEX``."""
    depth, texts, text = 0, [], ""
    for sign in sql[sql.find("(") + 1 :]:
        depth += (sign == "(") - (sign == ")")
        if depth < 0:
            break
        if sign == "," and depth == 0:
            texts.append(_normal(text))
            text = ""
        else:
            text += sign
    return [*texts, _normal(text)]
