"""A look at a cutover from outside: its row, its tables, who writes, who lags, who stands in the way."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover import proof
from bedplate.database.cutover.asking import ask, quoted
from bedplate.database.cutover.layout import twin_name
from bedplate.database.cutover.machine.following import Following
from bedplate.database.cutover.machine.record import Book, Event, Record
from bedplate.database.cutover.plan import Plan
from bedplate.database.cutover.work import State

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["Side", "Sight", "TableSight", "free_bytes", "look"]

#: Seconds from which a transaction that holds one of the tables stands in a switch's way.
_OLD = 5.0


@dataclass(frozen=True, slots=True)
class Side:
    """A table of a pair. :ivar rows: as the statistics believe. :ivar size: bytes with indexes and partitions.

    :ivar written: rows ever written, as the statistics count; they start anew with a crash.
    """

    name: str
    partitioned: bool
    rows: int
    size: int
    written: int
    partitions: int = 0


@dataclass(frozen=True, slots=True)
class TableSight:
    """A table of the plan, and the one beside it.

    :ivar live: what has the table's name now. :ivar shadow: the other one, None when there is none.
    :ivar counts: rows of both as of the last comparison. :ivar differing: rows that differed then.
    :ivar recent: rows written lately, to the live table and to its shadow; None after the first look.
    """

    table: str
    live: Side | None
    shadow: Side | None
    counts: tuple[int, int] | None = None
    differing: int = 0
    recent: tuple[int, int] | None = None
    pending: int = 0

    @property
    def delta(self) -> int | None:
        """By how many rows the counts differed that no log of keys explains; what is to be replayed is no loss."""
        return None if self.counts is None else min(abs(self.counts[0] - self.counts[1]), self.differing)


@dataclass(frozen=True, slots=True)
class Sight:
    """What a look saw.

    :ivar runs: whether a worker holds the cutover. :ivar verified_age: seconds since both sides were proven equal.
    :ivar lag: seconds that the last replica is behind; None when there is none. :ivar blockers: who stands in the way
        of a lock, in words. :ivar free: bytes free where the server's data is, None when that cannot be seen from here.
    :ivar doubts: why what was proven of a table may not be true any more, in sentences.
    """

    at: float
    record: Record | None
    runs: bool = False
    tables: Sequence[TableSight] = ()
    events: Sequence[Event] = ()
    progress: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    verified_age: float | None = None
    lag: float | None = None
    blockers: Sequence[str] = ()
    free: int | None = None
    doubts: Sequence[str] = ()


_SIDES = """
WITH root AS (SELECT to_regclass(%s) AS oid), leaves AS (
  SELECT p.relid FROM root, pg_partition_tree(root.oid) p WHERE p.isleaf
  UNION SELECT c.oid FROM root JOIN pg_class c ON c.oid = root.oid WHERE c.relkind <> 'p')
SELECT c.relkind = 'p', (SELECT count(*) FROM leaves),
  (SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint FROM leaves),
  coalesce(sum(s.n_live_tup), 0)::bigint, coalesce(sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del), 0)::bigint
FROM root JOIN pg_class c ON c.oid = root.oid LEFT JOIN leaves ON true
LEFT JOIN pg_stat_all_tables s ON s.relid = leaves.relid GROUP BY c.relkind"""

_BLOCKERS = """
SELECT format('%%s (pid %%s%%s) has had a transaction open on %%s for %%s s', coalesce(nullif(a.application_name, ''),
    'somebody'), a.pid, ', ' || a.usename, min(l.relation::regclass::text),
    round(extract(epoch FROM clock_timestamp() - a.xact_start)))
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted AND l.relation = ANY(%s::regclass[])
  AND a.xact_start < clock_timestamp() - make_interval(secs => %s) AND a.application_name NOT LIKE 'bedplate cutover%%'
GROUP BY a.pid, a.application_name, a.usename, a.xact_start ORDER BY a.xact_start LIMIT 5"""

#: Who holds no table yet, and would see what was before a switch if he read one afterwards.
_SNAPSHOTS = """
SELECT format('%%s (pid %%s%%s) has kept a snapshot for %%s s', coalesce(nullif(a.application_name, ''), 'somebody'),
    a.pid, ', ' || a.usename, round(extract(epoch FROM clock_timestamp() - a.xact_start)))
FROM pg_stat_activity a WHERE a.datname = current_database() AND a.backend_type = 'client backend'
  AND a.pid <> pg_backend_pid() AND a.backend_xmin IS NOT NULL
  AND NOT (a.state = 'active' AND a.xact_start = a.query_start)
  AND a.xact_start < clock_timestamp() - make_interval(secs => %s) AND a.application_name NOT LIKE 'bedplate cutover%%'
  AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.locktype = 'relation' AND l.granted
    AND l.relation = ANY(%s::regclass[]))
ORDER BY a.xact_start LIMIT 5"""


def look(
    connection: Connection[Any],
    name: str,
    plan: Plan | None,
    before: Sight | None = None,
    *,
    events: int = 50,
    old: float = _OLD,
    following: Following | None = None,
) -> Sight:
    """Look once.

    :param plan: what the cutover is to move, where its row does not say it yet. :param before: what was seen last.
    :param old: seconds from which a transaction that holds one of the tables is told. :param following: what was seen
        of replicas before.
    """
    book = Book(connection, name)
    record = book.read()
    if record is not None and (plan is None or record.state != "none"):
        plan = record.plan
    progress = book.progress() if record is not None else {}
    tables = [_table(connection, one, record, progress, before) for one in (plan.tables if plan is not None else ())]
    lag = (following or Following()).lag(connection)
    age = ask(
        connection,
        "SELECT extract(epoch FROM clock_timestamp() - %s::timestamptz)::float8",
        (None if record is None else record.verified_at,),
    )[0][0]
    names = [quoted_text for one in tables for quoted_text in (one.table, *([one.shadow.name] if one.shadow else []))]
    present = [one for one in names if ask(connection, "SELECT to_regclass(%s) IS NOT NULL", (one,))[0][0]]
    blockers = [row[0] for row in ask(connection, _BLOCKERS, (present, old))]
    blockers += [row[0] for row in ask(connection, _SNAPSHOTS, (old, present))]
    return Sight(
        at=time.monotonic(),
        record=record,
        runs=book.runs(),
        tables=tables,
        events=book.timeline(events),
        progress=progress,
        verified_age=age,
        lag=lag,
        blockers=blockers,
        free=free_bytes(connection),
        doubts=_doubts(connection, book),
    )


def _doubts(connection: Connection[Any], book: Book) -> tuple[str, ...]:
    """Say what somebody has done to the logs or the partitions since the last proof."""
    stands = _proven(book)
    if stands is None:
        return ()
    _, tables, saved = stands
    found = tuple(said for table in tables if (said := proof.doubts(saved, table, proof.marks(connection, table))))
    # What was switched, taken back or compared anew between two statements was touched by the cutover itself.
    return found if found and _proven(book) == stands else ()


def _proven(book: Book) -> tuple[State, Sequence[str], Mapping[str, Any]] | None:
    """Return what was proven of which tables, where something is built on it."""
    record = book.read()
    saved = book.progress().get(proof.PART)
    if record is None or saved is None or record.state not in ("verified", "switched"):
        return None
    # Undoing takes the logs away first, one after the other, and its state last.
    if record.state == "verified" and record.wanted == "rolled-back":
        return None
    return record.state, record.plan.tables, saved


def _table(
    connection: Connection[Any],
    table: str,
    record: Record | None,
    progress: Mapping[str, Mapping[str, Any]],
    before: Sight | None,
) -> TableSight:
    live = _side(connection, table)
    shadow = None
    for candidate in _shadows(connection, table):
        if (shadow := _side(connection, candidate)) is not None:
            break
    verdict = dict(record.verdict) if record is not None else {}
    rows = verdict.get("rows", {}).get(table)
    pending = progress.get("pending", {}).get(table, 0)
    seen = TableSight(
        table,
        live,
        shadow,
        counts=(int(rows[0]), int(rows[1])) if rows else None,
        differing=int(verdict.get("differing", {}).get(table, 0)),
        pending=int(pending),
    )
    last = next((one for one in before.tables if one.table == table), None) if before is not None else None
    if last is None or live is None or shadow is None or last.live is None or last.shadow is None:
        return seen
    if (last.live.name, last.live.partitioned, last.shadow.name) != (live.name, live.partitioned, shadow.name):
        return seen  # switched since
    recent = (max(0, live.written - last.live.written), max(0, shadow.written - last.shadow.written))
    return replace(seen, recent=recent)


def _shadows(connection: Connection[Any], table: str) -> list[str]:
    """Return the names, in full, that the other side may have."""
    rows = ask(
        connection,
        """SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = to_regclass(%s)""",
        (table,),
    )
    if not rows:
        return []
    schema, name = rows[0]
    return [quoted(schema, twin_name(name, suffix)) for suffix in ("_partitioned", "_legacy")]


def _side(connection: Connection[Any], name: str) -> Side | None:
    rows = ask(connection, _SIDES, (name,))
    if not rows:
        return None
    partitioned, partitions, size, live, written = rows[0]
    return Side(name, partitioned, live, size, written, partitions if partitioned else 0)


def free_bytes(connection: Connection[Any]) -> int | None:
    """Return the bytes free on the server's disk, where it is this machine's."""
    if not (connection.info.host.startswith("/") or connection.info.host in ("localhost", "127.0.0.1", "::1")):
        return None
    try:
        folder = ask(connection, "SELECT current_setting('data_directory')")[0][0]
        return shutil.disk_usage(Path(folder)).free
    except Exception:
        return None  # not ours to see
