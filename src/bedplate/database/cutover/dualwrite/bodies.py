"""The functions that write a table's twin whenever the table is written, as PL/pgSQL.

There are two kinds. While rows are copied they are *lenient*: what is inserted or updated is upserted in the twin, and
of what is deleted, or gets another key, the old key becomes a tombstone. Whoever copies may have read the row before,
so deleting it in the twin at once would be in vain; the tombstone is acted upon when that cannot be. Afterwards
they are *strict*: rows are deleted in the twin, too, and a transaction whose snapshot is too old to see them there gets
40001 and is tried again.

They hide no error from the writer, as that would cost a subtransaction a write and leave the twin different. The twin
has no constraint that its table has not; while it may have rows too many, only a primary key. So what fails there fails
at home, too, and what is left to fear is waiting for a lock: it is the worker that gives way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bedplate.database.cutover.asking import quoted

__all__ = ["EVENTS", "Bodies"]

#: What fires each function: the event, the rows that it is given, and for what each.
EVENTS: dict[str, tuple[str, str, str]] = {
    "insert": ("INSERT", "REFERENCING NEW TABLE AS new_rows ", "STATEMENT"),
    "update": ("UPDATE", "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows ", "STATEMENT"),
    "delete": ("DELETE", "REFERENCING OLD TABLE AS old_rows ", "STATEMENT"),
    "truncate": ("TRUNCATE", "", "STATEMENT"),
    "row": ("INSERT OR UPDATE OR DELETE", "", "ROW"),
}

#: So many rows of a statement are upserted. What is beyond is inserted, for half the work, in a subtransaction, for the
#: case that one is there after all: a transaction gets no subtransactions from statements with a few rows.
_FEW = 4


@dataclass(frozen=True, slots=True)
class Bodies:
    """The bodies for one table.

    :param home: the table, its ``twin`` and its ``tombstones``, quoted in full. :param columns: that are written.
    :param changed: those of them that an upsert sets. :param ids: that identify a row in both.
    """

    home: str
    twin: str
    tombstones: str
    columns: Sequence[str]
    changed: Sequence[str]
    ids: Sequence[str]

    def lenient(self) -> dict[str, str]:
        """Return the functions for as long as rows are copied, by what fires them."""
        old, new, row = self._picked(self.ids, "o"), self._picked(self.ids, "n"), self._picked(self.ids, "OLD")
        bury = f"INSERT INTO {self.tombstones} ({self._keys()})"
        return {
            "insert": self._insert(),
            "update": _block(f"""
                {bury} SELECT {old} FROM old_rows o EXCEPT SELECT {new} FROM new_rows n;
                {self._upsert("new_rows n")};"""),
            "delete": _block(f"{bury} SELECT {old} FROM old_rows o;"),
            "truncate": self._truncate(),
            "row": self._row(f"{bury} VALUES ({row});"),
        }

    def strict(self, fence: int) -> dict[str, str]:
        """Return the functions for when all rows are there.

        :param fence: the transaction that brings them about: who does not see it may not see the rows either.
        """
        old, new = self._named("o"), self._named("n")
        return {
            "insert": self._insert(),
            "update": _block(f"""
                FOR gone IN SELECT {old} FROM old_rows o EXCEPT SELECT {new} FROM new_rows n LOOP
                    {self._erase(fence)}
                END LOOP;
                {self._upsert("new_rows n")};"""),
            "delete": _block(f"""
                FOR gone IN SELECT {old} FROM old_rows o LOOP
                    {self._erase(fence)}
                END LOOP;"""),
            "truncate": self._truncate(),
            "row": self._row(f"SELECT {self._named('OLD')} INTO gone; {self._erase(fence)}"),
        }

    def _insert(self) -> str:
        return _block(f"""
            {self._upsert(f"new_rows n LIMIT {_FEW}")};
            GET DIAGNOSTICS written = ROW_COUNT;
            IF written < {_FEW} THEN
                RETURN NULL;
            END IF;
            BEGIN
                {self._into(f"new_rows n OFFSET {_FEW}")};
            EXCEPTION WHEN unique_violation THEN
                {self._upsert(f"new_rows n OFFSET {_FEW}")};
            END;""")

    def _truncate(self) -> str:
        return _block(f"TRUNCATE {self.twin};")

    def _row(self, without: str) -> str:
        """What replication applies, or a session does as a replica, comes row by row."""
        old, new = self._picked(self.ids, "OLD"), self._picked(self.ids, "NEW")
        values = f"VALUES ({self._picked(self.columns, 'NEW')})"
        write = f"{self._start()} {values} {self._on_conflict()};"
        return _block(f"""
            IF TG_OP = 'INSERT' THEN
                {write}
            ELSIF TG_OP = 'DELETE' THEN
                {without}
            ELSE
                IF ROW({old}) IS DISTINCT FROM ROW({new}) THEN
                    {without}
                END IF;
                {write}
            END IF;""")

    def _erase(self, fence: int) -> str:
        """Delete a row in the twin, unless the table has it again: one statement may have inserted it, too, and the
        trigger for that may have come first. What an upsert cannot set is right only if that row is copied anew.

        A snapshot that sees the fence sees every row that was copied. If the row is not there then, the twin was wrong
        before, which the comparison tells, and is no reason to refuse the write.
        """
        there, here = self._same("t"), self._same("h")
        unless = f" AND NOT EXISTS (SELECT FROM {self.home} h WHERE {here})"
        again = ""
        if len(self.changed) < len(self.columns):
            picked = self._picked(self.columns, "h")
            unless, again = "", f"{self._start()} SELECT {picked} FROM {self.home} h WHERE {here};"
        return f"""
            DELETE FROM {self.twin} t WHERE {there}{unless};
            IF NOT FOUND AND NOT pg_visible_in_snapshot('{fence}'::xid8, pg_current_snapshot()) THEN
                RAISE EXCEPTION 'could not serialize access due to a cutover of %', TG_TABLE_NAME
                    USING ERRCODE = 'serialization_failure', HINT = 'The transaction might succeed if retried.';
            END IF;
            {again}"""

    def _upsert(self, source: str) -> str:
        return f"{self._into(source)} {self._on_conflict()}"

    def _into(self, source: str) -> str:
        return f"{self._start()} SELECT {self._picked(self.columns, 'n')} FROM {source}"

    def _start(self) -> str:
        return f"INSERT INTO {self.twin} ({self._names()}) OVERRIDING SYSTEM VALUE"

    def _on_conflict(self) -> str:
        # The identifying columns as well: values that are equal need not be the same, as 1.0 and 1.00.
        sets = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in self.changed)
        return f"ON CONFLICT ({', '.join(map(quoted, self.ids))}) DO UPDATE SET {sets}"

    def _names(self) -> str:
        return ", ".join(map(quoted, self.columns))

    def _keys(self) -> str:
        return ", ".join(f"k{number}" for number in range(len(self.ids)))

    def _named(self, row: str) -> str:
        return ", ".join(f"{row}.{quoted(name)} AS k{number}" for number, name in enumerate(self.ids))

    def _same(self, table: str) -> str:
        return " AND ".join(f"{table}.{quoted(name)} = gone.k{number}" for number, name in enumerate(self.ids))

    @staticmethod
    def _picked(names: Sequence[str], row: str) -> str:
        return ", ".join(f"{row}.{quoted(name)}" for name in names)


def _block(statements: str) -> str:
    # A column may be called as a variable of the language is.
    return f"""
        #variable_conflict use_column
        DECLARE
            gone record;
            written bigint;
        BEGIN
            {statements}
            RETURN NULL;
        END"""
