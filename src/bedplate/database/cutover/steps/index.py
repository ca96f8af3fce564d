"""Keys and indexes in bulk, once the rows are in: on each partition by itself, several at once, then on the whole.

An index that is made on a partitioned table takes the partitions' own where they are alike, and only a moment then.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import ask, locally, quoted, transaction
from bedplate.database.cutover.layout import Layout, Statement, layout, partition_name
from bedplate.database.cutover.steps.pairs import pairs
from bedplate.database.cutover.steps.replay import Replay
from bedplate.database.cutover.work import Pair, Work

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["index", "others"]

#: As many at once as the server allows itself for one index, but no more than so many.
_AT_ONCE = 8
_NAMES = """SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind IN ('i', 'I')
UNION SELECT x.stxname FROM pg_catalog.pg_statistic_ext x JOIN pg_catalog.pg_namespace n ON n.oid = x.stxnamespace
WHERE n.nspname = %s"""


def index(work: Work) -> None:
    """Make all keys and indexes that the twins still lack, and let the planner look at them.

    :raises Stopped: between two indexes of a partition.
    """
    if work.plan.mode == "dual-write":
        from bedplate.database.cutover import dualwrite

        dualwrite.index(work)
        return
    for pair in pairs(work.connection, work.plan):
        found = layout(work.connection, work.plan, pair.table)
        made = [one for one in found.statements if one.name]
        primary = [one for one in made if one.part == "keys" and one.after.startswith("PRIMARY KEY")]
        unique = [one for one in made if one.unique and one not in primary]
        _primary(work, pair, found, [*primary, *(one for one in made if not one.unique)])
        if _missing(work, found, unique):
            # Rows were copied at different moments; only as of one is what is unique unique.
            replay = Replay(work, pair)
            replay.drain()
            replay.everything()
            _build(work, pair, found, unique)
        others(work, found)
        ask(work.connection, f"ANALYZE {found.twin}")


def _primary(work: Work, pair: Pair, found: Layout, statements: list[Statement]) -> None:
    from psycopg.errors import UniqueViolation

    try:
        _build(work, pair, found, statements)
    except UniqueViolation:
        # A row that was changed between two chunks may have come with both. What was changed is in the key log, and
        # is copied anew from there.
        replay = Replay(work, pair)
        with transaction(work.connection):
            locally(work.connection, work_mem="64MB", statement_timeout="0")
            _identified(work, found, "FULL")
            removed = replay.follower.forget(work.connection, replay.log)
            _identified(work, found, "DEFAULT")
            work.journal.note("rows copied twice", table=pair.table, removed=removed)
        _build(work, pair, found, statements)


def _identified(work: Work, found: Layout, how: str) -> None:
    """Let rows be removed from partitions without a primary key, which they could not be where all is published."""
    source = found.source
    if source.replica_identity == "d":
        for number in range(work.plan.partitions):
            partition = quoted(source.schema, partition_name(source.name, number))
            ask(work.connection, f"ALTER TABLE {partition} REPLICA IDENTITY {how}")


def _missing(work: Work, found: Layout, statements: Iterable[Statement]) -> list[Statement]:
    there = _there(work, found)
    return [one for one in statements if one.name not in there]


def _there(work: Work, found: Layout) -> set[str]:
    schema = found.source.schema
    return {row[0] for row in ask(work.connection, _NAMES, (schema, schema))}


def _build(work: Work, pair: Pair, found: Layout, statements: Sequence[Statement]) -> None:
    source, count = found.source, work.plan.partitions
    missing = _missing(work, found, statements)
    there = _there(work, found)
    jobs = []
    for number in range(count):
        partition = quoted(source.schema, partition_name(source.name, number))
        for one in missing:
            name = partition_name(one.name, number)
            if name not in there:
                jobs.append(one.on(partition, name))
    _carry_out(work, pair, jobs)
    for one in missing:
        with transaction(work.connection):
            locally(work.connection, statement_timeout="0")
            ask(work.connection, one.sql)
        work.journal.note("index made", table=pair.table, index=one.name)


def _carry_out(work: Work, pair: Pair, jobs: Sequence[str]) -> None:
    """Carry out statements, several at once, each in a connection of its own."""
    if not jobs:
        return
    allowed = int(ask(work.connection, "SHOW max_parallel_maintenance_workers")[0][0])
    several = 1 if work.pace.gentle else min(max(allowed, 1), _AT_ONCE, len(jobs))
    done = 0
    with ExitStack() as stack:
        opened = [stack.enter_context(work.connect()) for _ in range(several)]
        free: queue.SimpleQueue[Connection[Any]] = queue.SimpleQueue()
        for connection in opened:
            _set(connection)
            free.put(connection)
        pool = stack.enter_context(ThreadPoolExecutor(several))
        running: set[Future[float]] = set()
        try:
            for job in jobs:
                running.add(pool.submit(_one, free, job))
                while len(running) >= several:
                    finished, running = wait(running, return_when=FIRST_COMPLETED)
                    worked = max(future.result() for future in finished)
                    done += len(finished)
                    work.meter.total(pair.table, done, len(jobs))
                    work.meter.rows(pair.table, "index", len(finished))
                    work.pace.rest(worked)
            for future in running:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for connection in opened:
                connection.cancel_safe()
            raise


def _one(free: queue.SimpleQueue[Connection[Any]], statement: str) -> float:
    began = time.monotonic()
    connection = free.get()
    try:
        with transaction(connection):
            ask(connection, statement)
    finally:
        free.put(connection)
    return time.monotonic() - began


def _set(connection: Connection[Any]) -> None:
    # Each partition is one process' work; a crash that takes an index takes its entry in the catalog, too.
    memory = "greatest(pg_size_bytes(current_setting('maintenance_work_mem')), 128 << 20) / 1024 || 'kB'"
    settings = {
        "max_parallel_maintenance_workers": "'0'",
        "statement_timeout": "'0'",
        "synchronous_commit": "'off'",
        "maintenance_work_mem": memory,
    }
    calls = ", ".join(f"set_config('{name}', {value}, false)" for name, value in settings.items())
    ask(connection, f"SELECT {calls}")


def others(work: Work, found: Layout) -> None:
    """Make statistics, and say of all what their comments say."""
    there = _there(work, found)
    named = [quoted(found.source.schema, name) for name in there]
    with transaction(work.connection):
        for one in found.statements:
            statistics = one.part == "indexes" and not one.name
            if one.part == "words" or (statistics and not any(f" STATISTICS {name} " in one.sql for name in named)):
                ask(work.connection, one.sql)
