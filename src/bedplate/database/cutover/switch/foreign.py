"""Foreign keys of the tables themselves, which go with what is live.

While a table only follows, a foreign key of it would keep the service from deleting what rows that are a moment old
still name. So the live one has them, and hands them over under the lock without a look at the rows: they are equal, so
they are true. The look comes afterwards, when nobody waits for it.

PostgreSQL takes a foreign key without that look on a partitioned table from 18 on. Before, each partition gets its own
and is looked at, and then the whole, which takes over those of its partitions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import ask, literal, quoted
from bedplate.database.cutover.catalog import Table

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["ForeignKeys", "foreign_keys", "names"]

_KEYS = """SELECT c.conrelid::regclass::text, c.conname, pg_get_constraintdef(c.oid), c.convalidated,
  obj_description(c.oid, 'pg_constraint'), c.confrelid::regclass::text, c.conrelid = %(oid)s
FROM pg_constraint c WHERE c.contype = 'f' AND c.conparentid = 0 AND c.conrelid IN (
  SELECT %(oid)s UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = %(oid)s) ORDER BY c.conname, 7 DESC, 1"""

_PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s ORDER BY 1"


@dataclass(frozen=True, slots=True)
class ForeignKeys:
    """What hands the foreign keys of a table over.

    :ivar referenced: the tables that they point to. :ivar drops: due before the names change.
    :ivar adds: due when they have. :ivar validate: due afterwards, when nobody waits.
    """

    referenced: tuple[str, ...] = ()
    drops: tuple[str, ...] = ()
    adds: tuple[str, ...] = ()
    validate: tuple[str, ...] = ()


def foreign_keys(connection: Connection[Any], live: Table, shadow: Table) -> ForeignKeys:
    """Return what hands the live table's foreign keys over to its shadow; in a transaction."""
    rows = connection.execute(_KEYS.encode(), {"oid": live.oid}).fetchall()
    drops = [f"ALTER TABLE {table} DROP CONSTRAINT {quoted(name)}" for table, name, *_ in rows]
    referenced = tuple(sorted({row[5] for row in rows}))
    adds: list[str] = []
    validate: list[str] = []
    targets = [live.sql]
    apart = shadow.kind == "p" and shadow.version < 18
    if apart:
        targets = [row[0] for row in ask(connection, _PARTITIONS, (shadow.oid,))]
    for name, (definition, validated, comment) in {row[1]: row[2:5] for row in reversed(rows)}.items():
        plain = definition.removesuffix(" NOT VALID")
        adds += [f"ALTER TABLE {table} ADD CONSTRAINT {quoted(name)} {plain} NOT VALID" for table in targets]
        words = "NULL" if comment is None else literal(comment)
        said = f"COMMENT ON CONSTRAINT {quoted(name)} ON {live.sql} IS {words}"
        if validated or apart:
            validate += [f"ALTER TABLE {table} VALIDATE CONSTRAINT {quoted(name)}" for table in targets]
        if apart:
            validate.append(f"ALTER TABLE {live.sql} ADD CONSTRAINT {quoted(name)} {plain}")
        if comment is not None:
            (validate if apart else adds).append(said)
    return ForeignKeys(referenced, tuple(drops), tuple(adds), tuple(validate))


def names(connection: Connection[Any], table: Table) -> Iterator[str]:
    """Yield the names of a table's foreign keys, and of its partitions' own."""
    rows = connection.execute(_KEYS.encode(), {"oid": table.oid}).fetchall()
    yield from dict.fromkeys(row[1] for row in rows)
