"""What stands in the way of loading is set aside, and what brings it back is written down before.

Foreign keys go first, so that tables come in any order and cycles are none; indexes and unique constraints, because one
sorted build is faster than a million insertions; triggers, because rows that come from the source have been through
theirs. All of it is in one transaction with the note of how to bring it back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import ask, quoted
from bedplate.database.indexes.sqlite import standing

if TYPE_CHECKING:
    import sqlite3

    from psycopg import Connection

__all__ = ["Aside", "of_postgresql", "of_sqlite"]


@dataclass(frozen=True, slots=True)
class Aside:
    """Statements: to set aside, to bring back after the load, and to bring back last; and notes of what is not."""

    now: tuple[str, ...]
    early: tuple[str, ...]
    late: tuple[str, ...]
    notes: tuple[str, ...] = ()


_CONSTRAINTS = """
SELECT c.relname, o.conname, o.contype::text, pg_get_constraintdef(o.oid), obj_description(o.oid, 'pg_constraint')
FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = ANY(%s) AND o.conparentid = 0
AND (o.contype = 'f' OR (o.contype IN ('u', 'x') AND c.relkind = 'r')) ORDER BY o.contype, c.relname, o.conname"""

_INDEXES = """
SELECT x.relname, pg_get_indexdef(x.oid), obj_description(x.oid, 'pg_class')
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = ANY(%s) AND c.relkind = 'r'
AND NOT i.indisreplident AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = x.oid)
ORDER BY c.relname, x.relname"""

_TRIGGERS = """
SELECT c.relname, t.tgname, t.tgenabled::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = ANY(%s) AND NOT t.tgisinternal
AND t.tgparentid = 0 AND t.tgenabled <> 'D' ORDER BY c.relname, t.tgname"""


def of_postgresql(connection: Connection[Any], tables: Iterable[str]) -> Aside:
    """Return what to do with the constraints, indexes and triggers of tables of the present schema."""
    names = sorted(tables)
    now: list[str] = []
    early: list[str] = []
    late: list[str] = []
    for table, name, kind, definition, comment in ask(connection, _CONSTRAINTS, (names,)):
        now.append(f"ALTER TABLE {quoted(table)} DROP CONSTRAINT {quoted(name)}")
        back = late if kind == "f" else early
        back.append(f"ALTER TABLE {quoted(table)} ADD CONSTRAINT {quoted(name)} {definition}")
        if comment is not None:
            text = comment.replace("'", "''")
            back.append(f"COMMENT ON CONSTRAINT {quoted(name)} ON {quoted(table)} IS '{text}'")
    for name, definition, comment in ask(connection, _INDEXES, (names,)):
        now.append(f"DROP INDEX {quoted(name)}")
        early.append(definition)
        if comment is not None:
            text = comment.replace("'", "''")
            early.append(f"COMMENT ON INDEX {quoted(name)} IS '{text}'")
    words = {"O": "ENABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA"}
    for table, name, enabled in ask(connection, _TRIGGERS, (names,)):
        now.append(f"ALTER TABLE {quoted(table)} DISABLE TRIGGER {quoted(name)}")
        late.append(f"ALTER TABLE {quoted(table)} {words[enabled]} TRIGGER {quoted(name)}")
    return Aside(tuple(now), tuple(early), tuple(late))


_CONTENT = re.compile(r"content\s*=\s*(?:''|\"\")", re.IGNORECASE)


def of_sqlite(connection: sqlite3.Connection, tables: Iterable[str]) -> Aside:
    """Return what to do with the indexes and triggers of tables; foreign keys are not looked at while loading."""
    wanted = set(tables)
    now, early, late, notes = [], [], [], []
    rows = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name"
    kept = connection.execute(rows).fetchall()
    searched = standing((kind, name, sql) for kind, name, _, sql in kept)
    for kind, name, table, sql in kept:
        if name in searched:
            now += [f"DROP TABLE {quoted(name)}", f"DROP TABLE {quoted(f'{name}_keys')}"]
            notes.append(f"The index {name} is made anew when its service opens the file.")
        elif kind == "trigger" and name.rpartition("_")[0] in searched:
            now.append(f"DROP TRIGGER {quoted(name)}")
        elif kind == "index" and table in wanted:
            now.append(f"DROP INDEX {quoted(name)}")
            early.append(sql)
        elif kind == "trigger" and table in wanted:
            now.append(f"DROP TRIGGER {quoted(name)}")
            late.append(sql)
        elif kind == "table" and sql.upper().startswith("CREATE VIRTUAL"):
            if "fts5" in sql.lower() and "content" in sql.lower() and not _CONTENT.search(sql):
                late.insert(0, f"INSERT INTO {quoted(name)} ({quoted(name)}) VALUES ('rebuild')")
            else:
                notes.append(f"The virtual table {name} is not filled.")
    return Aside(tuple(now), tuple(early), tuple(late), tuple(notes))
