"""What a cutover has made, told from what others have: by a comment on the first partition of a twin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import ask
from bedplate.database.cutover.catalog import Table
from bedplate.database.cutover.layout import partition_name, twin_name
from bedplate.database.cutover.plan import Plan

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["mark", "marked"]


def mark(source: Table, plan: Plan) -> str:
    """Return the comment of each partition that a cutover makes."""
    return f"Bedplate: {source.schema}.{source.name} by the hash of {plan.key}, one of {plan.partitions}."


def marked(connection: Connection[Any], source: Table, plan: Plan) -> bool:
    """Whether the twin of a table is there and this cutover's."""
    rows = ask(
        connection,
        """SELECT pg_catalog.obj_description(c.oid, 'pg_class') FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
        JOIN pg_catalog.pg_class p ON p.oid = i.inhparent AND p.relnamespace = n.oid
        WHERE n.nspname = %s AND c.relname = %s AND p.relname = %s""",
        (source.schema, partition_name(source.name, 0), twin_name(source.name)),
    )
    return bool(rows) and rows[0][0] == mark(source, plan)
