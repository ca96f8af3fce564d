"""The indexes that a database has, as its catalog tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Key", "Present", "Table", "definition", "present", "tables"]

#: A part of a key: what it is, its operator class, its collation, its order.
Key = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True)
class Present:
    """An index that is there.

    :ivar definition: what it is, in the database's words, without its own name and its table's; ``UNIQUE`` before it.
    :ivar valid: whether queries may use it. :ivar constraint: whether it belongs to a key or another constraint.
    :ivar keys: the parts of its key; :ivar rest: method, condition and further columns, which say how keys compare.
    :ivar scans: how often it was used since statistics began; None where nobody counts.
    :ivar building: whether it is being made now. :ivar parent: the index of the partitioned table that it is a part of.
    :ivar partitioned: whether it is one of a partitioned table, which holds nothing itself.
    """

    name: str
    table: str
    definition: str
    valid: bool = True
    unique: bool = False
    constraint: bool = False
    keys: tuple[Key, ...] = ()
    rest: tuple[str, ...] = ()
    size: int = 0
    scans: int | None = None
    building: bool = False
    parent: str = ""
    partitioned: bool = False
    oid: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """A table with what was counted of it; ``foreign`` holds its foreign keys: name, columns, and the other table."""

    name: str
    rows: float = 0.0
    size: int = 0
    scans: int = 0
    read: int = 0
    foreign: tuple[tuple[str, tuple[str, ...], str], ...] = ()


# Names are as a search path finds them: a table of another schema has its schema before it.
_INDEXES = """
SELECT x.oid::bigint AS oid, x.relname AS name, i.indrelid::regclass::text AS table,
  pg_get_indexdef(x.oid) AS definition,
  i.indisvalid AS valid, i.indisunique AS unique, x.relkind = 'I' AS partitioned,
  EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = x.oid AND c.conrelid = i.indrelid
    AND c.contype IN ('p', 'u', 'x')) OR i.indisreplident AS constraint,
  am.amname AS method, coalesce(pg_get_expr(i.indpred, i.indrelid), '') AS predicate,
  ARRAY(SELECT pg_get_indexdef(x.oid, k, false) FROM generate_series(1, i.indnatts) k ORDER BY k) AS parts,
  i.indnkeyatts::int AS keys,
  ARRAY(SELECT coalesce(o.opcname, '') FROM unnest(i.indclass::oid[]) WITH ORDINALITY u(id, place)
    LEFT JOIN pg_opclass o ON o.oid = u.id ORDER BY place)::text[] AS classes,
  i.indcollation::oid[]::text[] AS collations, i.indoption::int2[]::int[] AS options,
  CASE WHEN x.relkind = 'I' THEN 0 ELSE pg_relation_size(x.oid) END AS size,
  coalesce(s.idx_scan, 0) AS scans,
  EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = x.oid) AS building,
  coalesce((SELECT h.inhparent::regclass::text FROM pg_inherits h WHERE h.inhrelid = x.oid), '') AS parent,
  quote_ident(n.nspname) || '.' || quote_ident(t.relname) AS full_name
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = t.relnamespace JOIN pg_am am ON am.oid = x.relam
LEFT JOIN pg_stat_all_indexes s ON s.indexrelid = x.oid
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname !~ '^pg_(toast_)?temp_'
ORDER BY 3, 2"""

_TABLES = """
SELECT c.oid::regclass::text AS name, greatest(c.reltuples, 0)::float8 AS rows, pg_table_size(c.oid) AS size,
  coalesce(s.seq_scan, 0) AS scans, coalesce(s.seq_tup_read, 0) AS read,
  ARRAY(SELECT f.conname || E'\\n' || f.confrelid::regclass::text || E'\\n' || array_to_string(
      ARRAY(SELECT a.attname FROM unnest(f.conkey) WITH ORDINALITY AS k(number, place)
        JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.number ORDER BY k.place), E'\\n')
    FROM pg_constraint f WHERE f.conrelid = c.oid AND f.contype = 'f' AND f.conparentid = 0 ORDER BY 1) AS foreign
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY 1"""

_SINCE = """
SELECT extract(epoch FROM clock_timestamp() - coalesce(stats_reset, pg_postmaster_start_time()))::float8
FROM pg_stat_database WHERE datname = current_database()"""


def present(connection: Connection) -> list[Present]:
    """Return all indexes of a database, those of its own catalog aside."""
    if connection.dialect.name == "sqlite":
        from bedplate.database.indexes import sqlite

        return sqlite.present(connection)
    rows = connection.exec_driver_sql(_INDEXES).mappings().all()
    return [_present(row) for row in rows]


def _present(row: Any) -> Present:
    keys = tuple(
        (row["parts"][place], row["classes"][place], row["collations"][place], row["options"][place])
        for place in range(row["keys"])
    )
    return Present(
        name=row["name"],
        table=row["table"],
        definition=definition(row["definition"], row["full_name"], row["unique"]),
        valid=row["valid"],
        unique=row["unique"],
        constraint=row["constraint"],
        keys=keys,
        rest=(row["method"], row["predicate"], *row["parts"][row["keys"] :]),
        size=row["size"],
        scans=row["scans"],
        building=row["building"],
        parent=row["parent"],
        partitioned=row["partitioned"],
        oid=row["oid"],
    )


def definition(text: str, table: str, unique: bool) -> str:
    """Return what follows the table's name in ``CREATE INDEX``, as PostgreSQL writes it, and ``UNIQUE`` before it."""
    for only in ("", "ONLY "):
        _, found, rest = text.partition(f" ON {only}{table} ")
        if found:
            return f"UNIQUE {rest}" if unique else rest
    return text


def tables(connection: Connection) -> tuple[list[Table], float | None]:
    """Return all tables with what was counted of them, and for how many seconds that has been."""
    if connection.dialect.name == "sqlite":
        from bedplate.database.indexes import sqlite

        return sqlite.tables(connection), None
    found = []
    for row in connection.exec_driver_sql(_TABLES).mappings():
        foreign = tuple(_foreign(text) for text in row["foreign"])
        found.append(Table(row["name"], row["rows"], row["size"], row["scans"], row["read"], foreign))
    return found, connection.exec_driver_sql(_SINCE).scalar()


def _foreign(text: str) -> tuple[str, tuple[str, ...], str]:
    name, other, *columns = text.split("\n")
    return name, tuple(columns), other
