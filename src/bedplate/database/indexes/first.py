"""Making indexes while a database opens: in a file all that are missing, on a server those of tables without a row.

A file serves one host, and searching it needs the tables that stand for an index. On a server that is what lets a new
installation begin complete; whatever has rows is left to ``bedplate db indexes``, which stands in nobody's way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bedplate.database.errors import MigrationError, is_connection_fault, said
from bedplate.database.indexes import ddl, sqlite
from bedplate.database.indexes.declaration import Index
from bedplate.database.indexes.extensions import ensure
from bedplate.database.indexes.forms import FullText
from bedplate.problems import BedplateError

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["lacking", "make_in_empty", "make_in_file"]

#: Milliseconds to wait for the lock of an empty table, behind which its first writers would queue.
_LOCK = 500


def lacking(connection: Connection, declared: Sequence[Index]) -> list[Index]:
    """Return those that are missing, whole or in part, from tables that are there."""
    from sqlalchemy import bindparam, text

    if not declared:
        return []
    if connection.dialect.name == "sqlite":
        names = {row[0] for row in connection.exec_driver_sql("SELECT name FROM sqlite_master")}
        return [
            index
            for index in declared
            if index.plain_table in names and any(made.name not in names for made in ddl.made_on_sqlite(index))
        ]
    query = text("SELECT to_regclass(:table) IS NOT NULL AND NOT EXISTS (SELECT FROM pg_class WHERE relname = :name)")
    query = query.bindparams(bindparam("table"), bindparam("name"))
    wanted = [({"table": ddl.quoted(index.table), "name": index.name}, index) for index in declared]
    return [index for values, index in wanted if connection.execute(query, values).scalar()]


def make_in_file(connection: Connection, declared: Sequence[Index]) -> list[str]:
    """Make what is missing in a file, in the present transaction; return the names.

    :raises MigrationError: when one cannot be made.
    """
    made = []
    for index in lacking(connection, declared):
        try:
            sqlite.make(connection, index)
        except Exception as error:
            if is_connection_fault(error):
                raise
            raise MigrationError(
                f"The index {index.name} cannot be made: {said(error)}.", "Compare its declaration with the table."
            ) from error
        made.append(index.name)
    return made


def make_in_empty(connection: Connection, declared: Sequence[Index]) -> list[str]:
    """Make what is missing on tables without a row, in the present transaction of a server; return the names.

    What cannot be made at once is left: the service runs without it, and says so.
    """
    made = []
    for index in lacking(connection, declared):
        with connection.begin_nested() as nested:
            try:
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_LOCK}")
                if connection.exec_driver_sql(f"SELECT EXISTS (SELECT FROM {ddl.quoted(index.table)})").scalar():
                    continue
                for name in index.extensions:
                    ensure(connection, name)
                form = index.form
                if isinstance(form, FullText) and form.vector:
                    connection.exec_driver_sql(form.kept_by(ddl.quoted(index.table)))
                connection.exec_driver_sql(ddl.create(index, "postgresql"))
            except BedplateError:
                nested.rollback()
            except Exception as error:
                if is_connection_fault(error):
                    raise
                nested.rollback()
            else:
                made.append(index.name)
    return made
