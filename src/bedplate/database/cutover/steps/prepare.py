"""Making the twins, all of them or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import CutoverError, ask, literal, locally, quoted, transaction
from bedplate.database.cutover.layout import Layout, layout, partition_name
from bedplate.database.cutover.made import mark, marked
from bedplate.database.cutover.preflight import preflight
from bedplate.database.cutover.work import Work

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["prepare"]


def prepare(work: Work) -> None:
    """Make the twins of all tables with their partitions, in one transaction; those that are there are left.

    Owners and rights come with them, so that nobody has more of a twin than of its table. Keys and indexes come when
    the rows are in, foreign keys with the switch: before it they would keep the service from deleting what rows of the
    twin, which follows a moment later, still name.

    :raises CutoverError: when something stands in the way, in words, or a table of this name is not the cutover's.
    """
    connection, plan = work.connection, work.plan
    found = preflight(connection, plan)
    if not found.ready:
        blockers = [one for one in found.findings if one.severity == "blocker"]
        what = " ".join(f"{one.table}: {one.what}" for one in blockers)
        raise CutoverError(what, " ".join(dict.fromkeys(one.mend for one in blockers)))
    layouts = [layout(connection, plan, table) for table in plan.tables]
    made = []
    with transaction(connection):
        locally(connection, lock_timeout="2s")
        for one in layouts:
            if not marked(connection, one.source, plan):
                one.execute(connection, "table", "partitions", "rights")
                _mark(connection, one, plan.partitions, mark(one.source, plan))
                made.append(one.twin)
        if made:
            work.journal.note("twins made", tables=made, partitions=plan.partitions)


def _mark(connection: Connection[Any], one: Layout, partitions: int, words: str) -> None:
    for number in range(partitions):
        name = quoted(one.source.schema, partition_name(one.source.name, number))
        ask(connection, f"COMMENT ON TABLE {name} IS {literal(words)}")
