"""Getting a lock that everybody waits for: quickly or not at all, and again a little later."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from bedplate.database.cutover.asking import CutoverError, ask, transaction
from bedplate.database.cutover.catalog import Table

if TYPE_CHECKING:
    from psycopg import Connection

    from bedplate.database.cutover.work import Work

__all__ = ["PATIENCE", "WITHIN", "Holder", "Patience", "ending", "holders", "open_now", "readers", "short"]

T = TypeVar("T")

#: Seconds to wait for all locks of an attempt together, while everybody else waits behind: what is left of the 100 ms
#: that no client is to wait, when the lock is held for 50.
PATIENCE = 0.05
#: Seconds after which it is given up, and seconds between two attempts: short at first, then longer.
WITHIN = 30.0
_LEAST, _MOST = 0.05, 2.0
#: Most seconds that an attempt waits, after several in vain: on a busy server all transactions take longer.
_AT_MOST = 0.15
#: Age in seconds of a transaction for which no attempt is made, and of one that an attempt may have waited for.
_LONG, _YOUNG = 0.3, 0.01

_HOLDERS = """SELECT a.pid, a.application_name, coalesce(a.state, a.backend_type, ''),
  extract(epoch FROM clock_timestamp() - a.xact_start)::float8, a.backend_type = 'autovacuum worker',
  false, coalesce(a.usename, '')
FROM pg_stat_activity a WHERE a.pid <> pg_backend_pid() AND a.xact_start < clock_timestamp() - %s * interval '1 s'
  AND EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
    WHERE l.pid = a.pid AND l.locktype = 'relation' AND l.granted AND l.relation = ANY(%s))
ORDER BY a.xact_start"""

_PREPARED = """SELECT l.virtualtransaction FROM pg_locks l
JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
WHERE l.pid IS NULL AND l.locktype = 'relation' AND l.relation = ANY(%s) LIMIT 1"""

#: A transaction of one statement has begun with it.
_READERS = """SELECT pid, application_name, state, extract(epoch FROM clock_timestamp() - xact_start)::float8, false,
  state = 'active' AND xact_start = query_start, coalesce(usename, '')
FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
  AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL
  AND (pid, xact_start) IN (SELECT * FROM unnest(%s::int[], %s::timestamptz[])) ORDER BY xact_start"""

#: Who they are, not when they began: a clock that was set back would hide those that had begun before.
_OPEN = """SELECT pid, xact_start FROM pg_stat_activity WHERE datname = current_database()
AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"""


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody's transaction that is in the way.

    :ivar seconds: its age. :ivar single: whether it is one statement, and ends with it. :ivar user: whose it is.
    """

    pid: int | None
    application: str
    state: str
    seconds: float
    autovacuum: bool = False
    single: bool = False
    user: str = ""

    @property
    def words(self) -> str:
        """Who it is, for people."""
        if self.pid is None:
            return f"a prepared transaction ({self.application})"
        name = ", ".join(one for one in (self.application, self.user) if one)
        said = f" ({name})" if name else ""
        return f"process {self.pid}{said}, {self.state}, in a transaction for {self.seconds:.1f} s"


def holders(connection: Connection[Any], tables: Sequence[Table], older: float) -> list[Holder]:
    """Return who holds one of the tables, and has for so long that a short wait would not do.

    A vacuum that nobody waits for is asked to stop: it comes again by itself.
    """
    import psycopg

    oids = [table.oid for table in tables]
    found = [Holder(*row) for row in ask(connection, _HOLDERS, (older, oids))]
    found += [Holder(None, row[0], "", 0.0) for row in ask(connection, _PREPARED, (oids,))]
    for one in found:
        if one.autovacuum:
            try:
                ask(connection, "SELECT pg_cancel_backend(%s)", (one.pid,))
            except psycopg.errors.InsufficientPrivilege:
                _ousted(connection, tables)
    return found


def ending(found: Sequence[Holder]) -> str:
    """Return the statements that end some of them; one needs to be of their user, or a superuser."""
    return "; ".join(
        "ROLLBACK PREPARED (see pg_prepared_xacts)" if one.pid is None else f"SELECT pg_terminate_backend({one.pid})"
        for one in found[:3]
    )


def _ousted(connection: Connection[Any], tables: Sequence[Table]) -> None:
    """Let a vacuum give way by itself: it does for whoever waits for a second, with a lock that is in nobody's way."""
    import psycopg

    for table in tables:
        try:
            with transaction(connection):
                ask(connection, "SET LOCAL lock_timeout = '3s'")
                ask(connection, f"LOCK TABLE ONLY {table.sql} IN SHARE UPDATE EXCLUSIVE MODE")
        except psycopg.errors.LockNotAvailable:
            continue


def open_now(connection: Connection[Any]) -> list[Any]:
    """Return which transactions are open, as :func:`readers` takes it."""
    return ask(connection, _OPEN)


def readers(connection: Connection[Any], among: Sequence[Any]) -> list[Holder]:
    """Return those of some transactions that are still open and hold a snapshot, as far as this user may see them."""
    pids, starts = [one[0] for one in among], [one[1] for one in among]
    return [Holder(*row) for row in ask(connection, _READERS, (pids, starts))]


class Patience:
    """How often something is tried for which a lock is needed, and how long all in all.

    :param tables: whose holders are named when it is given up.
    :param patience: seconds that an attempt waits for its locks. :param within: seconds after which it is given up.
    """

    def __init__(self, work: Work, tables: Sequence[Table], *, patience: float, within: float) -> None:
        self._work, self._tables = work, tables
        self.patience = patience
        #: When it is given up, by the monotonic clock.
        self.ends = time.monotonic() + within
        self.attempts = 0
        self._pause = _LEAST

    def tried(self, attempt: Callable[[float], T]) -> T:
        """Try until it is done.

        :param attempt: is given the seconds for which it may wait for its locks.
        :raises CutoverError: when somebody held a table all the time, and who that is.
        :raises psycopg.errors.LockNotAvailable: when locks were never free, and nobody in particular held them.
        """
        from psycopg import errors

        while True:
            held = holders(self._work.connection, self._tables, _LONG)
            if not held:
                self.attempts += 1
                if self.attempts > 1:
                    self.patience = max(self.patience, min(_AT_MOST, self.patience * 1.2))
                try:
                    return attempt(self.patience)
                except (errors.LockNotAvailable, errors.DeadlockDetected):
                    if time.monotonic() > self.ends:
                        self._give_up()
                        raise
            elif time.monotonic() > self.ends:
                self._give_up()
            self.pause()

    def pause(self) -> None:
        """Let everybody go on for a while, longer each time; with chance, as others may try as well."""
        wanted = self._pause * random.uniform(0.5, 1.5)
        self._pause = min(_MOST, self._pause * 1.5)
        ends = time.monotonic() + wanted
        while (left := ends - time.monotonic()) > 0:
            # A worker that is to stop stops here.
            self._work.pace.rest(0.0)
            time.sleep(min(left, 0.1))

    @property
    def over(self) -> bool:
        """Whether it is to be given up."""
        return time.monotonic() > self.ends

    def _give_up(self) -> None:
        held = holders(self._work.connection, self._tables, _YOUNG)
        if held:
            names = ", ".join(table.name for table in self._tables)
            raise CutoverError(
                f"{names} cannot be locked: held by {'; '.join(one.words for one in held[:3])}.",
                f"Wait for its end, or end it ({ending(held)}), and try again: nobody had to wait for this.",
            )


@contextmanager
def short(connection: Connection[Any], patience: float, locks: int) -> Iterator[None]:
    """Run a transaction while inside that gives up when a lock is not free soon; it ends by the caller's COMMIT.

    Its commit does not wait for the disk, or for a standby, while the locks are held. Nothing can be lost by that: who
    commits later, and is told so, has this on the disk as well.

    :param locks: how many it will wait for: all together no longer than ``patience``.
    """
    from psycopg.pq import TransactionStatus

    each = max(10, int(patience * 1000 / max(1, locks)))
    ask(
        connection,
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL search_path = pg_catalog; SET LOCAL synchronous_commit = off; "
        f"SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = {each}",
    )
    try:
        yield
    finally:
        if not connection.closed and connection.info.transaction_status != TransactionStatus.IDLE:
            ask(connection, "ROLLBACK")
