"""What a proof that both sides are equal goes on standing on: a log of changes that nobody has touched since.

Whoever disables a trigger of the log, writes, and enables it again, or detaches a partition, leaves nothing in the log.
But the catalog has it: each of its rows has the transaction that wrote it. So what the log's triggers and functions and
the table's partitions are is kept with the proof, and looked at before anything is built on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import CutoverError, ask, quoted
from bedplate.database.cutover.keylog import log_functions, log_triggers

if TYPE_CHECKING:
    from psycopg import Connection

    from bedplate.database.cutover.work import Journal

__all__ = ["PART", "Marks", "check", "doubts", "fulfilled", "marks", "promised", "save"]

#: The part of the journal that keeps it.
PART = "proof"

_TABLE = """SELECT c.oid, n.nspname, c.relname, c.relkind = 'p' FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%s)"""

_MARKS = """
WITH parts AS (SELECT inhrelid AS oid, xmin::text AS x FROM pg_catalog.pg_inherits WHERE inhparent = %(oid)s),
  fired AS (SELECT tgrelid, tgname, xmin::text AS x FROM pg_catalog.pg_trigger
    WHERE (tgrelid = %(oid)s OR tgrelid IN (SELECT oid FROM parts)) AND starts_with(tgname, 'bedplate_keys'))
SELECT ARRAY(SELECT tgname || '=' || x FROM fired WHERE tgrelid = %(oid)s AND tgname = ANY(%(late)s) ORDER BY 1),
  (SELECT count(*) FROM parts), (SELECT string_agg(oid || '=' || x, ' ' ORDER BY oid) FROM parts),
  (SELECT string_agg(y, ' ' ORDER BY y) FROM (
    SELECT tgrelid || tgname || '=' || x FROM fired WHERE tgrelid <> %(oid)s OR tgname <> ALL(%(late)s)
    UNION ALL SELECT p.proname || '=' || p.xmin::text FROM pg_catalog.pg_proc p
      WHERE p.oid = ANY(ARRAY(SELECT to_regproc(f) FROM unnest(%(functions)s::text[]) f))) AS others (y))"""


@dataclass(frozen=True, slots=True)
class Marks:
    """Who wrote what the log of a table is made of.

    :ivar late: of each trigger that is put on the table under a switch's lock, its name and the transaction.
    :ivar partitions: how many; ``attached``: a hash of which, and since when. :ivar rest: a hash of all others.
    """

    late: tuple[str, ...]
    partitions: int
    attached: str
    rest: str


def marks(connection: Connection[Any], table: str, name: str = "") -> Marks | None:
    """Return the marks of a table's log; None when there is no such table.

    :param table: as SQL takes its name. :param name: what the log's names begin with; by default the table's.
    """
    rows = ask(connection, _TABLE, (table,))
    if not rows:
        return None
    oid, schema, called, partitioned = rows[0]
    given = {
        "oid": oid,
        "late": list(log_triggers(partitioned=partitioned)),
        "functions": [quoted(schema, one) for one in log_functions(name or called, partitioned=partitioned)],
    }
    late, partitions, attached, rest = connection.execute(_MARKS.encode(), given).fetchall()[0]
    return Marks(tuple(late), partitions, _hash(attached), _hash(rest))


def promised(connection: Connection[Any], table: str, name: str) -> Marks:
    """Return the marks that a table's log will have once its triggers are there too: ``late`` are names alone."""
    found = marks(connection, table, name)
    assert found is not None
    return Marks(tuple(sorted(log_triggers(partitioned=found.partitions > 0))), *_others(found))


def fulfilled(promise: Marks, transaction: str) -> Marks:
    """Return what of a promise comes true when a transaction makes the triggers."""
    return Marks(tuple(f"{name}={transaction}" for name in promise.late), *_others(promise))


def _others(found: Marks) -> tuple[int, str, str]:
    return found.partitions, found.attached, found.rest


def _hash(text: str | None) -> str:
    # Not for secrets.
    return hashlib.sha256((text or "").encode()).hexdigest()[:16]


def save(journal: Journal, found: Mapping[str, Marks]) -> None:
    """Keep the marks of a proof, by the plan's names of the tables."""
    journal.save(PART, {table: asdict(one) for table, one in found.items()})


def doubts(saved: Mapping[str, Any], table: str, now: Marks | None) -> str:
    """Say why what has been proven of a table may not be true any more; empty when nothing speaks against it."""
    known = saved.get(table)
    if known is None or now is None:
        return f"It is not known on what the last proof of {table} stands."
    if now.partitions < known["partitions"]:
        return f"{known['partitions'] - now.partitions} partitions of {table} were detached since the last proof."
    if now.partitions != known["partitions"] or now.attached != known["attached"]:
        return f"Partitions of {table} were detached or attached since the last proof."
    if list(now.late) != list(known["late"]) or now.rest != known["rest"]:
        return f"Somebody altered the triggers that log what is written to {table} since the last proof."
    return ""


def check(connection: Connection[Any], journal: Journal, tables: Iterable[tuple[str, str]]) -> None:
    """See that the last proof still stands; in a transaction or not.

    :param tables: the plan's name of each, and its present one in full.
    :raises CutoverError: when it does not: rows may have been written that nobody has followed.
    """
    saved = journal.load(PART)
    found = [said for table, live in tables if (said := doubts(saved, table, marks(connection, live)))]
    if found:
        what = f"{' '.join(found)} What was written meanwhile may be on one side only."
        raise CutoverError(
            what, "Attach again what was detached, press `verify`, look at what differs, then try again."
        )
