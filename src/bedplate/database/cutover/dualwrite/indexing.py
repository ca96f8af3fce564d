"""Indexes of a twin that the service writes all the while: each on its partitions one by one, CONCURRENTLY.

Several partitions are done at once where nobody else wants the processors. Two such builds, on different tables, wait
for each other's snapshots at most, and neither has one while it waits.

The index of the whole is made on the partitioned table alone, where nothing is stored, and takes the partitions' one by
one. What writers wait for is the moment of an entry in the catalog; whoever gets it not soon enough is the worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import ask, quoted, transaction
from bedplate.database.cutover.layout import Layout, Statement, layout, partition_name, twin_name
from bedplate.database.cutover.steps.capture import PATIENCE, patiently
from bedplate.database.cutover.steps.index import others
from bedplate.database.cutover.steps.pairs import pairs
from bedplate.database.cutover.steps.together import analyze, together
from bedplate.database.cutover.work import Pair, Work

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["index"]

#: Seconds until a build that gave way to a writer is tried again.
_AGAIN = 0.1
_INDEX = "SELECT indisvalid FROM pg_catalog.pg_index WHERE indexrelid = to_regclass(%s)"
_ATTACHED = """SELECT EXISTS (SELECT FROM pg_catalog.pg_inherits
WHERE inhrelid = to_regclass(%s) AND inhparent = to_regclass(%s))"""
_UNIQUE = """SELECT pg_get_indexdef(conindid), condeferrable, condeferred FROM pg_catalog.pg_constraint
WHERE conrelid = %s AND conname = %s"""


def index(work: Work) -> None:
    """Make all keys and indexes that the twins still lack, while they are written, and let the planner look at them.

    :raises Stopped: between two of them.
    """
    for pair in pairs(work.connection, work.plan):
        found = layout(work.connection, work.plan, pair.table)
        for one in found.statements:
            if one.name and not (one.part == "keys" and one.after.startswith("PRIMARY KEY")):
                _Index(work, pair, found, one).make()
        others(work, found)
        analyze(work, found)


class _Index:
    """An index of the twin, or a unique constraint."""

    def __init__(self, work: Work, pair: Pair, found: Layout, statement: Statement) -> None:
        self._work, self._pair, self._found, self._statement = work, pair, found, statement
        self._connection: Connection[Any] = work.connection
        self._schema = found.source.schema
        self._whole = quoted(self._schema, statement.name)
        self._key, self._definition, self._deferred = statement.part == "keys", statement.after, ""
        if self._key:
            self._definition, self._deferred = self._of_the_constraint()

    def make(self) -> None:
        """Make what is missing of it."""
        if self._state(self._whole):
            return
        count = self._work.plan.partitions
        self._together()
        for number in range(count):
            began = time.monotonic()
            self._on_partition(number)
            self._work.pace.rest(time.monotonic() - began)
        if self._state(self._whole) is None:
            before, after = self._statement.before, self._statement.after
            twin, name = self._found.twin, quoted(self._statement.name)
            only = f"ALTER TABLE ONLY {twin} ADD CONSTRAINT {name} {after}"
            self._shortly(only if self._key else f"{before} {name} ON ONLY {twin} {after}")
        for number in range(count):
            part = quoted(self._schema, partition_name(self._statement.name, number))
            if not ask(self._connection, _ATTACHED, (part, self._whole))[0][0]:
                self._shortly(f"ALTER INDEX {self._whole} ATTACH PARTITION {part}")
        self._work.journal.note("index made", table=self._pair.table, index=self._statement.name)

    def _together(self) -> None:
        """Build what is missing, several at once; what a writer was in the way of is left for later."""
        from psycopg.errors import DeadlockDetected

        gave_way: list[str] = []
        count, table = self._work.plan.partitions, self._pair.table

        def build(connection: Connection[Any], statement: str) -> None:
            try:
                ask(connection, statement)
            except DeadlockDetected:
                gave_way.append(statement)

        def told(built: int, done: int) -> None:
            self._work.meter.rows(table, "index", built)
            self._work.meter.total(table, count - len(missing) + done, count)

        named = [self._named(number) for number in range(count)]
        missing = [self._building(name, partition) for name, index, partition in named if self._state(index) is None]
        together(self._work, missing, each=build, told=told)
        if gave_way:
            self._work.journal.note("index waits", table=table, index=self._statement.name, partitions=len(gave_way))

    def _named(self, number: int) -> tuple[str, str, str]:
        """Return the name of the index on a partition, and that and the partition's quoted in full."""
        name = partition_name(self._statement.name, number)
        table = partition_name(self._found.source.name, number)
        return name, quoted(self._schema, name), quoted(self._schema, table)

    def _building(self, name: str, table: str) -> str:
        unique = "UNIQUE " if self._statement.unique else ""
        return f"CREATE {unique}INDEX CONCURRENTLY {quoted(name)} ON {table} {self._definition}"

    def _on_partition(self, number: int) -> None:
        name, index, table = self._named(number)
        # A look at a time: a TRUNCATE makes the index of a build that was ended whole at any moment.
        while not (valid := self._state(index)):
            self._build(name, index, table, ended=valid is False)
        if self._key and not ask(
            self._connection, "SELECT FROM pg_constraint WHERE conindid = to_regclass(%s)", (index,)
        ):
            kept = f"ADD CONSTRAINT {quoted(name)} UNIQUE USING INDEX {quoted(name)}{self._deferred}"
            self._shortly(f"ALTER TABLE {table} {kept}")

    def _build(self, name: str, index: str, table: str, *, ended: bool) -> None:
        """Build an index while its partition is written, unless a writer and this wait for each other.

        A transaction that has written, which this waits for, and then truncates the table waits for this in turn.
        The server looks once for each, a second after its wait began, and ends whose look finds the other waiting: this
        one if the TRUNCATE came within that second, else the writer, who is to try again.
        """
        from psycopg.errors import DeadlockDetected

        try:
            if ended:
                ask(self._connection, f"DROP INDEX CONCURRENTLY {index}")
            ask(self._connection, self._building(name, table))
        except DeadlockDetected:
            self._work.journal.note("index waits", table=self._pair.table, index=name)
            time.sleep(_AGAIN)
            self._work.pace.rest(0.0)

    def _state(self, index: str) -> bool | None:
        """Whether an index is valid, None when there is none."""
        rows = ask(self._connection, _INDEX, (index,))
        return bool(rows[0][0]) if rows else None

    def _shortly(self, statement: str) -> None:
        """Carry out a statement that writers wait for as soon as it has its lock."""
        patiently(self._work, "index", self._pair, self._attempt(statement))

    def _attempt(self, statement: str) -> Callable[[], None]:
        def attempt() -> None:
            with transaction(self._connection):
                ask(self._connection, f"SET LOCAL lock_timeout = {int(PATIENCE * 1000)}")
                began = time.monotonic()
                ask(self._connection, statement)
            self._work.meter.held("index", time.monotonic() - began)

        return attempt

    def _of_the_constraint(self) -> tuple[str, str]:
        """Return what its index is like on the source, with the key before it, and when it is checked."""
        source, key = self._found.source, self._work.plan.key
        one = next(one for one in source.of_kind("u") if twin_name(one.name) == self._statement.name)
        with transaction(self._connection):
            definition, deferrable, deferred = ask(self._connection, _UNIQUE, (source.oid, one.name))[0]
        _, _, rest = definition.partition(" USING ")
        if key not in one.columns:
            rest = rest.replace("(", f"({quoted(key)}, ", 1)
        when = " DEFERRABLE INITIALLY DEFERRED" if deferred else " DEFERRABLE" if deferrable else ""
        return f"USING {rest}", when
