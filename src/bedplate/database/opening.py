"""Making a database ready to be used: its file or its server, then its tables; all of it in a thread."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bedplate.database import pooler
from bedplate.database.address import Address
from bedplate.database.errors import DatabaseUnavailableError, MigrationError, is_connection_fault, said
from bedplate.database.imports import load
from bedplate.database.indexes.declaration import Index
from bedplate.database.migrations import missing, upgrade
from bedplate.database.settings import DatabaseSettings
from bedplate.declarations import Migrations

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["Prepared", "prepare"]


class Prepared(NamedTuple):
    """What was found and done.

    :ivar changed: whose tables had to be changed, and which indexes made.
    :ivar between: whether somebody stands between us and the server.
    """

    changed: list[str]
    between: bool = False


async def prepare(
    address: Address, settings: DatabaseSettings, wanted: Sequence[Migrations], indexes: Sequence[Index] = ()
) -> Prepared:
    """Make the database reachable and its tables complete.

    :param indexes: made at once in a file, and on a server for tables without a row.
    :raises DatabaseUnavailableError: when it cannot be reached or written. :raises MigrationError: when the tables of
        a component cannot be had.
    """
    if address.dialect == "sqlite":
        return await _in_thread(lambda cancelled: _prepare_file(address, settings, wanted, indexes, cancelled))
    else:
        return await _in_thread(lambda cancelled: _prepare_server(address, settings, wanted, indexes, cancelled))


class _Cancelled:
    """How somebody else ends what a thread does."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.then: Callable[[], object] = lambda: None

    def call(self) -> None:
        self.called.set()
        self.then()


async def _in_thread(work: Callable[[_Cancelled], Prepared]) -> Prepared:
    """Run ``work`` in a thread; when cancelled, end it and wait until it has, so that nothing goes on unseen."""
    cancelled = _Cancelled()
    running = asyncio.create_task(asyncio.to_thread(work, cancelled), name="prepare database")
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        cancelled.call()
        await asyncio.wait([running])
        if not running.cancelled():
            running.exception()
        raise


#: What is imported here, in a thread, and not where the event loop waits for it.
_SQLITE = ("sqlalchemy.ext.asyncio", "sqlalchemy.dialects.sqlite.aiosqlite", "bedplate.database.engine")
_SERVER = ("sqlalchemy.ext.asyncio", "sqlalchemy.dialects.postgresql.asyncpg", "bedplate.database.engine")
#: Only where tables are missing.
_ALEMBIC = ("alembic.operations", "alembic.runtime.migration", "alembic.script")

#: Seconds that SQLite itself waits for another writer, which nothing can interrupt.
_TURN = 0.1
#: Steps of SQLite's machine after which a statement looks whether it has been cancelled.
_STEPS = 10_000


class _Patience:
    """Waiting for whoever has locked the file, in turns that end soon after nobody wants it any more."""

    def __init__(self, seconds: float, cancelled: threading.Event) -> None:
        self._end = time.monotonic() + seconds
        self._cancelled = cancelled

    def attempt(self, act: Callable[[], object]) -> None:
        """Do something until the file is not locked; its last error stands."""
        while True:
            try:
                act()
                return
            except Exception as error:
                if "locked" not in str(error) or time.monotonic() > self._end or self._cancelled.wait(0.02):
                    raise


def _prepare_file(
    address: Address,
    settings: DatabaseSettings,
    wanted: Sequence[Migrations],
    indexes: Sequence[Index],
    cancelled: _Cancelled,
) -> Prepared:
    path, called = address.path, cancelled.called
    assert path is not None
    if called.is_set():
        return Prepared([])
    try:
        _make_folder(path.parent)
        _Patience(settings.migration_timeout, called).attempt(lambda: _make_file(path))
    except (OSError, sqlite3.Error) as error:
        raise DatabaseUnavailableError(
            f"The database file {path} cannot be written: {said(error)}.",
            "Make its folder writable, or set DATABASE_URL.",
        ) from error
    load(*_SQLITE)
    if called.is_set():
        return Prepared([])
    try:
        return Prepared(_upgrade_file(path, settings, wanted, indexes, called))
    except MigrationError:
        raise
    except Exception as error:
        if not is_connection_fault(error):
            raise
        what = f"The database file {path} cannot be used: {said(error)}."
        raise DatabaseUnavailableError(what, "Is it an SQLite file, and does nobody hold it locked?") from error


def _upgrade_file(
    path: Path,
    settings: DatabaseSettings,
    wanted: Sequence[Migrations],
    indexes: Sequence[Index],
    called: threading.Event,
) -> list[str]:
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import NullPool

    from bedplate.database.engine import pragmas
    from bedplate.database.indexes.first import lacking, make_in_file

    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def told(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        for pragma in pragmas(_TURN):
            connection.execute(pragma)
        connection.set_progress_handler(called.is_set, _STEPS)

    begin = "BEGIN"

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        _Patience(settings.migration_timeout, called).attempt(lambda: connection.exec_driver_sql(begin))

    try:
        # Most starts find nothing missing, and need not wait for anybody who writes.
        with engine.begin() as connection:
            behind = missing(connection, wanted)
            complete = not behind and not lacking(connection, indexes)
        if complete or called.is_set():
            return []
        if behind:
            load(*_ALEMBIC)
        begin = "BEGIN IMMEDIATE"
        with engine.begin() as connection:
            changed = upgrade(connection, behind, settings.migration_timeout) if behind else []
            return changed + make_in_file(connection, indexes)
    finally:
        engine.dispose()


def _make_folder(folder: Path) -> None:
    if folder.exists():
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.name == ".bedplate":
        # What a service leaves in a checkout is nobody's to commit.
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")


def _make_file(path: Path) -> None:
    """Make the file if there is none, and put it into WAL mode, which several processes may attempt at once."""
    # Changing the mode takes the file as a whole, and fails at once when another does the same.
    with closing(sqlite3.connect(path, timeout=_TURN, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("COMMIT")


def _prepare_server(
    address: Address,
    settings: DatabaseSettings,
    wanted: Sequence[Migrations],
    indexes: Sequence[Index],
    cancelled: _Cancelled,
) -> Prepared:
    """Bring the tables of a server up to date, in an event loop of this thread: its driver knows no other way."""

    load(*_SERVER)

    async def main() -> Prepared:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        cancelled.then = lambda: loop.call_soon_threadsafe(task.cancel)
        if cancelled.called.is_set():
            return Prepared([])
        return await _upgrade_server(address, settings, wanted, indexes)

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        return Prepared([])
    except MigrationError:
        raise
    except Exception as error:
        if not is_connection_fault(error):
            raise
        what = f"The database {address.shown} cannot be reached: {said(error)}."
        mend = pooler.hint(error) or "Is it running, and are address and password right?"
        raise DatabaseUnavailableError(what, mend) from error
    finally:
        cancelled.then = lambda: None


async def _upgrade_server(
    address: Address, settings: DatabaseSettings, wanted: Sequence[Migrations], indexes: Sequence[Index]
) -> Prepared:
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    from bedplate.database.indexes.first import make_in_empty

    arguments: dict[str, Any] = {"timeout": settings.connect_timeout}
    if settings.pooler == "transaction":
        arguments |= pooler.arguments()
    engine = create_async_engine(address.url, poolclass=NullPool, connect_args=arguments)
    try:
        async with engine.begin() as connection:
            between = await _between(connection)
            changed = []
            if await connection.run_sync(missing, wanted):
                load(*_ALEMBIC)
                changed = await connection.run_sync(upgrade, wanted, settings.migration_timeout)
            # They come with their tables, or the first rows would be written without.
            changed += await connection.run_sync(make_in_empty, indexes)
            return Prepared(changed, between)
    finally:
        await engine.dispose()


async def _between(connection: AsyncConnection) -> bool:
    """Say whether the process that answers is another one than the one that was signed in to."""
    raw: Any = (await connection.get_raw_connection()).driver_connection
    answers = (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
    return bool(raw.get_server_pid() != answers)
