"""Whoever is cancelled while a database opens, is used or closes: it ends, and leaves no task and no connection."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import text

from bedplate.database import Database, DatabaseSettings
from bedplate.database.connections import Connections
from bedplate.database.imports import load
from bedplate.testing import running

#: Nothing here takes long; what hangs is to fail and not to hang the suite.
LONG = 60.0


def connections(path: Path) -> Connections:
    return Connections(lambda: sqlite3.connect(path, check_same_thread=False))


@contextmanager
def written_by_another(file: Path) -> Iterator[None]:
    """Hold the right to write to a file."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN IMMEDIATE")
        yield


async def prepares() -> None:
    """Return once a database is being opened."""
    while not any(task.get_name() == "prepare database" for task in asyncio.all_tasks()):
        await asyncio.sleep(0)


async def test_a_connection_ends_for_everybody_who_closes_it(tmp_path: Path) -> None:
    opened = connections(tmp_path / "records.sqlite3")
    connection = await opened.connect()
    cut = asyncio.create_task(connection.close())
    await asyncio.sleep(0)
    cut.cancel()
    connection.stop()
    async with asyncio.timeout(LONG):
        await asyncio.gather(connection.close(), connection.close(), opened.close())
        await connection.close()
    assert cut.cancelled() and len(opened) == 0


@pytest.mark.parametrize("moment", range(6))
async def test_a_connection_whose_opener_is_cancelled_is_closed(tmp_path: Path, moment: int) -> None:
    made: list[sqlite3.Connection] = []
    may = threading.Event()

    def make() -> sqlite3.Connection:
        may.wait(LONG)
        made.append(sqlite3.connect(tmp_path / "records.sqlite3", check_same_thread=False))
        return made[0]

    opened = Connections(make)
    opening = asyncio.create_task(opened.connect())
    for _ in range(moment):
        await asyncio.sleep(0)
    opening.cancel()
    may.set()
    with suppress(asyncio.CancelledError):
        await opening
    async with asyncio.timeout(LONG):
        await opened.close()
    assert len(opened) == 0
    for connection in made:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


async def test_closing_does_not_wait_for_a_statement_without_end(tmp_path: Path) -> None:
    begun = threading.Event()

    def make() -> sqlite3.Connection:
        connection = sqlite3.connect(tmp_path / "records.sqlite3", check_same_thread=False)
        connection.create_function("begun", 0, begun.set)
        return connection

    opened = Connections(make)
    connection = await opened.connect()
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 + coalesce(begun(), 0) FROM n) SELECT * FROM n"
    asking = asyncio.create_task(connection.execute_fetchall(endless + " WHERE i < 0"))
    async with asyncio.timeout(LONG):
        while not begun.is_set():
            await asyncio.sleep(0.001)
        await opened.close()
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            await asking


@pytest.mark.parametrize("moments", range(0, 60, 3))
async def test_users_that_are_cancelled_at_any_moment_twice_leave_nothing(tmp_path: Path, moments: int) -> None:
    tasks = asyncio.all_tasks()
    database = Database(f"sqlite:///{tmp_path / 'records.sqlite3'}")

    async def use() -> None:
        async with database.begin() as connection:
            await connection.execute(text("CREATE TABLE IF NOT EXISTS things (id integer)"))
            await connection.execute(text("INSERT INTO things VALUES (1)"))

    async with asyncio.timeout(LONG):
        async with running(database):
            users = [asyncio.create_task(use()) for _ in range(3)]
            for _ in range(moments):
                await asyncio.sleep(0)
            for _ in range(2):
                for user in users:
                    user.cancel()
                await asyncio.sleep(0)
            await asyncio.wait(users)
    assert not {task for task in asyncio.all_tasks() - tasks if not task.done()}


async def three_rows(database: Database) -> None:
    async with database.begin() as connection:
        await connection.execute(text("CREATE TABLE things (id integer)"))
        await connection.execute(text("INSERT INTO things VALUES (1), (2), (3)"))


async def test_a_writer_cancelled_amid_a_query_leaves_the_file_unlocked(tmp_path: Path) -> None:
    file, half_read = tmp_path / "records.sqlite3", []
    database, reading = Database(f"sqlite:///{file}"), asyncio.Event()

    async def write() -> None:
        async with database.begin() as connection:
            await connection.execute(text("INSERT INTO things VALUES (4)"))
            # Somebody still refers to the rows, as the frames of an exception do until they are collected.
            half_read.append(await connection.stream(text("SELECT id FROM things ORDER BY id")))
            assert await half_read[0].fetchone() == (1,)
            reading.set()
            await connection.execute(
                text("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT i FROM n WHERE i < 0")
            )

    async with asyncio.timeout(LONG), running(database):
        await three_rows(database)
        writing = asyncio.create_task(write())
        await reading.wait()
        await asyncio.sleep(0)  # it waits for the statement now
        writing.cancel()
        await asyncio.wait([writing])
        assert writing.cancelled()
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0), "nobody reads old rows"
        async with database.connect() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM things"))).scalar_one() == 3


async def test_rows_not_read_to_their_end_leave_the_next_user_neither_old_rows_nor_a_lock(tmp_path: Path) -> None:
    file, half_read = tmp_path / "records.sqlite3", []
    database = Database(f"sqlite:///{file}", settings=DatabaseSettings(pool_size=1, pool_overflow=0))
    async with asyncio.timeout(LONG), running(database):
        await three_rows(database)
        async with database.connect() as connection:
            half_read.append(await connection.stream(text("SELECT id FROM things ORDER BY id")))
            assert await half_read[0].fetchone() == (1,)
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("INSERT INTO things VALUES (4)")
        async with database.begin() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM things"))).scalar_one() == 4
            await connection.execute(text("INSERT INTO things VALUES (5)"))
        async with database.connect() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM things"))).scalar_one() == 5


async def test_a_stop_does_not_wait_for_who_keeps_the_database_from_opening(tmp_path: Path) -> None:
    file, tasks = tmp_path / "records.sqlite3", asyncio.all_tasks()
    database = Database(f"sqlite:///{file}", lazy=True, settings=DatabaseSettings(migration_timeout=600))
    with written_by_another(file):
        async with asyncio.timeout(LONG):
            async with running(database):
                opening = asyncio.create_task(database.ready())
                await prepares()
            await asyncio.wait([opening])
    assert not database.is_open
    assert not {task for task in asyncio.all_tasks() - tasks if not task.done()}


async def test_a_start_that_is_cancelled_while_another_writes_leaves_nothing(tmp_path: Path) -> None:
    file, tasks = tmp_path / "records.sqlite3", asyncio.all_tasks()
    database = Database(f"sqlite:///{file}", settings=DatabaseSettings(migration_timeout=600))

    async def start() -> None:
        async with running(database):
            raise AssertionError("it opened although another writes")

    with written_by_another(file):
        async with asyncio.timeout(LONG):
            starting = asyncio.create_task(start())
            await prepares()
            starting.cancel()
            await asyncio.wait([starting])
    assert starting.cancelled()
    assert not {task for task in asyncio.all_tasks() - tasks if not task.done()}


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_as_it_was_after_imports_that_fail_or_meet(
    enabled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    names = [f"cut_short_{enabled}_{number}".lower() for number in range(4)]
    for name in names:
        (tmp_path / f"{name}.py").write_text("import gc\nassert not gc.isenabled()\n")
    (tmp_path / f"{names[-1]}.py").write_text("raise ImportError('broken')\n")
    failures: list[ImportError] = []

    def loads(name: str) -> None:
        try:
            load(name)
        except ImportError as error:
            failures.append(error)

    try:
        if not enabled:
            gc.disable()
        threads = [threading.Thread(target=loads, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
        for name in names:
            sys.modules.pop(name, None)
    assert [str(failure) for failure in failures] == ["broken"]
