"""The key log: the keys of all rows of a table that are written, from the moment it is in place.

A comparison at a snapshot says that two tables were equal then. Whatever was written since is named here, so comparing
these keys, under a lock at last, says that they are equal now, however rows got from one to the other. The log is a
logged table of its own; a key is in it as soon as, and only if, its transaction commits.

Statement triggers with transition tables write it, one INSERT a statement. What replication applies, or a session with
``session_replication_role = replica``, fires none of them but, by contrast, row triggers that are enabled for replicas
only: so each write is logged by one or the other. TRUNCATE fires always.

Rows are appended, not upserted: two writers of one row must not wait for each other longer than they do anyway, and a
writer at SERIALIZABLE must not fail for the log's sake. A key may thus come several times; readers take them distinct.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import CutoverError, ask, literal, quoted, transaction
from bedplate.database.cutover.catalog import Table, read
from bedplate.database.cutover.layout import twin_name

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["KeyLog"]

_TRIGGERS = ("insert", "update", "delete", "truncate", "row")


class KeyLog:
    """The log of one table; making the object reads the catalog and changes nothing.

    :param table: as SQL takes its name.
    :param columns: whose values are logged, before and after a change; by default the primary key's.
    :raises CutoverError: when there is no such table or column, or nothing identifies its rows.
    """

    def __init__(self, connection: Connection[Any], table: str, columns: Sequence[str] = ()) -> None:
        self._connection = connection
        with transaction(connection):
            source = read(connection, table)
        self.columns = tuple(columns) or source.primary
        known = {column.name: column.type for column in source.columns}
        if not self.columns or any(name not in known for name in self.columns):
            what = f"What identifies the rows of {source.schema}.{source.name} is not known."
            raise CutoverError(what, "Name columns that it has, or give it a primary key.")
        self._types = [known[name] for name in self.columns]
        self._source: Table = source
        self.sql = quoted(source.schema, twin_name(source.name, "_keys"))
        self._function = quoted(source.schema, twin_name(source.name, "_log_keys"))

    @property
    def statements(self) -> tuple[str, ...]:
        """What makes the log, in order."""
        names = [f"k{number}" for number in range(len(self.columns))]
        columns = ", ".join(f"{name} {kind}" for name, kind in zip(names, self._types, strict=True))
        picked = ", ".join(map(quoted, self.columns))
        insert = f"INSERT INTO {self.sql} ({', '.join(names)})"
        old, new = (", ".join(f"{row}.{quoted(name)}" for name in self.columns) for row in ("OLD", "NEW"))
        # A TRUNCATE names no rows: one row without a key stands for all.
        body = f"""
        BEGIN
            IF TG_OP = 'TRUNCATE' THEN
                INSERT INTO {self.sql} (everything) VALUES (true);
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
        function = (
            f"CREATE FUNCTION {self._function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
            f"SET search_path = pg_catalog AS {literal(body)}"
        )
        log = (
            f"CREATE TABLE {self.sql} (number bigint GENERATED ALWAYS AS IDENTITY, {columns}, "
            "everything boolean NOT NULL DEFAULT false)"
        )
        owner = quoted(self._source.owner)
        made = [
            log,
            f"ALTER TABLE {self.sql} OWNER TO {owner}",
            function,
            f"ALTER FUNCTION {self._function}() OWNER TO {owner}",
            f"REVOKE ALL ON FUNCTION {self._function}() FROM PUBLIC",
        ]
        rows = {
            "insert": "REFERENCING NEW TABLE AS new_rows ",
            "update": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows ",
            "delete": "REFERENCING OLD TABLE AS old_rows ",
        }
        for event in _TRIGGERS:
            name, what, each = quoted(self._trigger(event)), event.upper(), "STATEMENT"
            if event == "row":
                what, each = "INSERT OR UPDATE OR DELETE", "ROW"
            made.append(
                f"CREATE TRIGGER {name} AFTER {what} ON {self._source.sql} {rows.get(event, '')}"
                f"FOR EACH {each} EXECUTE FUNCTION {self._function}()"
            )
        made.append(f"ALTER TABLE {self._source.sql} ENABLE ALWAYS TRIGGER {quoted(self._trigger('truncate'))}")
        made.append(f"ALTER TABLE {self._source.sql} ENABLE REPLICA TRIGGER {quoted(self._trigger('row'))}")
        return tuple(made)

    def create(self, *, patience: float = 0.15) -> None:
        """Put the log in place, as a whole or not at all; what commits from now on is in it.

        :param patience: seconds to wait for the table, while everybody who writes waits behind.
        :raises psycopg.errors.LockNotAvailable: when somebody held the table longer; try again.
        """
        with transaction(self._connection):
            ask(self._connection, f"SET LOCAL lock_timeout = {int(patience * 1000)}")
            ask(self._connection, f"LOCK TABLE {self._source.sql} IN SHARE ROW EXCLUSIVE MODE")
            for statement in self.statements:
                ask(self._connection, statement)

    def drop(self, *, patience: float = 0.15) -> None:
        """Take the log away, if it is there."""
        with transaction(self._connection):
            ask(self._connection, f"SET LOCAL lock_timeout = {int(patience * 1000)}")
            for event in _TRIGGERS:
                ask(self._connection, f"DROP TRIGGER IF EXISTS {quoted(self._trigger(event))} ON {self._source.sql}")
            ask(self._connection, f"DROP FUNCTION IF EXISTS {self._function}()")
            ask(self._connection, f"DROP TABLE IF EXISTS {self.sql}")

    def keys(self, most: int) -> list[tuple[str | None, ...]] | None:
        """Return the different keys in the log, at most so many, as texts; None when the table was truncated."""
        if ask(self._connection, f"SELECT 1 FROM {self.sql} WHERE everything LIMIT 1"):
            return None
        names = ", ".join(f"k{number}::text" for number in range(len(self.columns)))
        rows = ask(self._connection, f"SELECT DISTINCT {names} FROM {self.sql} LIMIT {int(most)}")
        return [tuple(row) for row in rows]

    def _trigger(self, event: str) -> str:
        return f"bedplate_keys_{event}"
