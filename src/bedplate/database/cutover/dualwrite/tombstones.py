"""Tombstones: what was deleted, or got another key, while rows were copied, and is to be deleted in the twin as well.

A copied chunk holds the rows of its snapshot. When it has inserted a row whose deletion committed meanwhile, nothing
but the tombstone tells. Chunks come one after another, in the session of the worker alone: so once the worker sees a
tombstone, no chunk is under way that could still bring its row, and no later one reads it.

Reaping needs no lock on the table for that. It works at REPEATABLE READ: a row of the twin is deleted only as it was in
the snapshot in which the table has no such row. If a writer brings the row anew meanwhile, it changes the twin's row,
or inserts one after this is done; in the first case the reaping fails and is done again.

A row that is there again is the new one in the twin already, but for what an upsert cannot set: an identity that is
always generated. Where there is one, such rows are copied anew.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import ask, changed, locally, quoted, transaction
from bedplate.database.cutover.dualwrite.writes import DualWrites

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["Tombstones"]

#: How many at once: to begin with, at least where writers are in the way, at least where they are not (fewer would not
#: take less, as beginning with it is what costs), and at most.
_START, _ONE, _LEAST, _MOST = 2_000, 1, 200, 10_000
#: So many reaped ones lie about until they are vacuumed away: whoever reads the table reads them, too.
_VACUUM = 5_000


class Tombstones:
    """The tombstones of one pair.

    :param writes: the triggers that make them.
    """

    def __init__(self, connection: Connection[Any], writes: DualWrites) -> None:
        pair, table = writes.pair, writes.tombstones
        self._connection = connection
        self._table = table
        self._most = _START
        self._reaped = 0
        keys = ", ".join(f"k{number}" for number in range(len(pair.primary)))
        there, here = (
            " AND ".join(f"{row}.{quoted(name)} = d.k{number}" for number, name in enumerate(pair.primary))
            for row in ("t", "h")
        )
        dead = f"(SELECT DISTINCT {keys} FROM {table}{{which}}) d"
        # OFFSET 0 keeps both tables from being read as a whole.
        unless = f" AND NOT EXISTS (SELECT FROM ONLY {pair.live} h WHERE {here} OFFSET 0)"
        self._statements = [f"DELETE FROM {pair.shadow} t USING {dead} WHERE {there}{'' if writes.partial else unless}"]
        if writes.partial:
            self._statements.append(
                f"INSERT INTO {pair.shadow} ({writes.columns}) OVERRIDING SYSTEM VALUE SELECT r.* FROM {dead} "
                f"CROSS JOIN LATERAL (SELECT {writes.columns} FROM ONLY {pair.live} h WHERE {here} OFFSET 0) r"
            )

    def count(self, most: int = 100_000) -> int:
        """Return how many there are, at most so many."""
        return int(ask(self._connection, f"SELECT count(*) FROM (SELECT FROM {self._table} LIMIT {int(most)}) s")[0][0])

    def reap(self, seconds: float | None = None) -> int:
        """Reap some, in a transaction of its own; return how many, 0 when there are none or a writer was in the way.

        Call it outside of any transaction: what was reaped is vacuumed away at times.

        :param seconds: that it should take, about; None when that does not matter.
        """
        from psycopg.errors import DeadlockDetected, LockNotAvailable, SerializationFailure

        began = time.monotonic()
        try:
            done = self._reap()
        except (LockNotAvailable, SerializationFailure, DeadlockDetected):
            self._most = max(self._most // 2, _ONE)
            return 0
        factor = 2.0 if seconds is None else min(max(seconds / max(time.monotonic() - began, 1e-4), 0.5), 2.0)
        if factor < 1 or done:
            self._most = int(min(max(self._most * factor, min(_LEAST, self._most * 2)), _MOST))
        self._reaped += done
        if self._reaped >= _VACUUM:
            ask(self._connection, f"VACUUM (TRUNCATE false) {self._table}")
            self._reaped = 0
        return done

    def reap_all(self) -> int:
        """Reap all, in the open transaction, with the table locked against writers; return how many there were."""
        self._settle()
        return self._carry_out("")

    def _reap(self) -> int:
        connection = self._connection
        with transaction(connection, "ISOLATION LEVEL REPEATABLE READ"):
            self._settle()
            locally(connection, lock_timeout="100ms")
            # Any of them, as none has to go before another. Nobody else removes or moves one meanwhile.
            rows = ask(connection, f"SELECT ctid::text FROM {self._table} LIMIT {self._most}")
            places = ",".join(f'"{place}"' for (place,) in rows)
            return self._carry_out(f" WHERE ctid = ANY('{{{places}}}'::tid[])") if rows else 0

    def _carry_out(self, which: str) -> int:
        for statement in self._statements:
            changed(self._connection, statement.format(which=which))
        return changed(self._connection, f"DELETE FROM {self._table}{which}")

    def _settle(self) -> None:
        locally(
            self._connection,
            enable_hashjoin="off",
            enable_mergejoin="off",
            enable_seqscan="off",
            jit="off",
            row_security="off",
            statement_timeout="0",
            synchronous_commit="off",
        )
