"""The engine: connections as each database wants them, and their statements timed.

SQLAlchemy is imported here and in the modules below, never where components are declared: it costs a start some
quarter of a second, which a process that uses no database need not pay.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from bedplate.database import pooler, session
from bedplate.database.address import Address
from bedplate.database.connections import Connections, Raw
from bedplate.database.pool import PoolMeter, metered
from bedplate.database.settings import DatabaseSettings
from bedplate.database.statements import Statements

__all__ = ["WRITES", "Opened", "make_engine", "pragmas"]

#: The execution option of a transaction that will write, so that SQLite gives it the one right to write at its start.
WRITES = "bedplate_writes"


class Opened(NamedTuple):
    """An engine with what it opens by itself."""

    engine: AsyncEngine
    #: Of an SQLite file; a server's are in the engine's pool alone.
    connections: Connections | None

    async def close(self) -> None:
        """Close all connections; return when none is left, nor its thread."""
        await self.engine.dispose()
        if self.connections is not None:
            await self.connections.close()


def make_engine(
    address: Address,
    settings: DatabaseSettings,
    *,
    statements: Statements,
    failed: Callable[[BaseException, bool], None],
    pool: PoolMeter,
    service: str,
) -> Opened:
    """Return an engine; no connection is made yet.

    :param statements: count and time each statement, and tell of slow ones.
    :param failed: receives each error, and whether it ended the connection. :param pool: is told of its connections.
    :param service: the name by which a server knows who asks.
    """
    pooled = address.dialect == "postgresql" and settings.pooler == "transaction"
    # Behind a pooler even the shortest question may have to wait for its turn, as long as any.
    soon = None if pooled else settings.connect_timeout
    options: dict[str, Any] = {
        "poolclass": metered(pool),
        "pool_size": settings.pool_size,
        "max_overflow": settings.pool_overflow,
        "pool_timeout": settings.pool_timeout,
    }
    if address.dialect == "postgresql":
        # Behind a pooler nothing stays with a connection, and nothing is prepared.
        kept = {} if pooled else session.limits(settings) | session.planning(settings)
        # The server ends what takes too long; the client's own limit holds against one that has gone silent.
        options["connect_args"] = {
            "timeout": settings.connect_timeout,
            "command_timeout": settings.query_timeout + session.GRACE,
            "server_settings": {"application_name": service, **kept},
            "connection_class": session.connection_class(session.opening(settings, service), soon),
        }
        options["pool_pre_ping"] = True
        options["pool_recycle"] = settings.pool_recycle
        if pooled:
            options["connect_args"] |= pooler.arguments()
    connections = None
    if address.dialect == "sqlite":
        connections = _connections(address, settings)
        options["async_creator"] = connections.connect
    engine = create_async_engine(address.url, **options)
    if connections is not None:
        _begin_sqlite(engine)
    else:
        _ping(engine, soon, failed)
    _observe(engine, statements, failed)
    if pooled:
        _guard(engine)
    return Opened(engine, connections)


def pragmas(busy_timeout: float) -> tuple[str, ...]:
    """Return what each connection to an SQLite file is told first; that it is in WAL mode, the file knows itself."""
    return (
        f"PRAGMA busy_timeout = {int(busy_timeout * 1000)}",
        "PRAGMA foreign_keys = ON",
        "PRAGMA synchronous = NORMAL",
    )


def _connections(address: Address, settings: DatabaseSettings) -> Connections:
    path, statements = str(address.path), pragmas(settings.busy_timeout)

    def make() -> sqlite3.Connection:
        # The driver would begin transactions on its own, too late for reads and not for DDL; we say when.
        connection = sqlite3.connect(
            path, settings.busy_timeout, isolation_level=None, check_same_thread=False, factory=Raw
        )
        try:
            for statement in statements:
                connection.execute(statement).close()
        except BaseException:
            connection.close()
            raise
        return connection

    return Connections(make)


def _begin_sqlite(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "begin")
    def begun(connection: Any) -> None:
        # A transaction that reads first and writes later fails at once when another wrote between; this one waits.
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _ping(engine: AsyncEngine, timeout: float | None, failed: Callable[[BaseException, bool], None]) -> None:
    """Try connections by one way to the server and back.

    SQLAlchemy's own way takes five, as it begins a transaction and prepares a statement: more than most transactions.
    """
    dialect: Any = engine.sync_engine.dialect

    def ping(connection: Any) -> bool:
        try:
            connection.run_async(lambda driver: driver.execute("SELECT", timeout=timeout))
        except Exception as error:
            failed(error, True)
            return False  # whatever it is, a new one will say it better
        return True

    dialect.do_ping = ping


def _guard(engine: AsyncEngine) -> None:
    guard = pooler.Guard()

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def before(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        guard(statement)


def _observe(engine: AsyncEngine, statements: Statements, failed: Callable[[BaseException, bool], None]) -> None:
    """Time statements where they are given to the driver.

    Each listener carries the statement out, instead of the dialect's method, which would do the same: timing adds no
    frame. Listeners before and after a statement would cost a fifth more, for what SQLAlchemy prepares for them.
    """
    clock, counts, slow, tell = time.perf_counter, statements.counts, statements.slow, statements.tell
    server = engine.sync_engine

    @event.listens_for(server, "do_execute")
    def execute(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        began = clock()
        cursor.execute(statement, parameters)
        seconds = clock() - began
        counts[statement](seconds)
        if seconds >= slow:
            tell(statement, parameters, seconds)
        return True

    @event.listens_for(server, "do_executemany")
    def execute_many(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        began = clock()
        cursor.executemany(statement, parameters)
        seconds = clock() - began
        counts[statement](seconds)
        if seconds >= slow:
            tell(statement, parameters, seconds)
        return True

    @event.listens_for(server, "do_execute_no_params")
    def execute_bare(cursor: Any, statement: str, context: Any) -> bool:
        began = clock()
        cursor.execute(statement)
        seconds = clock() - began
        counts[statement](seconds)
        if seconds >= slow:
            tell(statement, None, seconds)
        return True

    @event.listens_for(server, "handle_error")
    def error(context: Any) -> None:
        failed(context.original_exception, context.is_disconnect)
