"""The key log: the keys of all rows of a table that are written, from the moment it is in place.

A comparison at a snapshot says that two tables were equal then. Whatever was written since is named here, so comparing
these keys, under a lock at last, says that they are equal now, however rows got from one to the other. The log is a
logged table of its own; a key is in it as soon as, and only if, its transaction commits.

Statement triggers with transition tables write it, one INSERT a statement. What replication applies, or a session with
``session_replication_role = replica``, fires none of them but, by contrast, row triggers that are enabled for replicas
only: so each write is logged by one or the other. TRUNCATE fires always, and goes to a table of its own, as the log has
neither an index nor a number: every writer would pay for them.

A partitioned table has the same triggers, and each of its partitions, too: a statement that names a partition fires
those of the partition alone, one that names the table those of the table alone. Its log has names of its own, so that
both logs of a cutover can be there: one that is used, and one that is laid for the other direction.

Rows are appended, not upserted: two writers of one row must not wait for each other longer than they do anyway, and a
writer at SERIALIZABLE must not fail for the log's sake. A key may thus come several times; readers take them distinct.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import CutoverError, ask, literal, locally, quoted, transaction
from bedplate.database.cutover.catalog import Table, read
from bedplate.database.cutover.layout import twin_name

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["KeyLog", "Taken", "log_functions", "log_names", "log_triggers"]

_EVENTS = ("insert", "update", "delete", "truncate")
_ROWS = {
    "insert": "REFERENCING NEW TABLE AS new_rows ",
    "update": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows ",
    "delete": "REFERENCING OLD TABLE AS old_rows ",
}
#: What each does; a set operation and an INSERT find their operators by the types, whatever the search path is.
_BODIES = {
    "insert": "{insert} SELECT {picked} FROM new_rows;",
    "update": """{insert} SELECT {picked} FROM old_rows;
        {insert} SELECT {picked} FROM new_rows EXCEPT SELECT {picked} FROM old_rows;""",
    "delete": "{insert} SELECT {picked} FROM old_rows;",
    "truncate": "INSERT INTO {emptied} (relation) VALUES (TG_RELID);",
    "row": """IF TG_OP <> 'INSERT' THEN {insert} VALUES ({old}); END IF;
        IF TG_OP = 'INSERT' THEN {insert} VALUES ({new}); END IF;
        IF TG_OP = 'UPDATE' AND ROW({old}) IS DISTINCT FROM ROW({new}) THEN {insert} VALUES ({new}); END IF;""",
}
#: Bytes of a log's file that take a millisecond or so to read; and rows that are quickly written anew.
_LARGE, _LITTLE = 1 << 20, 200
_OURS = "tgfoid = ANY(ARRAY(SELECT to_regproc(f) FROM unnest(%s::text[]) f))"
_PARTITIONS = """SELECT n.nspname, c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE i.inhparent = %s ORDER BY c.relname"""


@dataclass(frozen=True, slots=True)
class Taken:
    """Rows of a log as they were read at once: ``places`` of each key, by which they can be removed.

    :ivar truncated: the OIDs of the tables that were truncated, and the places of these rows.
    """

    places: dict[tuple[str, ...], list[str]]
    truncated: dict[int, list[str]] = field(default_factory=dict)

    @property
    def keys(self) -> list[tuple[str, ...]]:
        """The different keys."""
        return list(self.places)

    @property
    def rows(self) -> int:
        """How many rows of the log there were, truncations aside."""
        return sum(map(len, self.places.values()))


def log_names(name: str) -> tuple[set[str], set[str]]:
    """Return the names of the tables and of the functions that the logs of a table have, in both directions."""
    both = [_named(name, back) for back in ("", "_back")]
    return {one for keys, emptied, _ in both for one in (keys, emptied)}, {f for *_, fs in both for f in fs.values()}


def log_functions(name: str, *, partitioned: bool) -> tuple[str, ...]:
    """Return the names of the functions of a log, without the schema's."""
    return tuple(_named(name, _back(partitioned))[2].values())


def log_triggers(*, partitioned: bool) -> tuple[str, ...]:
    """Return the names of the triggers that :attr:`KeyLog.late` makes."""
    events = _EVENTS if partitioned else (*_EVENTS, "row")
    return tuple(f"bedplate_keys{_back(partitioned)}_{event}" for event in events)


def _back(partitioned: bool) -> str:
    return "_back" if partitioned else ""


def _named(name: str, back: str) -> tuple[str, str, dict[str, str]]:
    functions = {event: twin_name(name, f"_log_keys{back}_{event}") for event in _BODIES}
    return twin_name(name, f"_keys{back}"), twin_name(name, f"_keys_truncated{back}"), functions


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
        self._back = _back(source.kind == "p")
        keys, emptied, functions = _named(name or source.name, self._back)
        self.sql = quoted(source.schema, keys)
        self._emptied = quoted(source.schema, emptied)
        self._functions = {event: quoted(source.schema, function) for event, function in functions.items()}
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
        made = [
            f"CREATE TABLE {self.sql} ({columns})",
            f"ALTER TABLE {self.sql} OWNER TO {owner}",
            f"CREATE TABLE {self._emptied} (relation oid NOT NULL)",
            f"ALTER TABLE {self._emptied} OWNER TO {owner}",
            # Without an identity no row could be removed where all tables are published.
            f"ALTER TABLE {self.sql} REPLICA IDENTITY FULL",
            f"ALTER TABLE {self._emptied} REPLICA IDENTITY FULL",
        ]
        for event, function in self._functions.items():
            made += [
                self._function(event),
                f"ALTER FUNCTION {function}() OWNER TO {owner}",
                f"REVOKE ALL ON FUNCTION {function}() FROM PUBLIC",
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
        made = [f"DELETE FROM {self.sql}", f"DELETE FROM {self._emptied}", *self._statement_triggers(self._source.sql)]
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

    def renew(self, *, patience: float = 0.15) -> None:
        """Put the log in place anew, whatever is left of it; what was in it, and what it missed, nobody knows then.

        :raises psycopg.errors.LockNotAvailable: when somebody held the table longer; try again.
        """
        with transaction(self._connection):
            locally(self._connection, lock_timeout=f"{int(patience * 1000)}ms")
            # With its partitions, at once: triggers would be taken from them one by one.
            ask(self._connection, f"LOCK TABLE {self._source.sql} IN ACCESS EXCLUSIVE MODE")
            self.drop(patience=patience)
            self.create(patience=patience)

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
            functions = ", ".join(f"{function}()" for function in self._functions.values())
            ask(self._connection, f"DROP FUNCTION IF EXISTS {functions} CASCADE")
            ask(self._connection, f"DROP TABLE IF EXISTS {self.sql}, {self._emptied}")

    @property
    def laid(self) -> bool:
        """Whether all is there that :meth:`lay` makes."""
        return self.exists and self._parts_intact(len(_EVENTS) + 1)

    @property
    def partitioned(self) -> bool:
        """Whether it is the log of a partitioned table."""
        return bool(self._partitions)

    @property
    def truncated(self) -> bool:
        """Whether a truncation is in it that was not followed yet."""
        return bool(ask(self._connection, f"SELECT EXISTS (SELECT FROM {self._emptied})")[0][0])

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
            f"SELECT tgname, tgenabled::text FROM pg_catalog.pg_trigger WHERE tgrelid = to_regclass(%s) AND {_OURS}",
            (self._source.sql, list(self._functions.values())),
        )
        return self.exists and {tuple(row) for row in rows} == wanted and self._parts_intact(len(wanted))

    def _parts_intact(self, each: int) -> bool:
        if not self._partitions:
            return True
        rows = ask(
            self._connection,
            f"""SELECT count(*) FROM pg_catalog.pg_trigger WHERE tgenabled <> 'D' AND tgrelid IN (
              SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = to_regclass(%s)) AND {_OURS}""",
            (self._source.sql, list(self._functions.values())),
        )
        return bool(rows[0][0] == each * len(self._partitions))

    def keys(self, most: int) -> list[tuple[str | None, ...]] | None:
        """Return the different keys in the log, at most so many, as texts; None when the table was truncated."""
        if self.truncated:
            return None
        names = ", ".join(f"{name}::text" for name in self._names)
        rows = ask(self._connection, f"SELECT DISTINCT {names} FROM {self.sql} LIMIT {int(most)}")
        return [tuple(row) for row in rows]

    def pending(self, most: int = 100_000) -> int:
        """Return how many different keys are in the log, at most so many; -1 when the table was truncated."""
        names = ", ".join(self._names)
        count, truncated = ask(
            self._connection,
            f"""SELECT (SELECT count(DISTINCT ({names})) FROM (SELECT {names} FROM {self.sql} LIMIT {int(most)}) read),
              EXISTS (SELECT FROM {self._emptied})""",
        )[0]
        return -1 if truncated else int(count)

    def rows(self, most: int = 10_000_000) -> int:
        """Return how many rows are in the log, at most so many; a key may have several."""
        return int(ask(self._connection, f"SELECT count(*) FROM (SELECT FROM {self.sql} LIMIT {int(most)}) r")[0][0])

    def take(self, most: int) -> Taken:
        """Read at most so many rows, without removing them; of truncations all, whatever else there is.

        One statement, so one snapshot: what was written after a truncation is not read without it.
        """
        names = ", ".join(f"{name}::text" for name in self._names)
        nulls = ", ".join("NULL::text" for _ in self._names)
        rows = ask(
            self._connection,
            f"""(SELECT relation, ctid::text, {nulls} FROM {self._emptied})
            UNION ALL (SELECT NULL, ctid::text, {names} FROM {self.sql} LIMIT {int(most)})""",
        )
        places: dict[tuple[str, ...], list[str]] = {}
        truncated: dict[int, list[str]] = {}
        for relation, place, *key in rows:
            if relation is None:
                places.setdefault(tuple(key), []).append(place)
            else:
                truncated.setdefault(int(relation), []).append(place)
        return Taken(places, truncated)

    def streamed(self, size: int) -> Iterator[list[tuple[str, ...]]]:
        """Return the different keys in the log, so many at a time, in the open transaction: however many there are."""
        names = ", ".join(f"{name}::text" for name in self._names)
        with self._connection.cursor(name="bedplate_keys") as cursor:
            cursor.execute(f"SELECT DISTINCT {names} FROM {self.sql}".encode())
            while rows := cursor.fetchmany(size):
                yield [tuple(row) for row in rows]

    def remove(self, taken: Taken, keys: Sequence[tuple[str, ...]]) -> None:
        """Remove the rows of some keys that were read in the open transaction; none that came later."""
        self._remove(self.sql, [place for key in keys for place in taken.places.get(key, ())])

    def followed(self, taken: Taken) -> None:
        """Remove the truncations that were read in the open transaction; none that came later."""
        self._remove(self._emptied, [place for places in taken.truncated.values() for place in places])

    def shrink(self, *, patience: float = 0.02) -> float:
        """Make the log's file as small as what is in it, if it has grown and little is; whoever reads it reads it all.

        :param patience: seconds to wait for transactions that have written to the log, with others waiting behind.
        :return: seconds for which writers had to wait, 0 when nothing was to be done or somebody was in the way.
        """
        from psycopg.errors import LockNotAvailable

        if ask(self._connection, "SELECT pg_catalog.pg_relation_size(%s)", (self.sql,))[0][0] < _LARGE:
            return 0.0
        try:
            with transaction(self._connection):
                locally(self._connection, lock_timeout=f"{int(patience * 1000)}ms")
                ask(self._connection, f"LOCK TABLE {self.sql} IN ACCESS EXCLUSIVE MODE")
                began = time.monotonic()
                # With the lock nobody has uncommitted rows here, and no snapshot but this one's matters.
                # As texts: there are values that PostgreSQL has and Python has not, as the end of time.
                names = ", ".join(f"{name}::text" for name in self._names)
                keys = ask(self._connection, f"SELECT {names} FROM {self.sql} LIMIT {_LITTLE + 1}")
                if len(keys) > _LITTLE:
                    return 0.0
                ask(self._connection, f"TRUNCATE {self.sql}")
                if keys:
                    row = f"({', '.join(f'%s::text::{kind}' for kind in self._types)})"
                    values = [value for key in keys for value in key]
                    ask(self._connection, f"INSERT INTO {self.sql} VALUES {', '.join(row for _ in keys)}", values)
        except LockNotAvailable:
            return 0.0
        return time.monotonic() - began

    def _remove(self, table: str, places: list[str]) -> None:
        if places:
            # A row's place is its own until the transaction ends: nobody else updates or vacuums it away.
            ask(self._connection, f"DELETE FROM {table} WHERE ctid = ANY(%s::tid[])", (places,))

    def _function(self, event: str) -> str:
        picked = ", ".join(map(quoted, self.columns))
        old, new = (", ".join(f"{row}.{quoted(name)}" for name in self.columns) for row in ("OLD", "NEW"))
        insert = f"INSERT INTO {self.sql} ({', '.join(self._names)})"
        body = _BODIES[event].format(insert=insert, picked=picked, old=old, new=new, emptied=self._emptied)
        # Writers need no right on the log: the function has its owner's. Its names are all in full. Only the one that
        # compares has a search path, as each call pays for that.
        path = " SET search_path = pg_catalog" if event == "row" else ""
        return (
            f"CREATE OR REPLACE FUNCTION {self._functions[event]}() RETURNS trigger LANGUAGE plpgsql "
            f"SECURITY DEFINER{path} AS {literal(f'BEGIN {body} RETURN NULL; END')}"
        )

    def _statement_triggers(self, table: str) -> list[str]:
        made = [
            f"CREATE TRIGGER {quoted(self._trigger(event))} AFTER {event.upper()} ON {table} {_ROWS.get(event, '')}"
            f"FOR EACH STATEMENT EXECUTE FUNCTION {self._functions[event]}()"
            for event in _EVENTS
        ]
        return [*made, f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {quoted(self._trigger('truncate'))}"]

    def _row_trigger(self) -> list[str]:
        name = quoted(self._trigger("row"))
        made = (
            f"CREATE TRIGGER {name} AFTER INSERT OR UPDATE OR DELETE ON {self._source.sql} "
            f"FOR EACH ROW EXECUTE FUNCTION {self._functions['row']}()"
        )
        return [made, f"ALTER TABLE {self._source.sql} ENABLE REPLICA TRIGGER {name}"]

    def _trigger(self, event: str) -> str:
        return f"bedplate_keys{self._back}_{event}"
