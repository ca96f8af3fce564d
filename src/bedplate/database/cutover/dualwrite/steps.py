"""The steps of a cutover by dual writes, as far as they are not those of the other mode."""

from __future__ import annotations

import time
from dataclasses import replace

from bedplate.database.cutover.asking import CutoverError, ask, changed, locally, quoted, transaction
from bedplate.database.cutover.dualwrite.tombstones import Tombstones
from bedplate.database.cutover.dualwrite.writes import DualWrites
from bedplate.database.cutover.layout import layout
from bedplate.database.cutover.steps.capture import lock, patiently
from bedplate.database.cutover.steps.chunks import Chunks, heavy
from bedplate.database.cutover.steps.pairs import keylog, pairs
from bedplate.database.cutover.work import Pair, Work

__all__ = ["backfill", "capture"]

_FEWEST, _MOST = 50, 100_000
#: So few rows only while writers have some of them: to begin with a chunk costs as much as some hundreds.
_FEW = 500
#: How long a chunk waits for a writer that has the same row in the twin, in milliseconds: shorter than it takes the
#: server to look for deadlocks, so that never a writer is ended for one.
_GIVE_WAY = 60
_TELL = 50
#: Tombstones that may be left for the fence, and how often they are reaped while rows are copied, in seconds: more
#: often, and fewer at once, where others want the processors.
_LEFT, _EVERY, _OFTEN = 200, 1.0, 0.1
#: How often they are reaped gently at the end.
_ROUNDS = 1000


def capture(work: Work) -> None:
    """Put the triggers of each table in place, unless they are there, and fix where its backfill ends.

    Only rows that are committed before the triggers work are not written by them, so that end is read afterwards.

    :raises CutoverError: when a table cannot be moved so, or triggers that have worked are gone: changes were missed.
    """
    for pair in pairs(work.connection, work.plan):
        found = DualWrites(work.connection, pair)
        phase = found.phase
        if phase == "broken" or (phase == "none" and work.journal.load(_part(pair))):
            what = f"The triggers that write the twin of {pair.table} are gone, or one of them is disabled."
            raise CutoverError(what, "Roll the cutover back and begin again: changes were missed.")
        if phase == "none":
            _primary(work, pair)
            # What follows after the switch is laid now: later, triggers on partitions would have to wait for writers.
            keylog(work.connection, pair, of=pair.shadow).lay()
            found.check()
            patiently(work, "capture", pair, lambda found=found: _place(work, found))  # type: ignore[misc]
        Chunks.fixed(work, pair)


def backfill(work: Work) -> None:
    """Copy all rows that were there before the triggers, then make these strict; what was copied before is left.

    :raises Stopped: between two chunks.
    :raises CutoverError: when the triggers are not in place.
    """
    for pair in pairs(work.connection, work.plan):
        found = DualWrites(work.connection, pair)
        if found.phase == "strict":
            continue
        if found.phase != "lenient":
            what = f"The triggers that write the twin of {pair.table} are not in place, or one of them is disabled."
            raise CutoverError(what, "Roll the cutover back and begin again: changes were missed.")
        tombstones = Tombstones(work.connection, found)
        _copy(work, pair, found.columns, tombstones)
        _harden(work, found, tombstones)


def _part(pair: Pair) -> str:
    return f"dualwrite:{pair.table}"


def _primary(work: Work, pair: Pair) -> None:
    """Give the twin its primary key, while it is empty: by it rows are upserted.

    Whatever else is unique comes when triggers are strict. Until then the twin may have rows too many, and a row of
    the service's must not fail for one of them.
    """
    found = layout(work.connection, work.plan, pair.table)
    made = [one for one in found.statements if one.part == "keys" and one.after.startswith("PRIMARY KEY")]
    with transaction(work.connection):
        locally(work.connection, lock_timeout="2s")
        for one in made:
            name = quoted(found.source.schema, one.name)
            if not ask(work.connection, "SELECT to_regclass(%s)", (name,))[0][0]:
                ask(work.connection, one.sql)


def _place(work: Work, found: DualWrites) -> None:
    connection = work.connection
    with transaction(connection):
        for statement in found.early:
            ask(connection, statement)
        lock(connection, found.pair.live)
        began = time.monotonic()
        for statement in found.late:
            ask(connection, statement)
        work.journal.save(_part(found.pair), {"phase": "lenient"})
        work.journal.note("dual writes begin", table=found.pair.table)
    work.meter.held("capture", time.monotonic() - began)


def _copy(work: Work, pair: Pair, columns: str, tombstones: Tombstones) -> None:
    from psycopg.errors import DeadlockDetected, LockNotAvailable

    chunks = Chunks.fixed(work, pair)
    weighed = heavy(work.connection, pair)
    refused, reaped = 0, time.monotonic()
    while not chunks.done:
        began = time.monotonic()
        before = chunks
        try:
            chunks = _chunk(work, pair, chunks, columns, weighed)
        except (LockNotAvailable, DeadlockDetected):
            # Another size does not help against a writer that stays; but fewer rows meet fewer writers.
            chunks = replace(chunks, size=max(chunks.size // 2, _FEWEST))
            refused += 1
            if refused % _TELL == 0:
                work.journal.note("backfill waits for writers", table=pair.table, tries=refused)
            work.pace.rest(max(time.monotonic() - began, 0.01))
            continue
        worked, refused = time.monotonic() - began, 0
        work.meter.rows(pair.table, "backfill", chunks.rows - before.rows)
        work.meter.total(pair.table, chunks.rows, max(chunks.of, chunks.rows))
        factor = min(max(work.pace.seconds / max(worked, 1e-4), 0.5), 2.0)
        chunks = replace(chunks, size=int(min(max(chunks.size * factor, min(_FEW, chunks.size * 2)), _MOST)))
        if time.monotonic() - reaped > (_OFTEN if work.pace.gentle else _EVERY):
            _reap(work, pair, tombstones)
            reaped = time.monotonic()
            worked = reaped - began
        work.pace.rest(worked, chunks.rows - before.rows)


def _reap(work: Work, pair: Pair, tombstones: Tombstones, *, gently: bool = True) -> int:
    """Reap some tombstones, no longer than a chunk takes where others want the processors; return how many."""
    done = tombstones.reap(work.pace.seconds if gently and work.pace.gentle else None)
    work.meter.rows(pair.table, "reap", done)
    return done


def _chunk(work: Work, pair: Pair, chunks: Chunks, columns: str, weighed: tuple[str, ...] = ()) -> Chunks:
    """Copy a chunk. A row that a writer has brought to the twin already is newer than what the chunk has read."""
    connection = work.connection
    assert chunks.last is not None
    with transaction(connection):
        locally(
            connection,
            enable_seqscan="off",
            jit="off",
            lock_timeout=f"{_GIVE_WAY}ms",
            row_security="off",
            statement_timeout="0",
            synchronous_commit="off",
            work_mem="64MB",
        )
        # Before the snapshot: a TRUNCATE shows in older ones, too.
        ask(connection, f"LOCK TABLE ONLY {pair.live} IN ACCESS SHARE MODE")
        end = chunks.end(connection, pair, weighed, work.pace.seconds)
        where, values = chunks.between(chunks.upto, end or chunks.last)
        by = chunks.by if chunks.order[0] == work.plan.key else f"t.{quoted(work.plan.key)}"
        statement = (
            f"INSERT INTO {pair.shadow} ({columns}) OVERRIDING SYSTEM VALUE "
            f"SELECT {columns} FROM ONLY {pair.live} t WHERE {where} ORDER BY {by} ON CONFLICT DO NOTHING"
        )
        rows = changed(connection, statement, values)
        chunks = replace(chunks, rows=chunks.rows + rows, upto=end or chunks.last, done=end is None)
        chunks.save(work, pair)
    return chunks


def _harden(work: Work, found: DualWrites, tombstones: Tombstones) -> None:
    """Reap the last tombstones and make the triggers strict, with writers locked out for a moment."""
    pair, gently = found.pair, True

    def attempt() -> bool:
        nonlocal gently
        for _ in range(_ROUNDS):
            left = tombstones.count(_LEFT + 1)
            work.meter.pending(pair.table, left)
            if left <= _LEFT:
                break
            began = time.monotonic()
            done = _reap(work, pair, tombstones, gently=gently)
            work.pace.rest(time.monotonic() - began, done if gently else 0)
        else:
            # Writers delete as fast as this reaps: it would never end.
            gently = False
        with transaction(work.connection):
            lock(work.connection, pair.live)
            began = time.monotonic()
            if tombstones.count(10 * _LEFT) == 10 * _LEFT:
                # Many rows were deleted just now: not with everybody waiting.
                return False
            # Nobody can be copying: if somebody were, without being the worker any more, this would wait.
            ask(work.connection, f"LOCK TABLE {pair.shadow} IN SHARE ROW EXCLUSIVE MODE")
            reaped = tombstones.reap_all()
            found.harden()
            work.journal.save(_part(pair), {"phase": "strict"})
            work.journal.note("dual writes strict", table=pair.table, reaped=reaped)
        work.meter.held("strict", time.monotonic() - began)
        return True

    while not patiently(work, "strict", pair, attempt):
        work.pace.rest(0.1)
