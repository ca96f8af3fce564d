"""What moves on when one server is outgrown: the same tables, by the same key, over the servers of another engine.

Such an engine makes shards by the hash of a key, too, so nearly all of the work is done: each query names the key, keys
and unique constraints begin with it, and what shares it can live together. What is left is told, and the statements are
rendered from the catalog. They have been tried on no cluster: none was at hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import CutoverError, ask, literal, quoted, transaction
from bedplate.database.cutover.catalog import Table, read
from bedplate.database.cutover.layout import refusals, unparted
from bedplate.database.cutover.plan import Plan

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["ENGINES", "Outgrown", "outgrown"]

#: Engines whose statements can be rendered.
ENGINES = ("citus",)

_REFERENCED = """SELECT DISTINCT c.confrelid::regclass::text, EXISTS (SELECT FROM pg_attribute a
  WHERE a.attrelid = c.confrelid AND a.attname = %s AND NOT a.attisdropped)
FROM pg_constraint c WHERE c.conrelid = %s AND c.contype = 'f' AND c.confrelid <> c.conrelid ORDER BY 1"""

_TRIGGERS = """SELECT tgname FROM pg_trigger WHERE tgrelid = %s AND NOT tgisinternal
AND NOT starts_with(tgname, 'bedplate_') ORDER BY 1"""

_SECURED = "SELECT relrowsecurity FROM pg_class WHERE oid = %s"


@dataclass(frozen=True, slots=True)
class Outgrown:
    """What moves to another engine.

    :ivar statements: for its coordinator, in order. :ivar notes: what they leave to people, in sentences.
    """

    engine: str
    statements: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it as a script, the notes as comments."""
        notes = "".join(f"-- {note}\n" for note in self.notes)
        return notes + "".join(f"{statement};\n" for statement in self.statements)


def outgrown(connection: Connection[Any], plan: Plan, engine: str) -> Outgrown:
    """Render what lays out a plan's tables on another engine, before their cutover or after it; nothing is changed.

    :raises CutoverError: when the engine is not known, or a table cannot be spread by the key.
    """
    if engine not in ENGINES:
        raise CutoverError(f"Nothing is known of an engine {engine}.", f"Name one of: {', '.join(ENGINES)}.")
    with transaction(connection, "READ ONLY"):
        # One that is partitioned already is laid out as if it were not: shards take the place of its partitions.
        tables = [replace(read(connection, name), kind="r") for name in plan.tables]
        for table in tables:
            for what, mend in refusals(table, plan.key):
                raise CutoverError(f"{table.sql} cannot be spread by {plan.key}: it {what}.", mend)
        referenced = _referenced(connection, plan, tables)
        notes = list(_notes(connection, plan, tables, referenced))
    return Outgrown(engine, tuple(_citus(plan, tables, referenced)), tuple(notes))


def _referenced(connection: Connection[Any], plan: Plan, tables: list[Table]) -> dict[str, bool]:
    """Return the tables that foreign keys point to, and whether they have the key themselves."""
    own = {ask(connection, "SELECT %s::oid::regclass::text", (table.oid,))[0][0] for table in tables}
    found = {name: keyed for one in tables for name, keyed in ask(connection, _REFERENCED, (plan.key, one.oid))}
    return {name: keyed for name, keyed in found.items() if name not in own}


def _citus(plan: Plan, tables: list[Table], referenced: dict[str, bool]) -> Iterator[str]:
    yield "CREATE EXTENSION IF NOT EXISTS citus"
    for name, keyed in referenced.items():
        if not keyed:
            yield f"SELECT create_reference_table({literal(name)})"
    first = ""
    later: list[str] = []
    for table in tables:
        found = unparted(table, plan)
        serials = [(column.owned, column.name) for column in table.columns if column.owned is not None]
        yield from (f"CREATE SEQUENCE IF NOT EXISTS {sequence}" for sequence, _ in serials)
        yield from (one.sql for one in found.statements if one.part != "constraints")
        yield from (f"ALTER SEQUENCE {one} OWNED BY {table.sql}.{quoted(column)}" for one, column in serials)
        together = f"colocate_with => {literal(first or 'none')}"
        shards = "" if first else f", shard_count => {plan.partitions}"
        yield f"SELECT create_distributed_table({literal(table.sql)}, {literal(plan.key)}, {together}{shards})"
        first = first or table.sql
        later += [one.sql for one in found.statements if one.part == "constraints"]
    # Between tables that are all spread by now.
    yield from later


def _notes(connection: Connection[Any], plan: Plan, tables: list[Table], referenced: dict[str, bool]) -> Iterator[str]:
    yield "Untested: rendered from this catalog for Citus 12 or later, and tried on no cluster."
    yield "Make the schemas and roles, then add the workers: SELECT citus_add_node('host', 5432)."
    yield "Load each table by COPY, or by a subscription to a publication of it; then compare counts by organisation."
    yield f"Statements without {plan.key} ask every shard; those that join tables here need it on both sides."
    for name, keyed in referenced.items():
        if keyed:
            yield f"{name} has {plan.key} as well: spread it with these, and let foreign keys begin with the key."
        else:
            yield f"{name} is copied to every server as a reference table: make it before, and keep it small."
    for table in tables:
        name = f"{table.schema}.{table.name}"
        unique = [(one.name, one.columns) for one in table.of_kind("p", "u")]
        for which, columns in [*unique, *((one.name, one.columns) for one in table.indexes if one.unique)]:
            if plan.key not in columns:
                yield f"{which} of {name} is unique for each {plan.key} only."
        for column in table.columns:
            if column.sequence is not None or column.owned is not None:
                wide = "" if column.type == "bigint" else ", which needs bigint"
                yield f"{name}.{column.name} draws numbers from each server's own range{wide}: order tells nothing."
        for (trigger,) in ask(connection, _TRIGGERS, (table.oid,)):
            yield f"Trigger {trigger} of {name} is not carried over: shards have triggers only with unsafe settings."
        if ask(connection, _SECURED, (table.oid,))[0][0]:
            yield f"Row security of {name} has to be made on the coordinator by its policies; see that workers have it."
