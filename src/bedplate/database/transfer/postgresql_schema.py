"""The structure of a schema of PostgreSQL: the first of the search path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import ask
from bedplate.database.transfer.schema import OWN, Column, Index, Reference, Schema, Table

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["read_postgresql"]

_TABLES = """
SELECT c.oid, c.relname FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace
AND c.relkind IN ('r', 'p') AND NOT c.relispartition
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY c.relname COLLATE "C\""""

_COLUMNS = """
SELECT a.attname, format_type(coalesce(nullif(t.typbasetype, 0), t.oid),
         CASE WHEN t.typbasetype <> 0 THEN t.typtypmod ELSE a.atttypmod END),
       a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attgenerated <> '', a.attidentity <> '',
       pg_get_serial_sequence(quote_ident(n.nspname) || '.' || quote_ident(c.relname), a.attname) IS NOT NULL,
       t.typtype::text
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""

_CONSTRAINTS = """
SELECT o.conname, o.contype::text,
  ARRAY(SELECT a.attname FROM unnest(o.conkey) WITH ORDINALITY AS k(number, place)
        JOIN pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.number ORDER BY k.place),
  f.relname,
  ARRAY(SELECT a.attname FROM unnest(o.confkey) WITH ORDINALITY AS k(number, place)
        JOIN pg_attribute a ON a.attrelid = o.confrelid AND a.attnum = k.number ORDER BY k.place),
  o.confdeltype::text, o.confupdtype::text, o.condeferred
FROM pg_constraint o LEFT JOIN pg_class f ON f.oid = o.confrelid
WHERE o.conrelid = %s AND o.conparentid = 0 ORDER BY o.conname COLLATE "C\""""

_INDEXES = """
SELECT x.relname, i.indisunique, i.indexprs IS NULL AND i.indpred IS NULL AND m.amname = 'btree',
  ARRAY(SELECT a.attname FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
        WHERE k.place <= i.indnkeyatts ORDER BY k.place)
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
WHERE i.indrelid = %s
AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = i.indexrelid AND o.conrelid = i.indrelid)
ORDER BY x.relname COLLATE "C\""""

_OTHERS = """
SELECT CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' ELSE 'foreign table ' END || c.relname
FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('v', 'm', 'f')
UNION ALL SELECT 'trigger ' || t.tgname || ' of ' || c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace
AND t.tgname NOT LIKE 'bedplate\\_keys\\_%%'
UNION ALL SELECT 'row security of ' || c.relname FROM pg_class c
WHERE c.relrowsecurity AND c.relnamespace = current_schema()::regnamespace
UNION ALL SELECT 'schema ' || n.nspname || ', which has tables' FROM pg_namespace n
WHERE n.nspname NOT LIKE 'pg\\_%%' AND n.nspname <> 'information_schema' AND n.oid <> current_schema()::regnamespace
AND EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p')) ORDER BY 1"""

_ACTIONS = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}


def read_postgresql(connection: Connection[Any]) -> Schema:
    """Read the structure of the schema in which tables are made."""
    tables = {name: _table(connection, oid, name) for oid, name in ask(connection, _TABLES) if not name.startswith(OWN)}
    others = tuple(f"The {row[0]} is not moved." for row in ask(connection, _OTHERS.replace("%%", "%")))
    return Schema("postgresql", tables, others)


def _table(connection: Connection[Any], oid: int, name: str) -> Table:
    columns = []
    for column, type, required, default, generated, identity, serial, kind in ask(connection, _COLUMNS, (oid,)):
        written = None if generated or identity or serial else default
        # An enumeration's values come and go as texts.
        columns.append(
            Column(column, "text" if kind == "e" else type, required, written, generated, identity or serial)
        )
    key: tuple[str, ...] = ()
    indexes, references, checks = [], [], 0
    for title, kind, mine, other, its, on_delete, on_update, deferred in ask(connection, _CONSTRAINTS, (oid,)):
        if kind == "p":
            key = tuple(mine)
        elif kind == "u":
            indexes.append(Index(title, tuple(mine), True, True))
        elif kind == "f":
            actions = (_ACTIONS[on_delete], _ACTIONS[on_update])
            references.append(Reference(tuple(mine), other, tuple(its), *actions, deferred))
        elif kind == "c":
            checks += 1
    for title, unique, plain, mine in ask(connection, _INDEXES, (oid,)):
        indexes.append(Index(title, tuple(mine) if plain else (), unique))
    return Table(name, tuple(columns), key, tuple(indexes), tuple(references), checks)
