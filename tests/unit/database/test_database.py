"""The database component over SQLite and PostgreSQL: transactions, being away, where its file is, what it tells."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from bedplate.component import Host, Spec
from bedplate.database import Database, DatabaseSettings, DatabaseUnavailableError, MigrationError
from bedplate.database.metrics import DURATION, ERRORS, UP
from bedplate.declarations import Migrations
from bedplate.service import Service
from bedplate.service.lifecycle import StartError
from bedplate.settings import Settings, Sources
from bedplate.testing import CASES, running, settings
from tests.postgres import Postgres


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("lazy", [False, True], ids=["eager", "lazy"])
async def test_it_conforms(case: Any, lazy: bool, tmp_path: Path) -> None:
    await case(lambda: Database(f"sqlite:///{tmp_path / 'conforms.sqlite3'}", lazy=lazy))


async def test_what_is_committed_stays_and_what_fails_is_undone(url: str) -> None:
    database = Database(url)
    async with running(database):
        async with database.begin() as connection:
            await connection.execute(text("CREATE TABLE things (id integer PRIMARY KEY)"))
            await connection.execute(text("INSERT INTO things VALUES (1)"))
        with pytest.raises(ZeroDivisionError):
            async with database.begin() as connection:
                await connection.execute(text("INSERT INTO things VALUES (2)"))
                _ = 1 / 0
        with pytest.raises(IntegrityError):
            async with database.begin() as connection:
                await connection.execute(text("INSERT INTO things VALUES (1)"))
        async with database.connect() as connection:
            assert (await connection.execute(text("SELECT id FROM things"))).scalars().all() == [1]
    async with running(database), database.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM things"))).scalar() == 1


async def test_writers_wait_for_each_other(url: str) -> None:
    database = Database(url)
    async with running(database):
        async with database.begin() as connection:
            await connection.execute(text("CREATE TABLE counters (n integer)"))
            await connection.execute(text("INSERT INTO counters VALUES (0)"))

        async def add() -> None:
            async with database.begin() as connection:
                lock = "" if database.dialect == "sqlite" else " FOR UPDATE"
                n = (await connection.execute(text(f"SELECT n FROM counters{lock}"))).scalar_one()
                await asyncio.sleep(0)
                await connection.execute(text("UPDATE counters SET n = :n"), {"n": n + 1})

        await asyncio.gather(*(add() for _ in range(20)))
        async with database.connect() as connection:
            assert (await connection.execute(text("SELECT n FROM counters"))).scalar_one() == 20


async def test_foreign_keys_hold(url: str) -> None:
    database = Database(url)
    async with running(database):
        async with database.begin() as connection:
            await connection.execute(text("CREATE TABLE parents (id integer PRIMARY KEY)"))
            await connection.execute(text("CREATE TABLE children (parent integer REFERENCES parents (id))"))
        with pytest.raises(IntegrityError):
            async with database.begin() as connection:
                await connection.execute(text("INSERT INTO children VALUES (7)"))


async def test_statements_and_errors_are_counted(url: str) -> None:
    database = Database(url)
    async with running(database) as harness:
        async with database.begin() as connection:
            await connection.execute(text("CREATE TABLE things (id integer PRIMARY KEY)"))
            await connection.execute(text("INSERT INTO things VALUES (1)"))
            await connection.execute(text("INSERT INTO things VALUES (2)"))
        with pytest.raises(IntegrityError):
            async with database.begin() as connection:
                await connection.execute(text("INSERT INTO things VALUES (1)"))
        assert await harness.value(DURATION.count, operation="insert") == 2
        assert await harness.value(ERRORS, kind="statement") == 1
        assert await harness.value(UP) == 1


async def test_a_server_that_goes_away_is_refused_seen_and_followed_when_it_is_back(server: Postgres) -> None:
    database = Database(server.database())
    async with running(database) as harness:
        await database.ping()
        server.stop()
        try:
            with pytest.raises(DatabaseUnavailableError, match="cannot be reached"):
                async with database.begin() as connection:
                    await connection.execute(text("SELECT 1"))
            view = next(view for view in harness.service.views if view.component is database)
            assert view.state == "degraded" and "cannot be reached" in view.reason
            assert await harness.value(UP) == 0
        finally:
            server.start()
        await database.ping()
        view = next(view for view in harness.service.views if view.component is database)
        assert view.state == "running"
        assert await harness.value(UP) == 1


async def test_a_service_starts_without_its_database_and_is_unready_until_it_comes(server: Postgres) -> None:
    url = server.database()
    server.stop()
    database = Database(url)
    try:
        async with running(database) as harness:
            assert not harness.service.entry.ready
            with pytest.raises(DatabaseUnavailableError):
                await database.ready()
            server.start()
            await harness.clock.advance(2)
            await database.ping()
            view = next(view for view in harness.service.views if view.component is database)
            assert view.state == "running"
    finally:
        if server._process is None:
            server.start()


async def test_the_password_reaches_neither_errors_nor_pages() -> None:
    database = Database("postgresql://ledger:s3cret-word@127.0.0.1:1/ledger", settings=DatabaseSettings())
    async with running(database) as harness:
        with pytest.raises(DatabaseUnavailableError) as caught:
            await database.ready()
        shown = [str(caught.value), str(caught.value.__cause__), repr(database.spec)]
        shown += [(await harness.client.get(f"/monitoring/{page}")).text for page in ("components/database", "health")]
    assert all("s3cret-word" not in text for text in shown)


async def test_a_folder_that_cannot_be_written_is_told_with_its_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    database = Database(f"sqlite:///{tmp_path / 'file' / 'records.sqlite3'}")
    async with running(database):
        with pytest.raises(DatabaseUnavailableError, match=r"cannot be written.*DATABASE_URL"):
            await database.ready()


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("These are notes, long enough to be no header of a database." * 20)
    database = Database(f"sqlite:///{tmp_path / 'notes.txt'}")
    async with running(database):
        with pytest.raises(DatabaseUnavailableError, match=r"notes\.txt"):
            await database.ready()
    assert (tmp_path / "notes.txt").read_text().startswith("These are notes")


async def test_a_lazy_one_makes_no_file_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    database = Database(lazy=True)
    own = Settings(
        environment="development", _sources=Sources.none(), logs={"stream": "off"}, alerts={"enabled": False}
    )
    async with running(Service("shop", None, [database], settings=own)) as harness:
        assert await database.ping() == "not in use"
        assert list(tmp_path.iterdir()) == []
        async with database.begin() as connection:
            await connection.execute(text("CREATE TABLE things (id integer)"))
        assert (tmp_path / ".bedplate" / "shop.sqlite3").exists()
        assert (tmp_path / ".bedplate" / ".gitignore").read_text() == "*\n"
        assert await harness.value(UP) == 1


async def test_in_a_test_its_file_ends_with_the_run() -> None:
    database = Database()
    async with running(database):
        file = Path((await database.ping()).removeprefix("sqlite:///"))
        assert file.exists()
    assert not file.exists()


async def test_it_cannot_be_used_outside_its_service(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'records.sqlite3'}")
    with pytest.raises(DatabaseUnavailableError, match="does not run"):
        await database.ready()


class Owner:
    """A component with tables."""

    def __init__(self, database: Database, package: str, name: str = "owner") -> None:
        self.database, self.package, self.name = database, package, name

    @property
    def spec(self) -> Spec:
        return Spec(kind="owner", name=self.name, summary="Has tables.", needs=(self.database,))

    def migrations(self) -> Migrations:
        return Migrations(name=self.name, package=self.package)

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        yield


async def test_tables_that_cannot_be_had_keep_a_service_from_starting(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "broken_revisions"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "r0001.py").write_text(
        "from alembic import op\nrevision = '0001'\ndown_revision = None\n"
        "def upgrade():\n    op.execute('CREATE TABLE half (id integer)')\n    op.execute('THIS IS NO SQL')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    database = Database(url)
    with pytest.raises(StartError, match="owner cannot be brought to revision 0001") as caught:
        async with running(Service("shop", None, [Owner(database, "broken_revisions")], settings=settings())):
            pass
    assert isinstance(caught.value.__cause__, MigrationError)
    async with running(database):
        async with database.connect() as connection:
            with pytest.raises(Exception, match="half"):
                await connection.execute(text("SELECT * FROM half"))
    sys.modules.pop("broken_revisions", None)
