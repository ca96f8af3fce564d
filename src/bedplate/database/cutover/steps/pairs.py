"""Which table is live and which one follows it, by the catalog: the switch changes names, and these tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import CutoverError, ask, quoted, transaction
from bedplate.database.cutover.catalog import Table, read
from bedplate.database.cutover.keylog import KeyLog
from bedplate.database.cutover.layout import twin_name
from bedplate.database.cutover.plan import Plan
from bedplate.database.cutover.work import Pair

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["keylog", "legacy_name", "pair_of", "pairs"]


def legacy_name(name: str) -> str:
    """Return what a table is called once its twin has its name."""
    return twin_name(name, "_legacy")


def pairs(connection: Connection[Any], plan: Plan) -> tuple[Pair, ...]:
    """Return the tables of a cutover and what follows each, as they are called now.

    :raises CutoverError: when there is no such table.
    """
    return tuple(pair_of(connection, plan, table) for table in plan.tables)


def pair_of(connection: Connection[Any], plan: Plan, table: str) -> Pair:
    """Return one of the tables of a cutover and what follows it; see :func:`pairs`.

    What identifies a row is the primary key of the one that is not partitioned, and the key: by both the row is found
    in one partition, and a row that changes its key leaves a trace of where it was.
    """
    with transaction(connection):
        live = read(connection, table)
        heap = live
        if live.kind == "p":
            shadow = quoted(live.schema, legacy_name(live.name))
            if not ask(connection, "SELECT to_regclass(%s) IS NOT NULL", (shadow,))[0][0]:
                what = f"{table} has no {legacy_name(live.name)} beside it any more, so nothing can go back."
                raise CutoverError(what, "Was it removed by hand? Then `finalize` takes away what is left.")
            heap = read(connection, shadow)
        else:
            shadow = quoted(live.schema, twin_name(live.name))
    return Pair(table, live.sql, shadow, _identifying(heap, plan.key))


def keylog(connection: Connection[Any], pair: Pair, *, of: str = "") -> KeyLog:
    """Return the key log of a pair's live table, whose own names come from the plan's name of the table.

    :param of: the other one, whose log is laid before a switch.
    """
    return KeyLog(connection, of or pair.live, pair.primary, name=_last(connection, pair.table))


def _identifying(heap: Table, key: str) -> tuple[str, ...]:
    if not heap.primary:
        raise CutoverError(f"{heap.schema}.{heap.name} has no primary key.", "Add one: it tells rows apart.")
    return heap.primary if key in heap.primary else (*heap.primary, key)


def _last(connection: Connection[Any], table: str) -> str:
    """Return a table's name without its schema and quotes."""
    return str(ask(connection, "SELECT (parse_ident(%s))[array_upper(parse_ident(%s), 1)]", (table, table))[0][0])
