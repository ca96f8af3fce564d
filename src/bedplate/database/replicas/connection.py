"""A connection to read by, which goes on at the primary when its replica fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bedplate.database.errors import is_connection_fault, is_undone

__all__ = ["ReadConnection"]

_REPLAYED = "SELECT (coalesce(pg_last_wal_replay_lsn(), '0/0') - '0/0'::pg_lsn)::bigint"


class ReadConnection(AsyncConnection):
    """SQLAlchemy's connection, in a transaction that only reads.

    A statement that a replica cannot answer, as it went away or its replay was in the way, is asked of the primary
    anew, and so are those after it. That is right since results come whole, and each statement sees a later state of
    the database than the one before it, as usual in READ COMMITTED. What runs in :meth:`run_sync` or streams cannot be
    done twice and fails.

    :param elsewhere: gives a connection to the primary; it is closed with this one.
    """

    def __init__(self, engine: AsyncEngine, elsewhere: Callable[[BaseException], Awaitable[AsyncConnection]]) -> None:
        super().__init__(engine)
        self._elsewhere = elsewhere
        self._moved: AsyncConnection | None = None

    @property
    def moved(self) -> bool:
        """Whether the primary answers now."""
        return self._moved is not None

    async def replayed(self) -> int:
        """Return the position that the statements which follow will see at least; this is asked of nobody else."""
        return int((await super().exec_driver_sql(_REPLAYED)).scalar_one())

    async def give_up(self) -> None:
        """Close it without a word to the server, which may hang and would be waited for once more."""
        if self.sync_connection is not None:
            with suppress(Exception):
                await self.invalidate()
            await self.close()

    async def execute(self, statement: Any, parameters: Any = None, *, execution_options: Any = None) -> Any:
        """Carry out a statement; see :meth:`sqlalchemy.ext.asyncio.AsyncConnection.execute`."""
        if self._moved is None:
            try:
                return await super().execute(statement, parameters, execution_options=execution_options)
            except Exception as error:
                moved = await self._move(error)
        else:
            moved = self._moved
        return await moved.execute(statement, parameters, execution_options=execution_options)

    async def exec_driver_sql(self, statement: str, parameters: Any = None, execution_options: Any = None) -> Any:
        """Carry out SQL; see :meth:`sqlalchemy.ext.asyncio.AsyncConnection.exec_driver_sql`."""
        if self._moved is None:
            try:
                return await super().exec_driver_sql(statement, parameters, execution_options)
            except Exception as error:
                moved = await self._move(error)
        else:
            moved = self._moved
        return await moved.exec_driver_sql(statement, parameters, execution_options)

    def stream(self, statement: Any, parameters: Any = None, *, execution_options: Any = None) -> Any:
        """Stream a result; see :meth:`sqlalchemy.ext.asyncio.AsyncConnection.stream`."""
        if self._moved is not None:
            return self._moved.stream(statement, parameters, execution_options=execution_options)
        return super().stream(statement, parameters, execution_options=execution_options)

    async def run_sync(self, fn: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call ``fn`` with the synchronous connection."""
        if self._moved is not None:
            return await self._moved.run_sync(fn, *arguments, **named)
        return await super().run_sync(fn, *arguments, **named)

    async def close(self) -> None:
        """Close it, and the one to the primary; what was read stands, whatever has become of the server."""
        if self.sync_connection is not None:
            try:
                await super().close()
            except Exception as error:
                if not is_connection_fault(error):
                    raise
        if self._moved is not None:
            await self._moved.close()

    async def _move(self, error: Exception) -> AsyncConnection:
        if not _is_of_the_replica(error):
            raise error
        with suppress(Exception):
            await self.invalidate()
        self._moved = await self._elsewhere(error)
        return self._moved


def _is_of_the_replica(error: Exception) -> bool:
    """Say whether the primary would have answered: the connection, or a conflict of the replica's with its replay."""
    return is_connection_fault(error) or is_undone(error)
