"""Keys and indexes in bulk, once the rows are in: on each partition by itself, several at once, then on the whole.

An index that is made on a partitioned table takes the partitions' own where they are alike, and only a moment then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bedplate.database.cutover.asking import ask, locally, quoted, transaction
from bedplate.database.cutover.layout import Layout, Statement, layout, partition_name
from bedplate.database.cutover.steps.pairs import pairs
from bedplate.database.cutover.steps.replay import Replay
from bedplate.database.cutover.steps.together import analyze, together
from bedplate.database.cutover.work import Pair, Work

__all__ = ["index", "others"]

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
        analyze(work, found)


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

    def told(count: int, done: int) -> None:
        work.meter.total(pair.table, done, len(jobs))
        work.meter.rows(pair.table, "index", count)

    together(work, jobs, told=told)
    for one in missing:
        with transaction(work.connection):
            locally(work.connection, statement_timeout="0")
            ask(work.connection, one.sql)
        work.journal.note("index made", table=pair.table, index=one.name)


def others(work: Work, found: Layout) -> None:
    """Make statistics, and say of all what their comments say."""
    there = _there(work, found)
    named = [quoted(found.source.schema, name) for name in there]
    with transaction(work.connection):
        for one in found.statements:
            statistics = one.part == "indexes" and not one.name
            if one.part == "words" or (statistics and not any(f" STATISTICS {name} " in one.sql for name in named)):
                ask(work.connection, one.sql)
