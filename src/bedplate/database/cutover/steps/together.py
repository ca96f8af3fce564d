"""Statements for the partitions of a twin, several at once, each in a connection of its own."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import CutoverError, ask, quoted, transaction
from bedplate.database.cutover.layout import Layout, partition_name
from bedplate.database.cutover.work import Work

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["analyze", "together"]

#: As many at once as the server allows itself for one index, but no more than so many.
_AT_ONCE = 8
#: The first version that can look at a partitioned table without looking at all of its partitions again.
_ONLY = 180_000


def _within(connection: Connection[Any], statement: str) -> None:
    with transaction(connection):
        ask(connection, statement)


def together(
    work: Work,
    statements: Sequence[str],
    *,
    each: Callable[[Connection[Any], str], None] = _within,
    told: Callable[[int, int], None] = lambda count, done: None,
) -> None:
    """Carry out statements, several at once, or one at a time and with rests while others want the processors.

    :param each: carries one out, by default in a transaction. :param told: how many were done since, and in all.
    :raises Stopped: between two of them. :raises ConnectionError: when the server lets nobody in now.
    """
    if not statements:
        return
    allowed = int(ask(work.connection, "SHOW max_parallel_maintenance_workers")[0][0])
    wanted = 1 if work.pace.gentle else min(max(allowed, 1), _AT_ONCE, len(statements))
    with ExitStack() as stack:
        opened = _opened(work, stack, wanted)
        several = len(opened)
        free: queue.SimpleQueue[Connection[Any]] = queue.SimpleQueue()
        for connection in opened:
            _set(connection)
            free.put(connection)
        pool = stack.enter_context(ThreadPoolExecutor(several))
        running: set[Future[float]] = set()
        done = 0
        try:
            for statement in statements:
                running.add(pool.submit(_one, free, each, statement))
                while len(running) >= (1 if work.pace.gentle else several):
                    finished, running = wait(running, return_when=FIRST_COMPLETED)
                    worked = max(future.result() for future in finished)
                    done += len(finished)
                    told(len(finished), done)
                    work.pace.rest(worked, len(finished))
            for future in running:
                future.result()
            told(len(running), done + len(running))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for connection in opened:
                connection.cancel_safe()
            raise


def analyze(work: Work, found: Layout) -> None:
    """Let the planner look at the twin and at all of its partitions."""
    if work.connection.info.server_version < _ONLY:
        ask(work.connection, f"ANALYZE {found.twin}")
        return
    source = found.source
    names = (quoted(source.schema, partition_name(source.name, number)) for number in range(work.plan.partitions))
    together(work, [f"ANALYZE {name}" for name in names])
    ask(work.connection, f"ANALYZE ONLY {found.twin}")


def _opened(work: Work, stack: ExitStack, wanted: int) -> list[Connection[Any]]:
    """Open so many connections, or as many as the server has left: the worker's own is one of its already."""
    opened: list[Connection[Any]] = []
    try:
        while len(opened) < wanted:
            opened.append(stack.enter_context(work.connect()))
    except CutoverError as error:
        if not opened:
            # To be tried again: nobody has to mend what others' connections do.
            raise ConnectionError(error.what) from error
    return opened


def _one(
    free: queue.SimpleQueue[Connection[Any]], each: Callable[[Connection[Any], str], None], statement: str
) -> float:
    began = time.monotonic()
    connection = free.get()
    try:
        each(connection, statement)
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
