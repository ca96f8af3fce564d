"""Names that a cutover needs, each asked for where it is made, and who has one of them already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import ask, quoted
from bedplate.database.cutover.catalog import Table
from bedplate.database.cutover.keylog import log_names
from bedplate.database.cutover.layout import derived, refusals
from bedplate.database.cutover.made import marked
from bedplate.database.cutover.plan import Plan
from bedplate.database.cutover.preflight.report import Finding

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["names_of", "names_taken"]

#: But for those that a cutover has left whose tables somebody has dropped by hand: they are told by what they do.
_FUNCTIONS = """SELECT DISTINCT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = %s AND p.proname = ANY(%s) AND p.pronargs = 0 AND (p.prorettype <> 'trigger'::regtype
  OR NOT EXISTS (SELECT FROM unnest(%s::text[]) m WHERE position(m IN p.prosrc) > 0)) ORDER BY 1"""


def names_of(connection: Connection[Any], table: Table, plan: Plan) -> tuple[set[str], set[str]]:
    """Return all names that relations and functions of a cutover ever have beside a plain table; in a transaction."""
    from bedplate.database.cutover.dualwrite import dual_names
    from bedplate.database.cutover.switch import fence, names

    logs, functions = log_names(table.name)
    relations = {*derived(table, plan).names, *names.later(connection, table), *logs}
    if plan.mode == "dual-write":
        tables, triggered = dual_names(table.name)
        relations, functions = relations | tables, functions | triggered
    return relations, functions | {fence.called(table.name)}


def names_taken(connection: Connection[Any], table: Table, plan: Plan) -> Iterator[Finding]:
    """Yield what stands where a cutover is to put something; nothing once it has, or where it cannot anyway."""
    from bedplate.database.cutover.switch import fence
    from bedplate.database.cutover.switch.names import taken

    if marked(connection, table, plan) or refusals(table, plan.key):
        return
    relations, functions = names_of(connection, table, plan)
    found = taken(connection, table.schema, relations)
    marks = [fence.MARK, *(quoted(table.schema, name) for name in relations)]
    found += [f"{row[0]}()" for row in ask(connection, _FUNCTIONS, (table.schema, list(functions), marks))]
    if found:
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        yield Finding(
            "blocker", "name-taken", f"{table.schema}.{table.name}",
            f"There is a {', '.join(found[:5])}{more} already.",
            "The new table, its partitions and what follows changes need the names.",
            "Is another cutover under way? Else rename it.",
        )  # fmt: skip
