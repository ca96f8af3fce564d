"""Bringing tables to what components need: once, under a lock, in any order, and never by guessing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, text

from bedplate.database import Database, DatabaseSettings, MigrationError
from bedplate.database.address import address
from bedplate.database.migrations import drift, head
from bedplate.database.opening import prepare
from bedplate.database.tables import METADATA
from bedplate.declarations import Migrations
from bedplate.testing import running

FIRST = """
from alembic import op
import sqlalchemy as sa
revision = "0001"
down_revision = None
def upgrade():
    op.create_table("{name}_things", sa.Column("id", sa.Integer, primary_key=True))
"""
SECOND = """
from alembic import op
import sqlalchemy as sa
revision: str = "0002"
down_revision: str = "0001"
def upgrade():
    op.add_column("{name}_things", sa.Column("word", sa.String(20)))
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a package with two revisions, that nobody has imported."""
    name = f"revisions_of_{tmp_path.name.replace('-', '_')}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "a.py").write_text(FIRST.format(name="shop"))
    (folder / "b.py").write_text(SECOND.format(name="shop"))
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


async def columns(url: str, table: str) -> list[str]:
    database = Database(url)
    async with running(database), database.connect() as connection:
        from sqlalchemy import inspect

        return await connection.run_sync(lambda sync: [one["name"] for one in inspect(sync).get_columns(table)])


async def test_every_revision_is_applied_in_order_and_once(url: str, package: str) -> None:
    wanted = Migrations(name="shop", package=package)
    assert head(wanted) == "0002"
    for _ in range(2):
        await prepare(address(url), DatabaseSettings(), [wanted])
    assert await columns(url, "shop_things") == ["id", "word"]


async def test_many_that_start_at_once_do_it_once_and_all_succeed(url: str, package: str) -> None:
    wanted = [
        Migrations(name="shop", package=package),
        Migrations(name="database", package="bedplate.database.revisions"),
    ]
    await asyncio.gather(*(prepare(address(url), DatabaseSettings(), wanted) for _ in range(6)))
    assert await columns(url, "shop_things") == ["id", "word"]


async def test_processes_that_start_at_once_do_it_once(url: str, package: str, tmp_path: Path) -> None:
    program = (
        "import asyncio\nfrom bedplate.database.address import address\n"
        "from bedplate.database.opening import prepare\nfrom bedplate.database import DatabaseSettings\n"
        "from bedplate.declarations import Migrations\n"
        f"asyncio.run(prepare(address({url!r}), DatabaseSettings(), [Migrations(name='shop', package={package!r})]))\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stderr=subprocess.PIPE) for _ in range(4)
    ]
    for process in processes:
        _, said = await asyncio.to_thread(process.communicate)
        assert process.returncode == 0, said.decode()
    assert await columns(url, "shop_things") == ["id", "word"]


async def test_two_components_have_version_tables_of_their_own(url: str, package: str, tmp_path: Path) -> None:
    other = tmp_path / f"{package}_other"
    other.mkdir()
    (other / "__init__.py").write_text("")
    (other / "a.py").write_text(FIRST.format(name="other"))
    await prepare(address(url), DatabaseSettings(), [Migrations(name="shop", package=package)])
    await prepare(address(url), DatabaseSettings(), [Migrations(name="other", package=other.name)])
    assert await columns(url, "other_things") == ["id"]
    assert await columns(url, "bedplate_other_version") == ["version_num"]
    assert await columns(url, "bedplate_shop_version") == ["version_num"]


async def test_tables_of_a_newer_version_are_left_alone(url: str, package: str) -> None:
    wanted = Migrations(name="shop", package=package)
    await prepare(address(url), DatabaseSettings(), [wanted])
    database = Database(url)
    async with running(database), database.begin() as connection:
        await connection.execute(text("UPDATE bedplate_shop_version SET version_num = '0009'"))
    with pytest.raises(MigrationError, match="0009, which this version does not know"):
        await prepare(address(url), DatabaseSettings(), [wanted])


def test_two_ends_of_a_line_and_no_package_are_told(package: str, tmp_path: Path) -> None:
    (tmp_path / package / "c.py").write_text(SECOND.format(name="shop").replace("0002", "0003"))
    with pytest.raises(MigrationError, match="end in 0002, 0003"):
        head(Migrations(name="shop", package=package))
    with pytest.raises(MigrationError, match="There is no package"):
        head(Migrations(name="shop", package="there_is_no_such.package"))


async def test_our_own_tables_are_what_is_declared(url: str) -> None:
    database = Database(url)
    async with running(database), database.connect() as connection:
        assert await connection.run_sync(drift, METADATA) == []


async def test_drift_says_what_differs(url: str, package: str) -> None:
    await prepare(address(url), DatabaseSettings(), [Migrations(name="shop", package=package)])
    declared = MetaData()
    Table("shop_things", declared, Column("id", Integer, primary_key=True), Column("price", String(9)))
    Table("shop_orders", declared, Column("id", Integer, primary_key=True))
    database = Database(url)
    async with running(database), database.connect() as connection:
        said = " | ".join(await connection.run_sync(drift, declared))
    assert "price" in said and "word" in said and "shop_orders" in said
    assert "bedplate_leases" not in said


def test_nothing_of_it_is_imported_before_it_is_needed() -> None:
    program = (
        "import sys, bedplate.service, bedplate.database\n"
        "print([name for name in ('sqlalchemy', 'alembic') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"
