"""Comparing two tables: buckets of checksums from one snapshot, then the rows of the buckets that differ."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import CutoverError, ask, transaction
from bedplate.database.cutover.parity.digest import Digest, Relation, relation
from bedplate.database.cutover.parity.report import Difference, Parity, Progress
from bedplate.database.cutover.parity.rows import Buckets, Scan, found

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["Comparison", "compare"]

#: Few buckets are quick to sum up, many leave few rows to look at when one differs.
_ROWS_A_BUCKET, _FEWEST, _MOST = 4096, 256, 16384

_SETTINGS = (
    "SET LOCAL work_mem = '64MB'",
    "SET LOCAL jit = off",
    # What is measured and throttled is one core; and rows that row security hides must not pass as equal.
    "SET LOCAL max_parallel_workers_per_gather = 0",
    "SET LOCAL row_security = off",
    "SET LOCAL statement_timeout = 0",
    "SET LOCAL idle_in_transaction_session_timeout = 0",
)

#: Also on a replica, whose tables can be compared as well.
_POSITION = (
    """SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text"""
)


class Comparison:
    """A comparison of two tables of one database, to be run once; anybody may :meth:`stop` it from another thread.

    :param connection: psycopg's, in autocommit mode, with nobody else using it.
    :param one: the table that is right, as SQL takes names; ``other`` the one that should hold the same.
    :param identified_by: the columns that tell rows apart; by default the primary key of ``one``, else of ``other``.
    :param most: rows that differ to be told at most; looking for them ends there.
    :param slice_rows: compare so many rows at a time along an index on the first identifying column; None reads each
        table in one go, which is fastest.
    :param rest: seconds to rest after a slice for each second that it took.
    :param memory_rows: rows of one table that are held at most while differing rows are looked for.
    :param resume: where an earlier comparison of the same tables was stopped.
    :param watch: told after each slice, in the thread that runs.
    :param begun: called when the snapshot is taken and nothing has been read: what it asks the connection is as of it.
    """

    def __init__(
        self,
        connection: Connection[Any],
        one: str,
        other: str,
        *,
        identified_by: Sequence[str] = (),
        most: int = 1000,
        slice_rows: int | None = None,
        rest: float = 0.0,
        memory_rows: int = 200_000,
        resume: Progress | None = None,
        watch: Callable[[Progress], None] = lambda progress: None,
        begun: Callable[[], None] = lambda: None,
    ) -> None:
        if most < 1 or memory_rows < 1 or rest < 0 or (slice_rows is not None and slice_rows < 1):
            raise CutoverError("A limit of the comparison is too small.", "Limits are 1 or more, rests 0 or more.")
        self._connection = connection
        self._names = (one, other)
        self._identified_by = tuple(identified_by)
        self._most = most
        self._slice_rows = slice_rows
        self._rest = rest
        self._memory_rows = memory_rows
        self._progress = resume or Progress()
        self._watch = watch
        self._begun = begun
        self._stopped = threading.Event()
        self._spent = 0.0

    def stop(self) -> None:
        """End it soon, also in the middle of a statement; what is done is in the report's progress."""
        self._stopped.set()
        self._connection.cancel_safe()

    def run(self) -> Parity:
        """Compare, and return what was found.

        :raises CutoverError: when the tables cannot be compared, before either is read.
        """
        from psycopg.errors import QueryCanceled
        from psycopg.pq import TransactionStatus

        if self._connection.info.transaction_status != TransactionStatus.IDLE:
            what = "A comparison needs a snapshot of its own, and its connection is in a transaction."
            raise CutoverError(what, "End the transaction, or use another connection.")
        position = str(ask(self._connection, _POSITION)[0][0])
        finished = False
        self._buckets = 0
        self._notes: tuple[str, ...] = ()
        self._tables: tuple[Relation, Relation] | None = None
        try:
            with transaction(self._connection, "ISOLATION LEVEL REPEATABLE READ READ ONLY"):
                digest, tables = self._prepare()
                self._begun()
                finished = self._slices(digest, tables)
        except QueryCanceled:
            if not self._stopped.is_set():
                raise
        return self._report(position, finished)

    def _prepare(self) -> tuple[Digest, tuple[Relation, Relation]]:
        for setting in _SETTINGS:
            ask(self._connection, setting)
        one, other = (relation(self._connection, name) for name in self._names)
        # A new seed every time: what chance hides from one comparison it does not hide from the next.
        digest = Digest.of(one, other, self._identified_by, random.SystemRandom().getrandbits(62))
        self._identified_by = tuple(column.name for column in digest.identified_by)
        wanted = max(one.rows, other.rows) / _ROWS_A_BUCKET
        self._buckets = _FEWEST
        while self._buckets < min(wanted, _MOST):
            self._buckets *= 2
        notes = []
        if [column.name for column in one.columns] != [column.name for column in other.columns]:
            notes.append("The columns stand in another order: SELECT * and INSERT without columns will tell.")
        if self._slice_rows is not None and not _sliceable(self._connection, one, digest):
            self._slice_rows = None
            notes.append("Read in one go: the first identifying column has no order that both tables surely share.")
        if self._slice_rows is None and self._progress.upto is not None:
            raise CutoverError("A comparison in one go cannot be resumed.", "Give the rows of a slice as before.")
        self._notes = tuple(notes)
        self._tables = (one, other)
        return digest, self._tables

    def _slices(self, digest: Digest, tables: tuple[Relation, Relation]) -> bool:
        self._progress = replace(self._progress, snapshots=self._progress.snapshots + 1)
        for lower, upper in self._bounds(digest, tables[0]):
            if self._stopped.is_set():
                return False
            began = time.monotonic()
            self._compare(digest, tables, lower, upper)
            spent = time.monotonic() - began
            self._spent += spent
            self._watch(self._progress)
            if upper is not None and self._rest:
                self._stopped.wait(spent * self._rest)
        return True

    def _bounds(self, digest: Digest, one: Relation) -> Iterator[tuple[str | None, str | None]]:
        """Yield where slices begin and end; the first has no beginning and the last no end, for rows of one side."""
        lower, size = self._progress.upto, self._slice_rows
        while size is not None:
            scan = Scan(one, digest, lower, None)
            where, values = scan.where
            first = scan.first
            statement = f"SELECT {first}::text FROM {one.sql} t{where} ORDER BY {first} OFFSET {size - 1} LIMIT 1"
            rows = ask(self._connection, statement, values)
            if not rows:
                break
            yield lower, rows[0][0]
            lower = rows[0][0]
        yield lower, None

    def _compare(self, digest: Digest, tables: tuple[Relation, Relation], lower: str | None, upper: str | None) -> None:
        scans = [Scan(table, digest, lower, upper) for table in tables]
        sums = [scan.sums(self._connection, self._buckets) for scan in scans]
        counts = [sum(count for count, *_ in one.values()) for one in sums]
        differing = Buckets.differing(sums[0], sums[1], self._buckets)
        progress = self._progress
        room = self._most - len(progress.found)
        rows: tuple[Difference, ...] = ()
        whole = True
        if differing.numbers:
            rows, whole = found(self._connection, scans, differing, room, self._memory_rows)
        self._progress = replace(
            progress,
            upto=upper,
            rows=(progress.rows[0] + counts[0], progress.rows[1] + counts[1]),
            slices=progress.slices + 1,
            differing=progress.differing + len(differing.numbers),
            found=(*progress.found, *rows),
            whole=progress.whole and whole,
        )

    def _report(self, position: str, finished: bool) -> Parity:
        names = self._names if self._tables is None else (self._tables[0].name, self._tables[1].name)
        progress = self._progress
        return Parity(
            tables=names,
            identified_by=self._identified_by,
            rows=progress.rows,
            buckets=self._buckets,
            differing=progress.differing,
            differences=progress.found,
            whole=progress.whole,
            finished=finished,
            snapshots=progress.snapshots,
            position=position,
            seconds=self._spent,
            progress=progress,
            notes=self._notes,
        )


def compare(connection: Connection[Any], one: str, other: str, **how: Any) -> Parity:
    """Compare two tables as of one snapshot; see :class:`Comparison` for what can be said.

    :raises CutoverError: when they cannot be compared.
    """
    return Comparison(connection, one, other, **how).run()


def _sliceable(connection: Connection[Any], one: Relation, digest: Digest) -> bool:
    """Whether the first identifying column orders rows of both tables alike: no text, whose collations may differ."""
    first = digest.identified_by[0]
    statement = """SELECT t.typcollation = 0 AND EXISTS (
        SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod AND m.amname = 'btree'
        WHERE o.opcdefault AND o.opcintype = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
    ) FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = %s AND a.attname = %s"""
    return not first.nullable and bool(ask(connection, statement, (one.oid, first.name))[0][0])
