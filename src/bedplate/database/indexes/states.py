"""How each declared index is in the database: there, missing, invalid, or another one than is declared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bedplate.database.errors import said
from bedplate.database.indexes import ddl, sqlite
from bedplate.database.indexes.catalog import Present, definition
from bedplate.database.indexes.declaration import Index

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["State", "Word", "states"]

Word = Literal["present", "missing", "invalid", "building", "different", "no table"]

_LIKE = "bedplate_index_like"

_TABLE = """SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.oid::regclass::text, c.relkind::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%(name)s)"""
_WANTED = """SELECT pg_get_indexdef(i.indexrelid), 'pg_temp.bedplate_index_like', i.indisunique
FROM pg_index i WHERE i.indrelid = to_regclass('pg_temp.bedplate_index_like')"""
_PARTS = """SELECT count(*) FILTER (WHERE x.oid IS NOT NULL), count(*) FROM pg_partition_tree(to_regclass(%(table)s)) t
LEFT JOIN (SELECT i.indrelid AS held, x.oid FROM pg_partition_tree(to_regclass(%(index)s)) d
  JOIN pg_index i ON i.indexrelid = d.relid AND i.indisvalid JOIN pg_class x ON x.oid = d.relid) x ON x.held = t.relid
WHERE t.isleaf"""


@dataclass(frozen=True, slots=True)
class State:
    """A declared index and how it is.

    :ivar why: what is there instead, or how far it is; empty when it is as declared.
    """

    index: Index
    word: Word
    why: str = ""
    found: Present | None = None

    @property
    def wanting(self) -> bool:
        """Whether there is something to make."""
        return self.word in ("missing", "invalid")

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return {
            "name": self.index.name,
            "table": self.index.table,
            "state": self.word,
            "why": self.why or None,
            "asked": self.index.path.asked,
            "bytes": self.found.size if self.found is not None else None,
            "uses": self.found.scans if self.found is not None else None,
        }


def states(connection: Connection, declared: Sequence[Index], found: Sequence[Present]) -> list[State]:
    """Return how each is; in a transaction, of which nothing stays behind."""
    if connection.dialect.name == "sqlite":
        return [_in_file(connection, index, found) for index in declared]
    return [_on_server(connection, index, found) for index in declared]


def _in_file(connection: Connection, index: Index, found: Sequence[Present]) -> State:
    there = next((one for one in found if one.name == index.name), None)
    from sqlalchemy import inspect

    if not inspect(connection).has_table(index.plain_table):
        return State(index, "no table")
    if there is None and (index.form is None or sqlite.lost(connection, index)):
        return State(index, "missing")
    if sqlite.lost(connection, index):
        return State(index, "invalid", "a part of it is missing", there)
    same, instead = sqlite.like(connection, index)
    return State(index, "present" if same else "different", "" if same else instead, there)


def _on_server(connection: Connection, index: Index, found: Sequence[Present]) -> State:
    row = connection.exec_driver_sql(_TABLE, {"name": ddl.quoted(index.table)}).first()
    if row is None or row[2] not in "rp":
        return State(index, "no table")
    there = next((one for one in found if one.name.rpartition(".")[2] == index.name and one.table == row[1]), None)
    if there is None:
        return State(index, "missing")
    if there.building:
        return State(index, "building", "", there)
    wanted, why = _wanted(connection, index)
    if wanted is not None and wanted != there.definition:
        return State(index, "different", f"{there.definition}, not {wanted}", there)
    if not there.valid:
        if there.partitioned:
            names = {"table": ddl.quoted(index.table), "index": _full(row[0], index)}
            done, all_of = connection.exec_driver_sql(_PARTS, names).one()
            return State(index, "invalid", f"on {done} of {all_of} partitions", there)
        return State(index, "invalid", "its making was broken off", there)
    return State(index, "present", why, there)


def _full(table: str, index: Index) -> str:
    # An index stands in the schema of its table.
    schema = table[: table.rindex(".", 0, len(table) - len(ddl.quoted(index.plain_table)) + 2)]
    return f"{schema}.{ddl.quoted(index.name)}"


def _wanted(connection: Connection, index: Index) -> tuple[str | None, str]:
    """Return a declaration as the server itself writes it, by making it on an empty likeness of the table.

    Where that cannot be done, None and why.
    """
    nested = connection.begin_nested()
    try:
        connection.exec_driver_sql(f"CREATE TEMP TABLE {_LIKE} (LIKE {ddl.quoted(index.table)}) ON COMMIT DROP")
        connection.exec_driver_sql(ddl.create(index, "postgresql", table=f"pg_temp.{_LIKE}").replace("%", "%%"))
        row = connection.exec_driver_sql(_WANTED).one()
        return definition(*row), ""
    except Exception as error:
        return None, f"not compared: {said(error)}"
    finally:
        nested.rollback()
