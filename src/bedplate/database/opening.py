"""Making a database ready to be used: its file or its server, then its tables; all of it in a thread."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from bedplate.database.address import Address
from bedplate.database.errors import DatabaseUnavailableError, MigrationError, is_connection_fault, said
from bedplate.database.migrations import missing, upgrade
from bedplate.database.settings import DatabaseSettings
from bedplate.declarations import Migrations

__all__ = ["prepare"]


async def prepare(address: Address, settings: DatabaseSettings, wanted: Sequence[Migrations]) -> list[str]:
    """Make the database reachable and its tables complete; return whose tables had to be changed.

    :raises DatabaseUnavailableError: when it cannot be reached or written. :raises MigrationError: when the tables of
        a component cannot be had.
    """
    if address.dialect == "sqlite":
        return await _in_thread(lambda cancelled: _prepare_file(address, settings, wanted))
    else:
        return await _in_thread(lambda cancelled: _prepare_server(address, settings, wanted, cancelled))


class _Cancelled:
    """How somebody else ends what a thread does."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.then: Callable[[], object] = lambda: None

    def call(self) -> None:
        self.called.set()
        self.then()


async def _in_thread(work: Callable[[_Cancelled], list[str]]) -> list[str]:
    """Run ``work`` in a thread; when cancelled, end it and wait until it has, so that nothing goes on unseen."""
    cancelled = _Cancelled()

    def quietly() -> list[str]:
        with _no_collections():
            return work(cancelled)

    running = asyncio.ensure_future(asyncio.to_thread(quietly))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        cancelled.call()
        await asyncio.wait([running])
        if not running.cancelled():
            running.exception()
        raise


@contextmanager
def _no_collections() -> Iterator[None]:
    """Import and set up without the garbage collector.

    SQLAlchemy and Alembic make so many objects that never die that full collections would run in this thread, and stop
    the event loop meanwhile, for a tenth of a second each. A process that has put away what lives as long as it puts
    these away as well.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_freeze_count():
            gc.freeze()
        if enabled:
            gc.enable()


def _prepare_file(address: Address, settings: DatabaseSettings, wanted: Sequence[Migrations]) -> list[str]:
    path = address.path
    assert path is not None
    try:
        _make_folder(path.parent)
        _make_file(path, settings.migration_timeout)
    except (OSError, sqlite3.Error) as error:
        raise DatabaseUnavailableError(
            f"The database file {path} cannot be written: {said(error)}.",
            "Make its folder writable, or set DATABASE_URL.",
        ) from error
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import NullPool

    import_module("sqlalchemy.dialects.sqlite.aiosqlite")  # here and not where the event loop waits for it
    from bedplate.database.engine import pragmas

    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def told(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        for pragma in pragmas(settings.migration_timeout):
            connection.execute(pragma)

    begin = "BEGIN"

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    try:
        # Most starts find nothing missing, and need not wait for anybody who writes.
        with engine.begin() as connection:
            behind = missing(connection, wanted)
        if behind:
            begin = "BEGIN IMMEDIATE"
            with engine.begin() as connection:
                return upgrade(connection, behind, settings.migration_timeout)
        return []
    except MigrationError:
        raise
    except Exception as error:
        if not is_connection_fault(error):
            raise
        what = f"The database file {path} cannot be used: {said(error)}."
        raise DatabaseUnavailableError(what, "Is it an SQLite file, and does nobody hold it locked?") from error
    finally:
        engine.dispose()


def _make_folder(folder: Path) -> None:
    if folder.exists():
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.name == ".bedplate":
        # What a service leaves in a checkout is nobody's to commit.
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")


def _make_file(path: Path, patience: float) -> None:
    """Make the file if there is none, and put it into WAL mode, which several processes may attempt at once."""
    end = time.monotonic() + patience
    while True:
        try:
            with closing(sqlite3.connect(path, timeout=patience, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("COMMIT")
            return
        except sqlite3.OperationalError as error:
            # Changing the mode takes the file as a whole and does not wait for its turn.
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.02)


def _prepare_server(
    address: Address, settings: DatabaseSettings, wanted: Sequence[Migrations], cancelled: _Cancelled
) -> list[str]:
    """Bring the tables of a server up to date, in an event loop of this thread: its driver knows no other way."""

    async def main() -> list[str]:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        cancelled.then = lambda: loop.call_soon_threadsafe(task.cancel)
        if cancelled.called.is_set():
            return []
        return await _upgrade_server(address, settings, wanted)

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        return []
    except MigrationError:
        raise
    except Exception as error:
        if not is_connection_fault(error):
            raise
        what = f"The database {address.shown} cannot be reached: {said(error)}."
        raise DatabaseUnavailableError(what, "Is it running, and are address and password right?") from error
    finally:
        cancelled.then = lambda: None


async def _upgrade_server(address: Address, settings: DatabaseSettings, wanted: Sequence[Migrations]) -> list[str]:
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    arguments = {"timeout": settings.connect_timeout}
    engine = create_async_engine(address.url, poolclass=NullPool, connect_args=arguments)
    try:
        async with engine.begin() as connection:
            if not await connection.run_sync(missing, wanted):
                return []
            return await connection.run_sync(upgrade, wanted, settings.migration_timeout)
    finally:
        await engine.dispose()
