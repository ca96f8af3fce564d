"""A running service: new tables come with their indexes, and one that is missing or broken is seen."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import RFC_4122, UUID

import pytest
from sqlalchemy import column, create_engine, select, table, text

from bedplate.component import Host, Spec
from bedplate.database import Database, DatabaseSettings
from bedplate.database.address import file_address
from bedplate.database.indexes import AccessPath, Index, full_text, search, trigrams
from bedplate.database.indexes.extensions import uuid_default
from bedplate.database.indexes.metrics import INDEXES
from bedplate.database.indexes.place import Place
from bedplate.database.indexes.watch import EVERY
from bedplate.database.opening import prepare
from bedplate.database.transfer.transfer import Transfer
from bedplate.declarations import Migrations
from bedplate.testing import Harness, running
from tests.postgres import Postgres

REVISION = """
import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True), sa.Column("body", sa.Text))
"""
PATH = AccessPath(statement="SELECT id FROM notes WHERE {matches}", sample={"words": "a"}, asked="A test.")
PLAIN = AccessPath(statement="SELECT id FROM notes WHERE body = :body", sample={"body": "a"}, asked="A test.")


class Notes:
    """A component with a table and indexes of it."""

    def __init__(self, database: Database, *indexes: Index) -> None:
        self.spec = Spec(kind="notes", summary="Keeps notes.", needs=(database,))
        self._indexes = indexes

    def migrations(self) -> Migrations:
        return Migrations(name="notes", package="index_notes_revisions")

    def indexes(self) -> tuple[Index, ...]:
        return self._indexes

    def lifespan(self, host: Host) -> Any:
        from contextlib import nullcontext

        return nullcontext()


BODY = Index(name="ix_notes_body", table="notes", on=("body",), path=PLAIN)
WORDS = full_text("ix_notes_words", "notes", ["body"], path=PATH)
PARTS = trigrams("ix_notes_parts", "notes", ["body"], path=PATH)
NOTES = table("notes", column("id"), column("body"))
LATER = Index(name="ix_notes_later", table="notes", on=("lower(body)",), path=PLAIN)


@pytest.fixture(autouse=True)
def revisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "modules" / "index_notes_revisions"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "r0001.py").write_text(REVISION)
    monkeypatch.syspath_prepend(folder.parent)


async def _told(harness: Harness) -> dict[str, Any]:
    answer = await harness.client.get("/database/indexes")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def _counted(harness: Harness) -> tuple[float, ...]:
    return tuple([await harness.value(INDEXES, state=state) for state in ("declared", "missing", "invalid")])


async def test_new_tables_come_with_their_indexes_and_rows_wait_for_the_command(url: str) -> None:
    database = Database(url)
    async with running([database, Notes(database, BODY, WORDS, PARTS)]) as harness:
        names = ["ix_notes_body", "ix_notes_words", "ix_notes_parts"]
        assert await _told(harness) == {"declared": names, "missing": [], "invalid": [], "looked": True}
        assert await _counted(harness) == (3, 0, 0)
        async with database.begin() as connection:
            await connection.execute(text("INSERT INTO notes VALUES (1, 'a')"))
    database = Database(url)
    async with running([database, Notes(database, BODY, WORDS, PARTS, LATER)]) as harness:
        # A file is brought up to date at once; a server whose table has rows is left to the command.
        missing = [] if url.startswith("sqlite") else ["ix_notes_later"]
        assert (await _told(harness))["missing"] == missing
        assert await _counted(harness) == (4, len(missing), 0)
        async with database.begin() as connection:
            await connection.execute(text("DROP INDEX ix_notes_body"))
        await harness.clock.advance(EVERY)
        await harness.eventually(lambda: _is(harness, (4, len(missing) + 1, 0)))


async def _is(harness: Harness, counts: tuple[float, ...]) -> bool:
    return await _counted(harness) == counts


async def test_a_broken_one_is_seen(server: Postgres) -> None:
    url = server.database()
    database = Database(url)
    async with running([database, Notes(database, BODY)]) as harness:
        name = url.rpartition("@/")[2].partition("?")[0]
        server.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_notes_body'::regclass", name)
        assert (await _told(harness))["invalid"] == ["ix_notes_body"]
        await harness.clock.advance(EVERY)
        await harness.eventually(lambda: _is(harness, (1, 0, 1)))


async def test_what_cannot_be_had_at_once_keeps_nobody_from_starting(server: Postgres) -> None:
    url = server.database()
    database = Database(url)
    wrong = Index(name="ix_wrong", table="notes", on=("nothing",), path=PLAIN)
    lacks = Index(name="ix_lacks", table="notes", on=("body",), extensions=("no-such",), path=PLAIN)
    lost = Index(name="ix_lost", table="nowhere", on=("body",), path=PLAIN)
    async with running([database, Notes(database, wrong, lacks, lost, BODY)]) as harness:
        assert (await _told(harness))["missing"] == ["ix_wrong", "ix_lacks", "ix_lost"]


async def test_a_database_that_nobody_uses_is_not_opened(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'lazy.sqlite3'}", settings=DatabaseSettings(), lazy=True)
    async with running([database, Notes(database, BODY)]) as harness:
        told = await _told(harness)
        assert (told["declared"], told["missing"], told["looked"]) == (["ix_notes_body"], [], False)
        assert not database.is_open
        assert await _counted(harness) == (1, 0, 0)


@pytest.mark.parametrize(
    # The wheel's server lacks uuid-ossp.
    ("which", "expected"),
    [("sqlite", "randomblob"), ("server", "gen_random_uuid()"), ("debian", "uuid_generate_v4()")],
)
def test_servers_and_files_make_uuids(which: str, expected: str, request: pytest.FixtureRequest) -> None:
    url = "sqlite://"
    if which != "sqlite":
        url = request.getfixturevalue(which).database().replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(url)
    with engine.begin() as connection:
        default = uuid_default(connection)
        assert expected in default
        connection.execute(text(f"CREATE TABLE u (a int, id varchar(36) DEFAULT ({default}))"))
        connection.execute(text("INSERT INTO u (a) SELECT 1 UNION ALL SELECT 2"))
        made = [UUID(row[0]) for row in connection.execute(text("SELECT id FROM u"))]
    engine.dispose()
    assert len(set(made)) == 2
    assert all((one.version, one.variant) == (4, RFC_4122) for one in made)


async def test_words_are_found_after_rows_were_moved_there_and_back(server: Postgres, tmp_path: Path) -> None:
    there, back = (file_address(tmp_path / f"{name}.sqlite3") for name in ("there", "back"))
    migrations = [Notes(Database()).migrations()]
    for file in (there, back):
        assert (await prepare(file, DatabaseSettings(), migrations, [WORDS])).changed == ["notes", WORDS.name]
    with Place(there.shown).writing() as connection:
        connection.execute(text("INSERT INTO notes VALUES (1, 'one'), (2, 'two')"))
    middle = server.database()
    await asyncio.to_thread(Transfer(there.shown, middle, migrations=migrations).run)
    # What stands for an index in a file is of no use elsewhere.
    tables = "SELECT count(*) FROM pg_class WHERE relname LIKE 'ix_notes%'"
    assert server.sql(tables, middle.rpartition("@/")[2].partition("?")[0]) == "0"
    await asyncio.to_thread(Transfer(middle, back.shown, migrations=migrations).run)
    assert (await prepare(back, DatabaseSettings(), migrations, [WORDS])).changed == [WORDS.name]
    with Place(back.shown).reading() as connection:
        condition = search(WORDS, NOTES, "one", connection).condition
        assert connection.execute(select(NOTES.c.id).where(condition)).scalars().all() == [1]
