"""Connections to an SQLite file, each with its thread, of which none is left behind whoever is cancelled when."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakSet

import aiosqlite

__all__ = ["Connections", "Raw"]


class Raw(sqlite3.Connection):
    """A connection to an SQLite file that a query whose rows were not all read keeps neither open nor in its snapshot.

    SQLite ends neither a connection nor what it reads before the last such query is gone. That is when nobody refers
    to its cursor any more, and who is cancelled amid a statement leaves a cycle that does: until it is collected, the
    file would stay locked for everybody after a transaction that writes, and a connection that is used again would
    read old rows and be refused each write.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """Make a cursor, which ends with the transaction; :meth:`execute` makes them here, too."""
        made = super().cursor(*args, **kwargs)
        self._cursors.add(made)
        return made

    def rollback(self) -> None:
        """Undo the transaction, if there is one, and end what is half read; each use of a pooled one ends so."""
        self._end_queries()
        super().rollback()

    def close(self) -> None:
        """Close the file now, and undo the transaction with it."""
        self._end_queries()
        super().close()

    def _end_queries(self) -> None:
        for cursor in tuple(self._cursors):
            cursor.close()
        self._cursors.clear()


class Connections:
    """All connections of one engine; :meth:`connect` is its ``async_creator``.

    :param make: opens a connection; called in the connection's thread, so that nobody can be cancelled half-way.
    """

    def __init__(self, make: Callable[[], sqlite3.Connection]) -> None:
        self._make = make
        self._open: set[_Connection] = set()
        #: How many wait for a connection to close.
        self._closing = 0
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    async def connect(self) -> aiosqlite.Connection:
        """Open a connection."""
        connection = _Connection(self._make, self)
        self._open.add(connection)
        try:
            return await connection
        except RuntimeError:  # there was no thread to be had
            self._open.discard(connection)
            raise

    async def close(self) -> None:
        """Close what is still open, and return when all of it, and everybody who closes, has ended."""
        for connection in tuple(self._open):
            connection.stop()
        await asyncio.sleep(0)  # whoever has been told to close may not have begun
        while self._open or self._closing:
            self._changed.clear()
            await self._changed.wait()

    def _ended(self, connection: _Connection) -> None:
        self._open.discard(connection)
        self._changed.set()

    def _closes(self, more: int) -> None:
        self._closing += more
        self._changed.set()


class _Connection(aiosqlite.Connection):
    """aiosqlite's connection, which ends once however often that is asked for.

    aiosqlite's own :meth:`stop` queues another end for its thread each time. Whoever asks second, as SQLAlchemy does
    when somebody is cancelled while a connection is being closed, waits for ever for a thread that is gone. And a
    connection that comes about after its opener was cancelled would be closed by the garbage collector, if at all.
    """

    def __init__(self, make: Callable[[], sqlite3.Connection], all: Connections) -> None:
        super().__init__(self._opened, iter_chunk_size=64)
        self._thread.daemon = True  # a process that ends waits for no statement
        self._make = make
        self._all = all
        self._raw: sqlite3.Connection | None = None
        self._over: asyncio.Future[Any] | None = None

    def _opened(self) -> sqlite3.Connection:
        self._raw = self._make()
        return self._raw

    def stop(self) -> asyncio.Future[Any]:
        """Have it closed after what its thread has begun, which is interrupted; what is returned tells when."""
        if self._over is None:
            if self._raw is not None:
                with suppress(sqlite3.Error):
                    self._raw.interrupt()
            self._tx.put_nowait((None, self._shut))
            over = super().stop()
            self._over = over if over is not None else asyncio.get_running_loop().create_future()
            self._over.add_done_callback(self._gone)
        return asyncio.shield(self._over)

    def _shut(self) -> None:
        if self._raw is not None:
            self._raw.close()

    def _gone(self, over: asyncio.Future[Any]) -> None:
        self._connection = None  # whoever opened it may have been given it meanwhile
        self._all._ended(self)

    async def close(self) -> None:
        """Close it and return when its thread has, whoever else does so at the same time."""
        self._all._closes(1)
        try:
            await self.stop()
        finally:
            self._all._closes(-1)
