"""Whether an index pays: its access path asked with it and without it.

Without it is exact where the index is not there yet. Of one that is there PostgreSQL is told, in a transaction that is
undone, that it is not valid: the planner then leaves it alone, nobody else sees that, and no lock but that of its row
in the catalog is held. It needs a superuser. Else it can be dropped in a transaction that is undone, for which whoever
reads the table waits, so that is done only when asked for. ``enable_indexscan = off`` would be no measure: it
forbids all other indexes, too, and the planner would have taken the next best.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bedplate.database.errors import said
from bedplate.database.indexes.ddl import made_on_sqlite, quoted
from bedplate.database.indexes.declaration import MATCHES, Index
from bedplate.problems import BedplateError

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["DROPPED", "Measured", "Timing", "hidden", "measured", "verdict"]

#: How often each sample is asked; the first time only warms the cache.
RUNS = 5
SAMPLES = 5
#: Times that it must be faster to pay.
PAYS = 1.5
#: Rows below which nothing can be told: a table of a few pages is read in full as fast.
FEW = 1_000
#: Seconds that a statement may take.
LONGEST = 60.0
#: Seconds that a table may be kept from all others while an index is dropped to compare, all statements together.
DROPPED = 2.0

_TOO_LONG = (
    f"without it, it takes longer than the {DROPPED:g} s for which others may be kept waiting: measure on a copy, or "
    "as a superuser, who can hide it"
)
#: Steps of SQLite's machine after which it looks at the clock.
_STEPS = 10_000

#: Of what is not partitioned the tree is empty.
_TREE = """SELECT to_regclass(%(name)s)::oid::bigint
UNION SELECT relid::oid::bigint FROM pg_partition_tree(to_regclass(%(name)s))"""
_HIDE = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = ANY(%(found)s::bigint[]::oid[])"
#: What is asked to be measured is no use of an index; only a superuser may say so.
_UNCOUNTED = "SELECT set_config('track_counts', 'off', true) FROM pg_roles WHERE rolname = current_user AND rolsuper"
_NAMES = "SELECT relid::regclass::text FROM pg_partition_tree(to_regclass(%(name)s))"


@dataclass(frozen=True, slots=True)
class Timing:
    """What an access path took.

    :ivar milliseconds: the median of all samples. :ivar nodes: what was read, how: ``Seq Scan on orders``.
    :ivar buffers: pages that were touched, in the median; None where nobody counts. :ivar used: whether by the index.
    """

    milliseconds: float
    nodes: tuple[str, ...]
    buffers: int | None
    used: bool

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return {
            "milliseconds": round(self.milliseconds, 4),
            "nodes": list(self.nodes),
            "buffers": self.buffers,
            "used": self.used,
        }


@dataclass(frozen=True, slots=True)
class Measured:
    """An access path with its index and without it; None where that was not measured, and ``why`` says why."""

    index: Index
    rows: int
    without: Timing | None
    within: Timing | None
    why: str = ""

    @property
    def times(self) -> float | None:
        """How much faster it is with the index."""
        if self.without is None or self.within is None:
            return None
        return self.without.milliseconds / max(self.within.milliseconds, 0.001)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        times = self.times
        return {
            "name": self.index.name,
            "rows": self.rows,
            "without": None if self.without is None else self.without.to_json(),
            "with": None if self.within is None else self.within.to_json(),
            "times": None if times is None else round(times, 2),
            "verdict": verdict(self),
            "why": self.why or None,
        }


def verdict(measured: Measured) -> str:
    """Return in words whether an index pays."""
    within, times = measured.within, measured.times
    if within is None:
        return "not measured"
    if measured.rows < FEW:
        return "too few rows to tell"
    if not within.used:
        return "not used by its path" + (", kept for uniqueness" if measured.index.unique else "")
    if times is None:
        return "used"
    if times < PAYS:
        return "does not pay"
    return f"pays: {times:,.0f} times faster" if times >= 10 else f"pays: {times:.1f} times faster"


def measured(connection: Connection, index: Index, *, within: float | None = None) -> tuple[Timing | None, str]:
    """Ask an access path; return what it took, or None and why it could not be asked. In a transaction to be undone.

    :param within: seconds that all of it may take, where others wait for it.
    """
    ends = None if within is None else time.monotonic() + within
    server = connection.dialect.name == "postgresql"
    try:
        if server:
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(LONGEST * 1000)}")
            connection.exec_driver_sql("SET LOCAL transaction_read_only = on")
            connection.exec_driver_sql(_UNCOUNTED)
        # Samples may be looked up by the index that is not there.
        _in_time(connection, ends)
        samples = _samples(connection, index)
        if not samples:
            return None, "its sample query returns no row"
        ask = _asked_of_server if server else _asked_of_file
        return ask(connection, index, samples, ends), ""
    except BedplateError as error:
        return None, str(error)
    except Exception as error:
        if ends is not None and time.monotonic() >= ends:
            return None, _TOO_LONG
        return None, f"its path fails: {said(error)}"
    finally:
        if ends is not None and not server:
            _raw(connection).set_progress_handler(None, 0)


def rows(connection: Connection, index: Index) -> int:
    """Return about how many rows a table has; 0 when there is none."""
    if connection.dialect.name == "sqlite":
        try:
            return int(connection.exec_driver_sql(f"SELECT count(*) FROM {quoted(index.plain_table)}").scalar() or 0)
        except Exception:
            return 0
    counted = (
        "SELECT coalesce(sum(greatest(c.reltuples, s.n_live_tup, 0)), 0)::bigint"
        " FROM pg_class c LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid WHERE c.relkind <> 'p' AND c.oid IN"
        " (SELECT to_regclass(%(name)s)::oid UNION SELECT relid FROM pg_partition_tree(to_regclass(%(name)s)))"
    )
    return int(connection.exec_driver_sql(counted, {"name": quoted(index.table)}).scalar() or 0)


def _samples(connection: Connection, index: Index) -> list[dict[str, Any]]:
    from sqlalchemy import text

    path, dialect = index.path, connection.dialect.name
    if isinstance(path.sample, Mapping):
        found = [dict(path.sample)]
    elif path.sample:
        found = [dict(row) for row in connection.execute(text(path.sample)).mappings().fetchmany(SAMPLES)]
    else:
        found = [{}]
    if index.form is not None:
        found = [
            {name: index.form.value(str(value), dialect) if name == "words" else value for name, value in one.items()}
            for one in found
        ]
    return found


def _statement(index: Index, dialect: str) -> str:
    statement = index.path.statement
    if index.form is not None:
        # A colon before a letter begins a parameter; there is none in a condition but its own.
        statement = statement.replace(MATCHES, index.form.condition(index, dialect))
    return statement


def _in_time(connection: Connection, ends: float | None) -> None:
    """See that all who wait for a table wait no longer than was said.

    :raises BedplateError: when the time is over.
    """
    if ends is None:
        return
    left = ends - time.monotonic()
    if left <= 0:
        raise BedplateError(_TOO_LONG)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {max(1, int(left * 1000))}")
    else:
        _raw(connection).set_progress_handler(lambda: time.monotonic() >= ends, _STEPS)


def _raw(connection: Connection) -> Any:
    return connection.connection.dbapi_connection


def _asked_of_server(connection: Connection, index: Index, samples: list[dict[str, Any]], ends: float | None) -> Timing:
    from sqlalchemy import text

    tree = connection.exec_driver_sql(_NAMES, _name(connection, index))
    names = {row[0].rpartition(".")[2].strip('"') for row in tree}
    # Without the times of single nodes, whose clock costs more than they do.
    question = text(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {_statement(index, 'postgresql')}")
    taken, pages, nodes = [], [], dict[str, None]()
    for sample in samples:
        for run in range(RUNS + 1):
            _in_time(connection, ends)
            found = connection.execute(question, sample).scalar_one()
            explained = (json.loads(found) if isinstance(found, str) else found)[0]
            if run:
                taken.append(explained["Execution Time"])
                plan = explained["Plan"]
                pages.append(plan.get("Shared Hit Blocks", 0) + plan.get("Shared Read Blocks", 0))
                nodes.update(dict.fromkeys(_scans(plan)))
    used = any(node.endswith(f" {name}") for node in nodes for name in {*names, index.name})
    return Timing(statistics.median(taken), tuple(nodes), int(statistics.median(pages)), used)


def _scans(plan: Mapping[str, Any]) -> Iterator[str]:
    name = plan.get("Index Name")
    if name is not None:
        yield f"{plan['Node Type']} on {name}"
    elif "Relation Name" in plan and not plan.get("Plans"):
        yield f"{plan['Node Type']} on {plan['Relation Name']}"
    for inner in plan.get("Plans", ()):
        yield from _scans(inner)


def _asked_of_file(connection: Connection, index: Index, samples: list[dict[str, Any]], ends: float | None) -> Timing:
    from sqlalchemy import text

    statement = _statement(index, "sqlite")
    taken, nodes = [], dict[str, None]()
    for sample in samples:
        lines = connection.execute(text(f"EXPLAIN QUERY PLAN {statement}"), sample).all()
        nodes.update(dict.fromkeys(str(line[3]) for line in lines if str(line[3]).startswith(("SCAN", "SEARCH"))))
        for run in range(RUNS + 1):
            _in_time(connection, ends)
            began = time.perf_counter()
            connection.execute(text(statement), sample).all()
            if run:
                taken.append((time.perf_counter() - began) * 1000)
    made = [one.name for one in made_on_sqlite(index) if one.kind == "index"]
    kept = index.form is not None and index.form.kept
    used = (
        any("VIRTUAL TABLE INDEX" in node for node in nodes)
        if kept
        else any(name in node.split() for node in nodes for name in made)
    )
    return Timing(statistics.median(taken), tuple(nodes), None, used)


@contextmanager
def hidden(connection: Connection, index: Index, *, drop: bool) -> Iterator[tuple[str, bool]]:
    """Let an index not be there for the rest of a transaction that is undone.

    Yields why not, empty where it is so, and whether others wait for it until the end.

    :param drop: whether it may be dropped meanwhile, for which all who read the table wait.
    """
    if connection.dialect.name == "sqlite":
        yield _hidden_in_file(connection, index, drop), drop
        return
    superuser = connection.exec_driver_sql("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").scalar()
    name = _name(connection, index)
    if superuser:
        found = [row[0] for row in connection.exec_driver_sql(_TREE, name)]
        connection.exec_driver_sql(_HIDE, {"found": found})
        yield "", False
    elif drop:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '200ms'")
        try:
            connection.exec_driver_sql(f"DROP INDEX {name['name']}")
        except Exception as error:
            yield f"it cannot be dropped for a moment: {said(error)}", False
            return
        yield "", True
    else:
        why = "only a superuser can hide an index; --drop-to-compare drops it for the time of the measurement"
        yield why, False


def _hidden_in_file(connection: Connection, index: Index, drop: bool) -> str:
    if index.form is not None and index.form.kept:
        return "SQLite finds nothing without it"
    if not drop:
        return "SQLite can only drop it for a moment, for which writers wait: --drop-to-compare"
    for made in made_on_sqlite(index):
        connection.exec_driver_sql(f"DROP INDEX IF EXISTS {quoted(made.name)}")
    return ""


def _name(connection: Connection, index: Index) -> dict[str, str]:
    schema = connection.exec_driver_sql(
        "SELECT quote_ident(n.nspname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.oid = to_regclass(%(name)s)",
        {"name": quoted(index.table)},
    ).scalar()
    return {"name": f"{schema}.{quoted(index.name)}" if schema else quoted(index.name)}
