"""What tells the rows of a table apart: whether the worker finds by it each row that was written, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import ask
from bedplate.database.cutover.catalog import Table
from bedplate.database.cutover.plan import Plan
from bedplate.database.cutover.preflight.report import Finding

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["identity"]

#: Columns whose equality is not the system's own: of types of extensions, to which the worker, who sees the system's
#: names alone, would apply that of another type; and texts that are equal though they are written otherwise, which the
#: key log cannot know to be one key. Enumerations, ranges, arrays and rows are compared by the system, element by
#: element as each wants.
_ODD = """SELECT a.attname, CASE WHEN l.collisdeterministic IS FALSE THEN 'the collation ' || l.collname
    ELSE 'type ' || format_type(b.oid, NULL) END
FROM pg_attribute a JOIN LATERAL (
    WITH RECURSIVE base(oid, typbasetype) AS (
        SELECT t.oid, t.typbasetype FROM pg_type t WHERE t.oid = a.atttypid
        UNION ALL SELECT d.oid, d.typbasetype FROM base JOIN pg_type d ON d.oid = base.typbasetype
    ) SELECT oid FROM base WHERE typbasetype = 0
) domain ON true JOIN pg_type b ON b.oid = domain.oid LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE a.attrelid = %s AND a.attname = ANY(%s) AND (l.collisdeterministic IS FALSE
  OR (b.typtype = 'b' AND b.typcategory <> 'A' AND b.typnamespace <> 'pg_catalog'::regnamespace))
ORDER BY a.attnum"""


def identity(connection: Connection[Any], table: Table, cutover: Plan) -> Iterator[Finding]:
    """Yield a finding for each column by which rows cannot be told apart safely, and for names that cannot be used."""
    name = f"{table.schema}.{table.name}"
    columns = list(dict.fromkeys((*table.primary, cutover.key)))
    for column, what in ask(connection, _ODD, (table.oid, columns)):
        yield Finding(
            "blocker", "odd-equality", name, f"{column} tells rows apart by an equality of its own, that of {what}.",
            "Rows whose key is only written otherwise would be missed.",
            "Choose a column with an equality of the system's, as text in a deterministic collation.",
        )  # fmt: skip
    odd = [one for one in (table.schema, table.name, *(column.name for column in table.columns)) if "%" in one]
    if odd:
        yield Finding(
            "blocker", "percent", name, f"There is a % in a name: {', '.join(odd[:5])}.",
            "The driver takes it for the place of a value.", "Rename it.",
        )  # fmt: skip
