"""The hash of a row: which columns count, and how each enters it without losing a bit.

PostgreSQL's ``hash_record_extended`` follows the equality of types, which is not sameness, and it has structure:

- ``hash_numeric`` leaves out the sign and the scale: 5.00, −5 and 5 hash alike under every seed. ``jsonb`` follows it.
- eight-byte integers and times are folded to four bytes first: 1 and 4294967296 hash alike under every seed.
- arrays lose their bounds, ``bpchar`` its blanks, floats the sign of zero, intervals 24 hours against a day;
  ``json``, ``xml``, ``money``, ``point`` cannot be hashed at all.
- a record's hash is a sum over its columns, so sums of it over rows do not see two rows exchange a value.

So what is not hashed bit by bit enters as the bytes that its type sends to clients, and the second sum is one of hashes
of hashes, which is not linear. What remains is chance: 2⁻⁶⁴ for a row, with a new seed every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import CutoverError, ask, quoted

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["Column", "Digest", "Relation", "relation"]

#: Types whose own hash takes every bit, given a collation that compares bytes.
_EXACT = {"bool", "bytea", "char", "date", "int2", "int4", "name", "oid", "text", "uuid", "varchar"}
_COLLATED = {"name", "text", "varchar"}

_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), bn.nspname, b.typname, b.typtype::text, pn.nspname, p.proname,
       a.attnotnull
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
JOIN LATERAL (
    WITH RECURSIVE base(oid, typbasetype) AS (
        SELECT t.oid, t.typbasetype
        UNION ALL SELECT d.oid, d.typbasetype FROM base JOIN pg_type d ON d.oid = base.typbasetype
    ) SELECT oid FROM base WHERE typbasetype = 0
) domain ON true
JOIN pg_type b ON b.oid = domain.oid JOIN pg_namespace bn ON bn.oid = b.typnamespace
LEFT JOIN pg_proc p ON p.oid = b.typsend LEFT JOIN pg_namespace pn ON pn.oid = p.pronamespace
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""

_PRIMARY = """
SELECT a.attname FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
WHERE i.indrelid = %s AND i.indisprimary AND k.place <= i.indnkeyatts ORDER BY k.place"""

#: By the catalog alone: pg_partition_tree locks each partition, and whoever truncates tables in the order of the
#: comparison, the whole one first, would wait for one who waits for it.
_SIZED = """
WITH RECURSIVE tree (oid) AS (
    SELECT %(oid)s::oid UNION SELECT i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid
    JOIN pg_class p ON p.oid = i.inhparent AND p.relkind = 'p'
) SELECT n.nspname, c.relname, (
    SELECT coalesce(sum(greatest(l.reltuples, 0)), 0) FROM pg_class l JOIN tree USING (oid) WHERE l.relkind <> 'p'
)::float8 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %(oid)s"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column and how it enters the hash; ``expression`` is SQL over the table's own names."""

    name: str
    type: str
    expression: str
    nullable: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """A table to compare: ``name`` for people, ``sql`` quoted in full, and how many rows the planner believes in."""

    oid: int
    name: str
    sql: str
    columns: tuple[Column, ...]
    primary: tuple[str, ...]
    rows: float


def relation(connection: Connection[Any], name: str) -> Relation:
    """Find a table by name, as SQL takes it: ``orders``, ``sales.orders``, ``"Odd Name"``; in a transaction.

    :raises CutoverError: when there is none that can be read.
    """
    try:
        ask(connection, "SET LOCAL search_path TO DEFAULT")
        with connection.transaction():
            found = ask(connection, "SELECT to_regclass(%s)::oid", (name,))
    except Exception as error:
        raise CutoverError(f"{name} is no name of a table.", 'Write schema.table, or "Schema"."Table".') from error
    ask(connection, "SET LOCAL search_path = pg_catalog")
    oid = found[0][0]
    kinds = ask(connection, "SELECT relkind::text FROM pg_class WHERE oid = %s", (oid,)) if oid else []
    if not kinds or kinds[0][0] not in "rpmf":
        raise CutoverError(f"There is no table {name}.", "Write schema.table as it is in the database.")
    schema, table, rows = connection.execute(_SIZED.encode(), {"oid": oid}).fetchall()[0]
    columns = tuple(_column(*row) for row in ask(connection, _COLUMNS, (oid,)))
    primary = tuple(row[0] for row in ask(connection, _PRIMARY, (oid,)))
    return Relation(oid, f"{schema}.{table}", quoted(schema, table), columns, primary, rows)


def _column(
    name: str,
    shown: str,
    schema: str,
    base: str,
    kind: str,
    send_schema: str | None,
    send: str | None,
    required: bool,
) -> Column:
    sql = quoted(name)
    if kind == "e" or (schema == "pg_catalog" and base in _EXACT):
        expression = f'{sql} COLLATE "C"' if base in _COLLATED and schema == "pg_catalog" else sql
    elif send is not None and send_schema is not None:
        expression = f"{quoted(send_schema, send)}({sql})"
    else:
        expression = f'{sql}::text COLLATE "C"'
    return Column(name, shown, expression, not required)


@dataclass(frozen=True, slots=True)
class Digest:
    """How rows of two tables are hashed, so that the same values give the same hash in both."""

    identified_by: tuple[Column, ...]
    columns: tuple[Column, ...]
    seed: int

    @property
    def row(self) -> str:
        """The hash of a row as SQL: eight bytes."""
        parts = ", ".join(column.expression for column in self.columns)
        return f"hash_record_extended(ROW({parts}), {self.seed})"

    def second(self, first: str) -> str:
        """The hash of a row's hash, whose sum sees values that rows have exchanged."""
        return f"hashint8extended({first}, {self.seed ^ 0x5DEECE66D})"

    @classmethod
    def of(cls, one: Relation, other: Relation, identified_by: Sequence[str], seed: int) -> Digest:
        """Make the digest of two tables.

        :raises CutoverError: when their columns are not the same by name and type, or nothing identifies rows.
        """
        types = [{column.name: column.type for column in table.columns} for table in (one, other)]
        if types[0] != types[1]:
            names = sorted({name for name in types[0] | types[1] if types[0].get(name) != types[1].get(name)})
            said = ", ".join(f"{n} ({types[0].get(n, 'none')} against {types[1].get(n, 'none')})" for n in names)
            what = f"{one.name} and {other.name} differ in columns: {said}."
            raise CutoverError(what, "Only tables with the same columns of the same types can be compared.")
        chosen = tuple(identified_by) or one.primary or other.primary
        known = {column.name: column for column in one.columns}
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise CutoverError(f"{one.name} has no column {', '.join(unknown)}.", "Name columns that identify a row.")
        if not chosen:
            what = f"Neither {one.name} nor {other.name} has a primary key."
            raise CutoverError(what, "Name the columns that identify a row.")
        loose = {column.name for table in (one, other) for column in table.columns if column.nullable}
        named = tuple(Column(name, known[name].type, known[name].expression, nullable=name in loose) for name in chosen)
        return cls(named, one.columns, seed)
