"""Making indexes on a server that is written to: beside the traffic, one by one, and never in the way of it.

``CREATE INDEX CONCURRENTLY`` holds a lock that no reader or writer waits for, so it may wait itself: for transactions
that are older than it. What takes a stronger lock, on partitioned tables and on columns, waits for a moment only and
tries again later, since all who come after it would queue behind it.

Whoever is killed half-way leaves an index that is not valid, which the next run drops and makes anew. A session's
advisory lock keeps two from the same work; it is asked for again and again and not waited for, since a session that
waits has a snapshot, and that is what ``CONCURRENTLY`` waits for.
"""

from __future__ import annotations

import hashlib
import math
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bedplate.database.errors import said
from bedplate.database.indexes import ddl
from bedplate.database.indexes.declaration import NAME, Index
from bedplate.database.indexes.extensions import ensure
from bedplate.database.indexes.forms import FullText
from bedplate.database.indexes.progress import Progress, Watch, blocker, watched
from bedplate.problems import BedplateError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bedplate.database.indexes.place import Place

__all__ = ["LOCK", "Builder", "IndexFault", "Limits"]

#: Bytes of a table that is rewritten while everybody waits.
REWRITTEN = 32 << 20

#: The advisory lock of whoever makes indexes in a database.
LOCK = int.from_bytes(hashlib.blake2b(b"bedplate indexes", digest_size=8).digest(), signed=True)
#: A lock that was not had in time, and a deadlock: trying again helps.
_AGAIN = ("55P03", "40P01")

_TABLE = """
SELECT quote_ident(n.nspname), quote_ident(c.relname), c.relkind::text, pg_table_size(c.oid), n.nspname, c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%(name)s)"""
_INDEX = """
SELECT i.indisvalid, x.relkind = 'I',
  EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = x.oid) AS attached,
  coalesce((SELECT p.pid FROM pg_stat_progress_create_index p WHERE p.index_relid = x.oid LIMIT 1), 0)
FROM pg_class x JOIN pg_index i ON i.indexrelid = x.oid WHERE x.oid = to_regclass(%(name)s)"""
_PARTITIONS = """
SELECT c.oid::regclass::text FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
WHERE h.inhparent = to_regclass(%(name)s) AND NOT EXISTS (SELECT FROM pg_inherits d JOIN pg_index i
    ON i.indexrelid = d.inhrelid WHERE d.inhparent = to_regclass(%(index)s) AND i.indrelid = c.oid AND i.indisvalid)
ORDER BY 1"""
_HOLDER = """
SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND ((classid::bigint << 32) | objid::bigint) = %(key)s"""
_HOLDERS = """
SELECT pid FROM pg_locks WHERE relation = to_regclass(%(name)s) AND granted AND pid <> pg_backend_pid()
ORDER BY mode = 'AccessExclusiveLock' DESC LIMIT 1"""


class IndexFault(BedplateError):
    """An index cannot be made now; what is left of it serves nobody, and the next run drops it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long what is done may wait, in seconds.

    :ivar lock: for a lock that others would queue behind. :ivar patience: in all for such a lock, by trying again, and
        for other transactions to end.
    """

    lock: float = 0.2
    patience: float = 600.0


class Builder:
    """Makes indexes on a PostgreSQL server.

    :param connection: of :meth:`Place.working`. :param watch: is told how far each is.
    """

    def __init__(self, place: Place, connection: Connection, limits: Limits, watch: Watch) -> None:
        self._place = place
        self._connection = connection
        self._limits = limits
        self._watch = watch
        self._pid = int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar() or 0)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until nobody else makes indexes in this database, and keep it so while inside.

        :raises IndexFault: when somebody else does for too long.
        """
        end = time.monotonic() + self._limits.patience
        while not self._scalar("SELECT pg_try_advisory_lock(%(key)s)", key=LOCK):
            holder = self._scalar(_HOLDER, key=LOCK)
            who = blocker(self._connection, holder) if holder else "another"
            self._watch(Progress("", "", "waiting for another run", 0.0, who))
            if time.monotonic() > end:
                raise IndexFault(f"{who} makes indexes in this database.", "Wait until it has ended.")
            time.sleep(0.2)
        try:
            yield
        finally:
            if not self._connection.closed and not self._connection.invalidated:
                self._scalar("SELECT pg_advisory_unlock(%(key)s)", key=LOCK)

    def make(self, index: Index, *, replace: bool = False) -> None:
        """Make an index, or what of it is missing; a broken one is dropped first.

        :param replace: whether one of that name is another than is declared and goes once its successor is there.
        :raises IndexFault: when it cannot be made.
        """
        try:
            self._make(index, replace)
        except BedplateError:
            raise
        except Exception as error:
            raise IndexFault(f"{index.name} cannot be made: {_said(error)}.", _mend(error)) from error

    def _make(self, index: Index, replace: bool) -> None:
        for name in index.extensions:
            ensure(self._connection, name)
        schema, table, kind, size = self._table(index.table)
        self._add_vector(index, f"{schema}.{table}", size)
        if kind == "p":
            if replace:
                raise IndexFault(
                    f"{index.name} is another one than is declared, on a partitioned table.",
                    "Declare it by a new name; drop the old one when that is there.",
                )
            self._make_partitioned(index, schema, table, index.name)
        else:
            self._make_plain(index, schema, f"{schema}.{table}", index.name, replace=replace)
        if not all(ddl.is_column(item) for item in index.on):
            # Without statistics of an expression the planner guesses, and may not use what was made; if others hold
            # this up, the server's own analysis comes later.
            with suppress(IndexFault):
                self._soon(f"ANALYZE {schema}.{table}", f"{schema}.{table}")

    def _make_plain(self, index: Index, schema: str, table: str, name: str, *, replace: bool = False) -> None:
        full, successor = f"{schema}.{ddl.quoted(name)}", f"{schema}.{ddl.quoted(_short(name, 'new'))}"
        found, next_one = self._index(full), self._index(successor)
        if next_one is not None and found is None and next_one[0]:
            self._soon(f"ALTER INDEX {successor} RENAME TO {ddl.quoted(name)}", successor)
            return
        if next_one is not None:
            self._drop(successor)
        if found is not None and not found[0]:
            self._drop(full)
        elif found is not None and not replace:
            return
        made = _short(name, "new") if found is not None and found[0] else name
        self._create(index, schema, table, made)
        if made != name:
            self._drop(full)
            self._soon(f"ALTER INDEX {successor} RENAME TO {ddl.quoted(name)}", successor)

    def _create(self, index: Index, schema: str, table: str, name: str) -> None:
        full = f"{schema}.{ddl.quoted(name)}"
        statement = ddl.create(index, "postgresql", table=table, name=name, concurrently=True)
        self._lock_timeout(0)  # nobody waits behind it, and it must wait for older transactions
        for left in (3, 2, 1, 0):
            try:
                with watched(self._place, self._pid, name, table, self._watch, self._limits.patience) as ended:
                    self._run(statement)
                return
            except Exception as error:
                if self._connection.invalidated or self._connection.closed or _state(error) == "57P01":
                    raise
                self._clear(full)
                if ended:
                    raise IndexFault(
                        f"{name} waited {self._limits.patience:.0f} s for {ended[0]}.",
                        "End that transaction, or let it end; then do this again.",
                    ) from None
                if _state(error) not in _AGAIN or not left:
                    raise

    def _make_partitioned(self, index: Index, schema: str, table: str, name: str) -> None:
        """Make the index of a partitioned table: an empty one, then one for each partition, which it takes in."""
        full, parent = f"{schema}.{ddl.quoted(name)}", f"{schema}.{table}"
        if self._index(full) is None:
            self._soon(ddl.create(index, "postgresql", table=parent, name=name, only=True), parent)
        names = {"name": parent, "index": full}
        parts = [row[0] for row in self._connection.exec_driver_sql(_PARTITIONS, names).all()]
        for number, part in enumerate(parts):
            its_schema, its_table, kind, _ = self._table(part)
            its_name = _short(name, its_table.strip('"').removeprefix(f"{table.strip(chr(34))}_"))
            self._watch(Progress(name, part, f"partition {number + 1} of {len(parts)}", number / len(parts)))
            if kind == "p":
                self._make_partitioned(index, its_schema, its_table, its_name)
            else:
                self._make_plain(index, its_schema, f"{its_schema}.{its_table}", its_name)
            one = f"{its_schema}.{ddl.quoted(its_name)}"
            found = self._index(one)
            if found is not None and not found[2]:
                self._soon(f"ALTER INDEX {full} ATTACH PARTITION {one}", f"{its_schema}.{its_table}")

    def _add_vector(self, index: Index, table: str, size: int) -> None:
        form = index.form
        if not isinstance(form, FullText) or not form.vector:
            return
        there = self._scalar(
            "SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass(%(table)s) AND attname = %(name)s",
            table=table,
            name=form.vector,
        )
        if there:
            return
        statement = form.kept_by(table)
        if size > REWRITTEN:
            raise IndexFault(
                f"{index.name} wants the generated column {form.vector}, and PostgreSQL rewrites {size / 1e6:,.0f} MB"
                f" for it while everybody waits.",
                f"Declare the index without vector=, or carry this out when nobody is there: {statement};",
            )
        self._soon(statement, table)

    def _clear(self, full: str) -> None:
        """Drop what a failure has left, unless that has to wait, too; then the next run does it."""
        with suppress(Exception):
            self._drop(full, patience=self._limits.lock)

    def _drop(self, full: str, *, patience: float | None = None) -> None:
        """Drop an index beside the traffic, or at once where that is not possible."""
        found = self._index(full)
        if found is None:
            return
        if found[3] and found[3] != self._pid:
            who = blocker(self._connection, found[3])
            raise IndexFault(f"{full} is being made by {who}.", "Wait until that has ended.")
        self._watch(Progress(full.rpartition(".")[2].strip('"'), "", "dropping a broken one", 0.0))
        # It waits for all who may still use it; nobody waits for it meanwhile.
        self._lock_timeout(self._limits.patience if patience is None else patience)
        self._run(f"DROP INDEX CONCURRENTLY IF EXISTS {full}")

    def _soon(self, statement: str, table: str) -> None:
        """Carry out what others would queue behind, as soon as it need not wait.

        :raises IndexFault: when that does not come about.
        """
        self._lock_timeout(self._limits.lock)
        end, pause = time.monotonic() + self._limits.patience, 0.05
        while True:
            try:
                self._run(statement)
                return
            except Exception as error:
                if _state(error) not in _AGAIN:
                    raise
            holder = self._scalar(_HOLDERS, name=table)
            who = blocker(self._connection, holder) if holder else "somebody"
            if time.monotonic() > end:
                raise IndexFault(
                    f"The lock that {statement.split('(')[0].strip()} needs was not to be had: {who} holds one on"
                    f" {table}.",
                    "End that transaction, or do this again when fewer write.",
                )
            self._watch(Progress("", table, "waiting for a lock", 0.0, who))
            time.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 1.5, 5.0)

    def _lock_timeout(self, seconds: float) -> None:
        self._run(f"SET lock_timeout = {math.ceil(seconds * 1000)}")

    def _run(self, statement: str) -> None:
        self._connection.exec_driver_sql(statement.replace("%", "%%"))

    def _scalar(self, statement: str, **values: Any) -> Any:
        return self._connection.exec_driver_sql(statement, values).scalar()

    def _table(self, name: str) -> tuple[str, str, str, int]:
        row = self._connection.exec_driver_sql(_TABLE, {"name": name}).first()
        if row is None:
            raise IndexFault(f"There is no table {name}.", "Start the service once, which applies its migrations.")
        return row[0], row[1], row[2], row[3]

    def _index(self, full: str) -> Any:
        return self._connection.exec_driver_sql(_INDEX, {"name": full}).first()


def _short(name: str, ending: str) -> str:
    """Return a name with an ending, within PostgreSQL's limit; the same for the same."""
    whole = f"{name}_{ending}"
    if len(whole.encode()) <= NAME:
        return whole
    mark = hashlib.blake2b(whole.encode(), digest_size=4).hexdigest()
    return f"{whole.encode()[: NAME - 9].decode(errors='ignore')}_{mark}"


def _said(error: BaseException) -> str:
    # What follows tells of rows, which are nobody's to read here.
    return said(error).partition(" DETAIL:")[0].rstrip(".")


def _state(error: BaseException) -> str:
    return str(getattr(getattr(error, "orig", error), "sqlstate", None) or "")


def _mend(error: BaseException) -> str:
    state = _state(error)
    if state == "23505":
        return "Rows that are there already break it: mend them first."
    if state == "55P03":
        return "Others held it up: end their transactions, or try again when they have ended."
    if state == "42501":
        return "Its user must own the table: use the one that applies migrations."
    if state in ("42703", "42883", "42704", "42601"):
        return "Compare the declaration with the table."
    return "See the server's log."
