"""P16b: how fast two tables are compared to the last bit."""

from __future__ import annotations

import time
from typing import Any

from bedplate.database.cutover import Plan, compare, layout
from benchmarks.lab import Lab
from benchmarks.results import Goal, Measure, Row
from benchmarks.spread import Spread
from benchmarks.suites import Suite

__all__ = ["SUITE"]

PARTITIONS = 16
LEAST = 1.3
UNIT = "M rows/s a core"

TEXT = f"""\
A table of transactions (two bigint, integer, numeric(14, 2), two text, timestamptz) and its twin of {PARTITIONS} hash
partitions are compared in one go by `bedplate cutover compare`, on a PostgreSQL 18 of its own with everything in its
cache. What counts is the processor time of the server process that reads both, so other work on the machine takes
nothing from it; rows of both tables count. Beside it: `sum(hash_record_extended(t, 0))` over the plain table and over
the twin, which sees neither signs of numerics nor values that two rows have exchanged."""

_FILL = """INSERT INTO moved SELECT i, (i::bigint * 7919) % 100000, i % 50, (i % 100000)::numeric / 100,
    'EUR', 'payment no ' || i, timestamptz '2026-01-01 UTC' + i * interval '1 s' FROM generate_series(1, {}) i"""


def run(lab: Lab) -> list[Row]:
    """Measure the comparison, and a bare scan beside it."""
    import psycopg

    from tests.postgres import postgres

    rows = lab.scale(3_000_000, 300_000)
    lab.say(f"P16b: two tables of {rows:,} rows compared")
    ours, bare, wall = [], [], []
    with (
        postgres(18, "shared_buffers=1GB") as server,
        psycopg.connect(server.database(), autocommit=True) as connection,
    ):
        connection.execute(
            """CREATE TABLE moved (id bigint PRIMARY KEY, organization_id bigint NOT NULL, account_id int NOT NULL,
            amount numeric(14, 2) NOT NULL, currency text NOT NULL, description text,
            created_at timestamptz NOT NULL)"""
        )
        connection.execute(_FILL.format(rows).encode())
        twin = layout(connection, Plan(tables="moved", key="organization_id", partitions=PARTITIONS), "moved")
        twin.execute(connection)
        connection.execute(f"INSERT INTO {twin.twin} SELECT * FROM moved".encode())
        connection.execute("VACUUM ANALYZE")
        connection.execute("SET max_parallel_workers_per_gather = 0; SET jit = off")
        compare(connection, "moved", twin.twin)
        for _ in range(lab.scale(5, 3)):
            before, began = _cpu(connection), time.perf_counter()
            found = compare(connection, "moved", twin.twin)
            wall.append(time.perf_counter() - began)
            between = _cpu(connection)
            assert found.equal and found.rows == (rows, rows), found
            for table in ("moved", twin.twin):
                connection.execute(f"SELECT sum(hash_record_extended(t, 0)) FROM {table} t".encode())
            ours.append(2 * rows / (between - before) / 1e6)
            bare.append(2 * rows / (_cpu(connection) - between) / 1e6)
    measure = Measure("Bedplate", UNIT, Spread.of(ours))
    peer = Measure("one bare hash_record_extended scan", UNIT, Spread.of(bare))
    return [
        Row(
            "P16b",
            "Comparing a table with its partitioned twin",
            measure,
            (peer,),
            Goal("ours", ">=", LEAST, f"≥ {LEAST:g} M rows/s a core"),
            measure.value / peer.value,
            (f"By the clock of this machine, with whatever else ran: {2 * rows / min(wall) / 1e6:.2f} M rows/s.",),
        )
    ]


def _cpu(connection: Any) -> float:
    """Return the processor seconds of the server process that serves a connection."""
    import psutil

    spent = psutil.Process(connection.info.backend_pid).cpu_times()
    return float(spent.user + spent.system)


SUITE = Suite("Parity of two tables", ("P16b",), TEXT, run)
