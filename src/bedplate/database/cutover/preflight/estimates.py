"""What a cutover will take: disk, WAL, time and locks, from sizes now and from rates that were measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import ask
from bedplate.database.cutover.catalog import Table
from bedplate.database.cutover.plan import Plan
from bedplate.database.cutover.preflight.report import Estimate

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["estimate"]

#: Rows a second of capture, plain load, bulk index and replay into 16 partitions under 400 tx/s; into 64 28 % less.
_RATE = 187_000
_RATE_64 = _RATE * 0.72
#: Milliseconds for which the switch held its lock at most under 5,000 tx/s, with 16 and with 64 partitions.
_LOCK, _LOCK_64 = 17.0, 24.0


def estimate(connection: Connection[Any], table: Table, cutover: Plan) -> Estimate:
    """Estimate for one table."""
    heap, indexes, primary = ask(
        connection,
        """SELECT pg_table_size(c.oid), pg_indexes_size(c.oid),
          coalesce((SELECT pg_relation_size(i.indexrelid) FROM pg_index i
            WHERE i.indrelid = c.oid AND i.indisprimary), 0)
        FROM pg_class c WHERE c.oid = %s""",
        (table.oid,),
    )[0]
    rows = _rows(connection, table)
    # Between the two that were measured the truth lies between; beyond them nobody has looked.
    share = min(max((cutover.partitions - 16) / 48, 0.0), 1.0)
    rate = _RATE + (_RATE_64 - _RATE) * share
    more = primary if table.primary and cutover.key not in table.primary else 0
    relations = 1 + len(table.indexes) + len(table.of_kind("p", "u")) + (1 if more else 0)
    return Estimate(
        table=f"{table.schema}.{table.name}",
        rows=rows,
        size=heap + indexes,
        disk=heap + indexes + more,
        # Each row once, and each index' pages once, as they are built after the rows are in.
        wal=int(1.1 * (heap + indexes + more)),
        seconds=rows / rate,
        lock=_LOCK + (_LOCK_64 - _LOCK) * share,
        locks=(cutover.partitions + 1) * relations + relations,
    )


def _rows(connection: Connection[Any], table: Table) -> int:
    """Return about how many rows there are: what the planner takes it for, which looks at the file's size now.

    Statistics alone know nothing of what was loaded since they were made; where row security hides rows from the
    planner's question, they know better.
    """
    known, readable = ask(
        connection,
        "SELECT greatest(reltuples, 0)::bigint, has_table_privilege(oid, 'SELECT') FROM pg_class WHERE oid = %s",
        (table.oid,),
    )[0]
    if not readable:
        return int(known)
    plan = ask(connection, f"EXPLAIN (FORMAT JSON) SELECT FROM ONLY {table.sql}")[0][0]
    return max(int(known), int(plan[0]["Plan"]["Plan Rows"]))
