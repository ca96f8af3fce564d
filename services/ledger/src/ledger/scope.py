"""The one way to an organisation's rows.

A :class:`Scope` is a connection in a transaction of one organisation. What keeps it to itself, even where a query
forgets to ask for it:

- Every statement made of tables is narrowed to the organisation's rows here, or refused when it would write another's.
- On PostgreSQL the transaction has the role ``ledger_tenant``, to which row security shows one organisation, whatever
  the SQL. Role and organisation are settings of the transaction, so they are right behind PgBouncer in transaction
  mode, and gone at its end.
- On SQLite, which has no row security, SQL as text is refused.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

from sqlalchemy import CompoundSelect, Delete, Insert, Select, Table, Update, union_all
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import AliasedReturnsRows
from sqlalchemy.sql.visitors import iterate

from bedplate.problems import BedplateError
from ledger.tables import ORGANIZATIONS, OWNED

__all__ = ["Scope", "WrongOrganization", "scoped"]

ENTER: Final = "SELECT set_config('ledger.organization', $1, true), set_config('role', 'ledger_tenant', true)"


class WrongOrganization(BedplateError):
    """A statement that would read or write what is not the organisation's."""


class Scope:
    """A transaction of one organisation; see :func:`scoped`.

    :ivar organization: whose. :ivar connection: behind it; on PostgreSQL it sees the organisation's rows alone.
    """

    def __init__(self, connection: AsyncConnection, organization: int) -> None:
        self.connection = connection
        self.organization = organization
        #: A read that its replica could not answer goes on at the primary, where nobody has entered yet.
        self._moved = False

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self.connection.dialect.name

    async def enter(self) -> None:
        """Be the organisation, and nobody else, until the transaction ends."""
        if self.dialect == "postgresql":
            await self.connection.exec_driver_sql(ENTER, (str(self.organization),))
            self._moved = getattr(self.connection, "moved", False)

    async def execute(self, statement: Any, rows: Sequence[Mapping[str, Any]] | None = None) -> Any:
        """Carry out a statement made of tables, on the organisation's rows.

        :param rows: to insert; whose they are is filled in. :raises WrongOrganization: when it is of something else.
        """
        narrowed = self._narrowed(statement, filled=rows is not None)
        if rows is not None:
            rows = [{**row, "organization_id": self._own(row.get("organization_id"))} for row in rows]
        result = await self.connection.execute(narrowed, rows)
        if await self._entered_anew():
            result = await self.connection.execute(narrowed, rows)
        return result

    async def sql(self, statement: str, *parameters: Any) -> Any:
        """Carry out SQL of PostgreSQL's, whose row security is trusted with it.

        :raises WrongOrganization: where there is none.
        """
        if self.dialect != "postgresql":
            raise WrongOrganization("SQL as text cannot be narrowed to an organisation.", "Make it of tables.")
        result = await self.connection.exec_driver_sql(statement, parameters)
        if await self._entered_anew():
            result = await self.connection.exec_driver_sql(statement, parameters)
        return result

    def stream(self, query: Select[Any], portion: int) -> AbstractAsyncContextManager[Any]:
        """Stream the rows of a query; so many are in memory at once."""
        return self.connection.stream(self._narrowed(query, filled=False).execution_options(yield_per=portion))

    async def _entered_anew(self) -> bool:
        if getattr(self.connection, "moved", False) and not self._moved:
            await self.enter()
            return True
        return False

    def _own(self, organization: int | None) -> int:
        if organization not in (None, self.organization):
            raise WrongOrganization(
                f"A row of organisation {organization} in a transaction of {self.organization}.", "Open one of its own."
            )
        return self.organization

    def _narrowed(self, statement: Any, *, filled: bool) -> Any:
        if isinstance(statement, Insert):
            self._is_owned(statement.table)
            if not filled:
                raise WrongOrganization("An insert without rows of its own.", "Give it rows.")
            return statement
        if isinstance(statement, Update | Delete):
            self._is_owned(statement.table)
            _is_plain(statement)
            return statement.where(statement.table.c.organization_id == self.organization)
        if isinstance(statement, CompoundSelect):
            plain = not statement._order_by_clauses and statement._limit_clause is None
            if statement.keyword.name != "UNION_ALL" or not plain:
                raise WrongOrganization("Such a union is not narrowed.", "Use UNION ALL of queries, or ask twice.")
            return union_all(*(self._narrowed(part, filled=False) for part in statement.selects))
        if not isinstance(statement, Select):
            raise WrongOrganization(f"A {type(statement).__name__} cannot be narrowed.", "Use select, insert, update.")
        _is_plain(statement)
        tables = [table for source in statement.get_final_froms() for table in _tables(source)]
        for table in tables:
            self._is_owned(table)
            statement = statement.where(_owner(table) == self.organization)
        return statement

    def _is_owned(self, table: Any) -> None:
        if table not in OWNED and table is not ORGANIZATIONS:
            raise WrongOrganization(f"{table} is no organisation's.", "Ask for it outside of a scope.")


def _is_plain(statement: Any) -> None:
    """Make sure that there is nothing in a statement to which its own WHERE does not reach."""
    for part in iterate(statement):
        if part is not statement and isinstance(part, Select | CompoundSelect):
            raise WrongOrganization("A query within a query is not narrowed.", "Join, or ask twice.")
        if isinstance(part, AliasedReturnsRows):
            raise WrongOrganization("A table under another name is not narrowed.", "Ask for it by its own.")


def _owner(table: Table) -> Any:
    return table.c.id if table is ORGANIZATIONS else table.c.organization_id


def _tables(statement: Any) -> list[Table]:
    return [found for found in dict.fromkeys(iterate(statement)) if isinstance(found, Table)]


@asynccontextmanager
async def scoped(connection: AbstractAsyncContextManager[AsyncConnection], organization: int) -> AsyncIterator[Scope]:
    """Open a connection of the database as one of an organisation.

    :param connection: as ``database.begin()``, ``connect()`` or ``read()`` gives it.
    """
    async with connection as opened:
        scope = Scope(opened, organization)
        await scope.enter()
        yield scope
