"""Copying the rows, chunk by chunk, each with its checkpoint in one transaction.

A chunk is one statement with its own snapshot, and nothing keeps rows from changing before and after it. That is the
key log's: whatever is written since it is in place is done again, from the live table as it is then.
"""

from __future__ import annotations

import time
from dataclasses import replace

from bedplate.database.cutover.asking import changed, locally, quoted, transaction
from bedplate.database.cutover.steps.chunks import Chunks, heavy
from bedplate.database.cutover.steps.follow import Follower
from bedplate.database.cutover.steps.pairs import pairs
from bedplate.database.cutover.work import Pair, Work

__all__ = ["backfill"]

#: Rows of a chunk: on a busy server even a few take long, and to begin with each costs as much as some hundreds.
_FEWEST, _MOST = 500, 100_000


def backfill(work: Work) -> None:
    """Copy all rows that were there before the key logs; what was copied before is not copied again.

    :raises Stopped: between two chunks.
    """
    if work.plan.mode == "dual-write":
        from bedplate.database.cutover import dualwrite

        dualwrite.backfill(work)
        return
    for pair in pairs(work.connection, work.plan):
        chunks = Chunks.fixed(work, pair)
        columns, weighed = Follower(work.connection, pair).columns, heavy(work.connection, pair)
        while not chunks.done:
            began = time.monotonic()
            before, chunks = chunks, _chunk(work, pair, chunks, columns, weighed)
            worked = time.monotonic() - began
            work.meter.rows(pair.table, "backfill", chunks.rows - before.rows)
            work.meter.total(pair.table, chunks.rows, max(chunks.of, chunks.rows))
            chunks = replace(chunks, size=_size(chunks.size, work.pace.seconds, worked))
            work.pace.rest(worked, chunks.rows - before.rows)


def _chunk(work: Work, pair: Pair, chunks: Chunks, columns: str, weighed: tuple[str, ...] = ()) -> Chunks:
    connection = work.connection
    assert chunks.last is not None
    with transaction(connection, "ISOLATION LEVEL READ COMMITTED"):
        locally(
            connection,
            enable_seqscan="off",
            jit="off",
            # Rows that row security hides must not stay behind.
            row_security="off",
            statement_timeout="0",
            # A crash that takes the chunk takes its checkpoint, too: neither has to be on disk before the next.
            synchronous_commit="off",
            work_mem="64MB",
        )
        end = chunks.end(connection, pair, weighed, work.pace.seconds)
        where, values = chunks.between(chunks.upto, end or chunks.last)
        by = chunks.by if chunks.order[0] == work.plan.key else f"t.{quoted(work.plan.key)}"
        statement = (
            f"INSERT INTO {pair.shadow} ({columns}) OVERRIDING SYSTEM VALUE "
            f"SELECT {columns} FROM ONLY {pair.live} t WHERE {where} ORDER BY {by}"
        )
        rows = changed(connection, statement, values)
        chunks = replace(chunks, rows=chunks.rows + rows, upto=end or chunks.last, done=end is None)
        chunks.save(work, pair)
    return chunks


def _size(size: int, wanted: float, took: float) -> int:
    return int(min(max(size * min(max(wanted / max(took, 1e-4), 0.5), 2.0), _FEWEST), _MOST))
