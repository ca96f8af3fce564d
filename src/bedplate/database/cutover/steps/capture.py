"""Putting the key logs in place, and then saying where the backfill ends."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from bedplate.database.cutover.asking import CutoverError, ask, locally, transaction
from bedplate.database.cutover.keylog import KeyLog
from bedplate.database.cutover.steps.chunks import Chunks
from bedplate.database.cutover.steps.pairs import keylog, pairs
from bedplate.database.cutover.work import Pair, Work

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["PATIENCE", "capture", "lock", "log_changes", "patiently"]

T = TypeVar("T")

#: Seconds for which writers may have to wait behind the worker for a lock.
PATIENCE = 0.15
#: Seconds between two tries: at first, and at most.
_FIRST, _LONGEST = 0.2, 5.0
_TELL = 10

#: How much longer each try may wait where transactions are never shorter, and at most.
_GROWTH, _AT_MOST = 1.3, 1.0
#: Whoever holds the table against the lock for longer than twice the patience: waiting for it is in vain.
_HOLDERS = """SELECT a.pid, extract(epoch FROM clock_timestamp() - a.xact_start)::float8
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.relation = pg_catalog.to_regclass(%s) AND l.granted
  AND l.mode NOT IN ('AccessShareLock', 'RowShareLock') AND a.backend_type = 'client backend'
  AND a.pid <> pg_catalog.pg_backend_pid() AND a.xact_start < clock_timestamp() - make_interval(secs => %s)"""


def capture(work: Work) -> None:
    """Let changes be known from now on, and fix where each table's backfill ends.

    :raises CutoverError: when what has worked is gone: then changes were missed.
    """
    if work.plan.mode == "dual-write":
        from bedplate.database.cutover import dualwrite

        dualwrite.capture(work)
        return
    log_changes(work)


def log_changes(work: Work) -> None:
    """Put the key log of each table in place, unless it is there, and fix where its backfill ends.

    Only rows that are committed before the log works are not in it, so the backfill's end is read after that.

    :raises CutoverError: when a log that has worked is gone: then changes were missed.
    """
    for pair in pairs(work.connection, work.plan):
        log = keylog(work.connection, pair)
        part = f"capture:{pair.table}"
        if log.intact:
            pass
        elif work.journal.load(part):
            what = f"The key log of {pair.table} was in place and is not any more, or a trigger of it is disabled."
            raise CutoverError(what, "Roll the cutover back and begin again: changes were missed.")
        elif log.exists:
            raise CutoverError(f"There is a table {log.sql} that is no key log.", "Rename or drop it.")
        else:
            tries = itertools.count(1)
            patiently(work, "capture", pair, lambda: _place(work, log, part, _patience(next(tries))))  # noqa: B023
        Chunks.fixed(work, pair)


def patiently(work: Work, what: str, pair: Pair, attempt: Callable[[], T]) -> T:
    """Try something that needs a lock on a live table until it succeeds, without a queue behind it.

    :param attempt: raises LockNotAvailable when somebody had the lock for longer than its patience.
    :raises Stopped: when the worker is to stop meanwhile.
    """
    from psycopg.errors import DeadlockDetected, LockNotAvailable

    pause, tries = _FIRST, 0
    while True:
        tries += 1
        asked = (pair.live, 2 * _patience(tries))
        holders = ask(work.connection, _HOLDERS, asked)
        if not holders:
            try:
                return attempt()
            except (LockNotAvailable, DeadlockDetected):
                holders = ask(work.connection, _HOLDERS, asked)
        if tries % _TELL == 0:
            pids = [pid for pid, _ in holders]
            work.journal.note(f"{what} waits", table=pair.table, tries=tries, processes=pids)
        until = time.monotonic() + pause
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
            work.pace.rest(0.0)
        pause = min(pause * 1.5, _LONGEST)


def _patience(tries: int) -> float:
    return float(min(PATIENCE * _GROWTH ** (tries - 1), _AT_MOST))


def _place(work: Work, log: KeyLog, part: str, patience: float) -> None:
    connection = work.connection
    with transaction(connection):
        for statement in log.early:
            ask(connection, statement)
        lock(connection, log.source, patience=patience)
        began = time.monotonic()
        for statement in log.late:
            ask(connection, statement)
        work.journal.save(part, {"log": log.sql})
        work.journal.note("captured", log=log.sql)
    work.meter.held("capture", time.monotonic() - began)


def lock(
    connection: Connection[Any], table: str, mode: str = "SHARE ROW EXCLUSIVE", *, patience: float = PATIENCE
) -> None:
    """Lock a live table in the open transaction, with writers waiting no longer than the patience.

    Vacuum is in the way of such a lock, may take hours, and gives way only after a second of waiting. So first a lock
    is taken that vacuum alone is in the way of, and writers are not.

    :raises psycopg.errors.LockNotAvailable: when somebody else had it for longer.
    """
    locally(connection, lock_timeout="3s")
    ask(connection, f"LOCK TABLE ONLY {table} IN SHARE UPDATE EXCLUSIVE MODE")
    locally(connection, lock_timeout=f"{int(patience * 1000)}ms")
    ask(connection, f"LOCK TABLE {table} IN {mode} MODE")
