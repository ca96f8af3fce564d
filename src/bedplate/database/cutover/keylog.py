"""The key log: the keys of all rows of a table that are written, from the moment it is in place.

A comparison at a snapshot says that two tables were equal then. Whatever was written since is named here, so comparing
these keys, under a lock at last, says that they are equal now, however rows got from one to the other. The log is a
logged table of its own; a key is in it as soon as, and only if, its transaction commits.

Statement triggers with transition tables write it, one INSERT a statement. What replication applies, or a session with
``session_replication_role = replica``, fires none of them but, by contrast, row triggers that are enabled for replicas
only: so each write is logged by one or the other. TRUNCATE fires always.

A partitioned table has the same triggers, and each of its partitions, too: a statement that names a partition fires
those of the partition alone, one that names the table those of the table alone. Its log has names of its own, so that
both logs of a cutover can be there: one that is used, and one that is laid for the other direction.

Rows are appended, not upserted: two writers of one row must not wait for each other longer than they do anyway, and a
writer at SERIALIZABLE must not fail for the log's sake. A key may thus come several times; readers take them distinct.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import CutoverError, ask, literal, locally, quoted, transaction
from bedplate.database.cutover.catalog import Table, read
from bedplate.database.cutover.layout import twin_name

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["KeyLog", "Taken"]

_EVENTS = ("insert", "update", "delete", "truncate")
_ROWS = {
    "insert": "REFERENCING NEW TABLE AS new_rows ",
    "update": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows ",
    "delete": "REFERENCING OLD TABLE AS old_rows ",
}
_PARTITIONS = """SELECT n.nspname, c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE i.inhparent = %s ORDER BY c.relname"""


@dataclass(frozen=True, slots=True)
class Taken:
    """Rows of a log as they were read at once: ``places`` of each key, by which they can be removed.

    :ivar truncated: the OIDs of the tables that were truncated; the places of these rows are under the empty key.
    """

    places: dict[tuple[str, ...], list[str]]
    truncated: tuple[int, ...] = ()

    @property
    def keys(self) -> list[tuple[str, ...]]:
        """The different keys."""
        return [key for key in self.places if key]


class KeyLog:
    """The log of one table; making the object reads the catalog and changes nothing.

    :param table: as SQL takes its name, plain or partitioned.
    :param columns: whose values are logged, before and after a change; by default the primary key's.
    :param name: what the log's own names begin with; by default the table's name, which must then stay what it is.
    :raises CutoverError: when there is no such table or column, or nothing identifies its rows.
    """

    def __init__(self, connection: Connection[Any], table: str, columns: Sequence[str] = (), *, name: str = "") -> None:
        self._connection = connection
        with transaction(connection):
            source = read(connection, table)
            found = ask(connection, _PARTITIONS, (source.oid,)) if source.kind == "p" else []
        self.columns = tuple(columns) or source.primary
        known = {column.name: column.type for column in source.columns}
        if not self.columns or any(column not in known for column in self.columns):
            what = f"What identifies the rows of {source.schema}.{source.name} is not known."
            raise CutoverError(what, "Name columns that it has, or give it a primary key.")
        self._types = [known[column] for column in self.columns]
        self._source: Table = source
        self._partitions = [quoted(*row) for row in found]
        self._back = "_back" if source.kind == "p" else ""
        self.sql = quoted(source.schema, twin_name(name or source.name, f"_keys{self._back}"))
        self._index = twin_name(name or source.name, f"_truncated{self._back}")
        self._function = quoted(source.schema, twin_name(name or source.name, f"_log_keys{self._back}"))
        self._names = [f"k{number}" for number in range(len(self.columns))]

    @property
    def source(self) -> str:
        """The table's name in full."""
        return self._source.sql

    @property
    def early(self) -> tuple[str, ...]:
        """What makes the log without touching who writes the table, in order; see :meth:`lay`."""
        columns = ", ".join(f"{name} {kind}" for name, kind in zip(self._names, self._types, strict=True))
        owner = quoted(self._source.owner)
        log = (
            f"CREATE TABLE {self.sql} (number bigint GENERATED ALWAYS AS IDENTITY, {columns}, "
            "everything boolean NOT NULL DEFAULT false, relation oid)"
        )
        made = [
            log,
            f"CREATE INDEX {quoted(self._index)} ON {self.sql} (relation) WHERE everything",
            f"ALTER TABLE {self.sql} OWNER TO {owner}",
            self._body(),
            f"ALTER FUNCTION {self._function}() OWNER TO {owner}",
            f"REVOKE ALL ON FUNCTION {self._function}() FROM PUBLIC",
        ]
        for partition in self._partitions:
            made += self._statement_triggers(partition)
        if self._partitions:
            made += self._row_trigger()
        return tuple(made)

    @property
    def late(self) -> tuple[str, ...]:
        """What makes a log that was laid work, in order, with the table locked against writers."""
        # A log that has lain for a while may hold what befell the table when nobody was to follow it.
        made = [f"DELETE FROM {self.sql}", *self._statement_triggers(self._source.sql)]
        return tuple(made if self._partitions else [*made, *self._row_trigger()])

    @property
    def ending(self) -> tuple[str, ...]:
        """What ends the log's work, with the table locked; :meth:`drop` takes the rest away."""
        events = _EVENTS if self._partitions else (*_EVENTS, "row")
        return tuple(f"DROP TRIGGER IF EXISTS {quoted(self._trigger(event))} ON {self._source.sql}" for event in events)

    def create(self, *, patience: float = 0.15) -> None:
        """Put the log in place, as a whole or not at all; what commits from now on is in it.

        :param patience: seconds to wait for the table, while everybody who writes waits behind.
        :raises psycopg.errors.LockNotAvailable: when somebody held the table longer; try again.
        """
        with transaction(self._connection):
            locally(self._connection, lock_timeout=f"{int(patience * 1000)}ms")
            if not self._partitions:
                for statement in self.early:
                    ask(self._connection, statement)
                ask(self._connection, f"LOCK TABLE {self._source.sql} IN SHARE ROW EXCLUSIVE MODE")
            else:
                # Partitions are locked with the table, before triggers on them would do it one by one.
                ask(self._connection, f"LOCK TABLE {self._source.sql} IN SHARE ROW EXCLUSIVE MODE")
                for statement in self.early:
                    ask(self._connection, statement)
            for statement in self.late:
                ask(self._connection, statement)

    def lay(self, *, patience: float = 0.15) -> None:
        """Make ready all that can be before a switch, anew; the statements of ``late`` let it work.

        Nobody but the worker writes the table by now, so nobody waits.
        """
        with transaction(self._connection):
            self.drop(patience=patience)
            for statement in self.early:
                ask(self._connection, statement)

    def drop(self, *, patience: float = 0.15) -> None:
        """Take the log away, if it is there."""
        with transaction(self._connection):
            locally(self._connection, lock_timeout=f"{int(patience * 1000)}ms")
            # With all triggers, which nothing but them calls.
            ask(self._connection, f"DROP FUNCTION IF EXISTS {self._function}() CASCADE")
            ask(self._connection, f"DROP TABLE IF EXISTS {self.sql}")

    @property
    def partitioned(self) -> bool:
        """Whether it is the log of a partitioned table."""
        return bool(self._partitions)

    @property
    def truncated(self) -> bool:
        """Whether a truncation is in it that was not followed yet."""
        return bool(ask(self._connection, f"SELECT EXISTS (SELECT FROM {self.sql} WHERE everything)")[0][0])

    @property
    def exists(self) -> bool:
        """Whether its table is there."""
        return bool(ask(self._connection, "SELECT to_regclass(%s) IS NOT NULL", (self.sql,))[0][0])

    @property
    def intact(self) -> bool:
        """Whether all of its triggers are there and fire: what is written now is logged."""
        wanted = {(self._trigger(event), "A" if event == "truncate" else "O") for event in _EVENTS}
        wanted.add((self._trigger("row"), "R"))
        rows = ask(
            self._connection,
            """SELECT tgname, tgenabled::text FROM pg_catalog.pg_trigger
            WHERE tgrelid = to_regclass(%s) AND tgfoid = to_regproc(%s)""",
            (self._source.sql, self._function),
        )
        return self.exists and {tuple(row) for row in rows} == wanted and self._parts_intact(len(wanted))

    def _parts_intact(self, each: int) -> bool:
        if not self._partitions:
            return True
        rows = ask(
            self._connection,
            """SELECT count(*) FROM pg_catalog.pg_trigger WHERE tgfoid = to_regproc(%s) AND tgenabled <> 'D'
            AND tgrelid IN (SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = to_regclass(%s))""",
            (self._function, self._source.sql),
        )
        return bool(rows[0][0] == each * len(self._partitions))

    def keys(self, most: int) -> list[tuple[str | None, ...]] | None:
        """Return the different keys in the log, at most so many, as texts; None when the table was truncated."""
        if ask(self._connection, f"SELECT 1 FROM {self.sql} WHERE everything LIMIT 1"):
            return None
        names = ", ".join(f"{name}::text" for name in self._names)
        rows = ask(self._connection, f"SELECT DISTINCT {names} FROM {self.sql} LIMIT {int(most)}")
        return [tuple(row) for row in rows]

    def pending(self, most: int = 100_000) -> int:
        """Return how many different keys are in the log, at most so many; -1 when the table was truncated."""
        names = ", ".join(self._names)
        count, truncated = ask(
            self._connection,
            f"""SELECT (SELECT count(DISTINCT ({names})) FROM (SELECT {names} FROM {self.sql}
              WHERE NOT everything LIMIT {int(most)}) read), EXISTS (SELECT FROM {self.sql} WHERE everything)""",
        )[0]
        return -1 if truncated else int(count)

    def take(self, most: int) -> Taken:
        """Read at most so many rows, without removing them; of truncations all, whatever else there is.

        One statement, so one snapshot: whoever wrote after a truncation is not read without it.
        """
        names = ", ".join(f"{name}::text" for name in self._names)
        nulls = ", ".join("NULL::text" for _ in self._names)
        rows = ask(
            self._connection,
            f"""(SELECT relation, ctid::text, {nulls} FROM {self.sql} WHERE everything)
            UNION ALL (SELECT NULL, ctid::text, {names} FROM {self.sql} WHERE NOT everything LIMIT {int(most)})""",
        )
        places: dict[tuple[str, ...], list[str]] = {}
        truncated = []
        for relation, place, *key in rows:
            if relation is None:
                places.setdefault(tuple(key), []).append(place)
            else:
                places.setdefault((), []).append(place)
                truncated.append(int(relation))
        return Taken(places, tuple(truncated))

    def remove(self, taken: Taken, keys: Sequence[tuple[str, ...]]) -> None:
        """Remove the rows of some keys that were read in the open transaction; none that came later."""
        places = [place for key in keys for place in taken.places.get(key, ())]
        if places:
            # A row's place is its own until the transaction ends: nobody else updates or vacuums it away.
            ask(self._connection, f"DELETE FROM {self.sql} WHERE ctid = ANY(%s::tid[])", (places,))

    def _body(self) -> str:
        picked = ", ".join(map(quoted, self.columns))
        insert = f"INSERT INTO {self.sql} ({', '.join(self._names)})"
        old, new = (", ".join(f"{row}.{quoted(name)}" for name in self.columns) for row in ("OLD", "NEW"))
        # A TRUNCATE names no rows: one row without a key stands for all.
        body = f"""
        BEGIN
            IF TG_OP = 'TRUNCATE' THEN
                INSERT INTO {self.sql} (everything, relation) VALUES (true, TG_RELID);
            ELSIF TG_LEVEL = 'ROW' THEN
                IF TG_OP <> 'INSERT' THEN {insert} VALUES ({old}); END IF;
                IF TG_OP = 'INSERT' THEN {insert} VALUES ({new}); END IF;
                IF TG_OP = 'UPDATE' AND ROW({old}) IS DISTINCT FROM ROW({new}) THEN {insert} VALUES ({new}); END IF;
            ELSIF TG_OP = 'INSERT' THEN
                {insert} SELECT {picked} FROM new_rows;
            ELSE
                {insert} SELECT {picked} FROM old_rows;
                IF TG_OP = 'UPDATE' THEN
                    {insert} SELECT {picked} FROM new_rows EXCEPT SELECT {picked} FROM old_rows;
                END IF;
            END IF;
            RETURN NULL;
        END"""
        # Writers need no right on the log: the function has its owner's. Its names are all in full.
        return (
            f"CREATE FUNCTION {self._function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
            f"SET search_path = pg_catalog AS {literal(body)}"
        )

    def _statement_triggers(self, table: str) -> list[str]:
        made = [
            f"CREATE TRIGGER {quoted(self._trigger(event))} AFTER {event.upper()} ON {table} {_ROWS.get(event, '')}"
            f"FOR EACH STATEMENT EXECUTE FUNCTION {self._function}()"
            for event in _EVENTS
        ]
        return [*made, f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {quoted(self._trigger('truncate'))}"]

    def _row_trigger(self) -> list[str]:
        name = quoted(self._trigger("row"))
        made = (
            f"CREATE TRIGGER {name} AFTER INSERT OR UPDATE OR DELETE ON {self._source.sql} "
            f"FOR EACH ROW EXECUTE FUNCTION {self._function}()"
        )
        return [made, f"ALTER TABLE {self._source.sql} ENABLE REPLICA TRIGGER {name}"]

    def _trigger(self, event: str) -> str:
        return f"bedplate_keys{self._back}_{event}"
