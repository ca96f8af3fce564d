"""Row security on a real PostgreSQL: what an organisation's transaction may do by any SQL, and what its owner may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date

import pytest
import pytest_asyncio
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from ledger.entries import Transaction, transaction_entry
from ledger.records import totals
from ledger.scope import Scope
from ledger.tables import OWNED
from tests.postgres import Postgres, pgbouncer

from .conftest import Office, office_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = date(2025, 11, 3)


@pytest.fixture(scope="module")
def name(server: Postgres) -> str:
    """The name of an empty database."""
    return server.database().rpartition("@/")[2].partition("?")[0]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def office(server: Postgres, name: str) -> AsyncIterator[Office]:
    """A service whose login is no superuser, but the owner of its tables, as in production."""
    server.sql("CREATE ROLE keeper LOGIN")
    # The role may be there from another database of the server; an administrator lets the service be it.
    server.sql("DO $$ BEGIN CREATE ROLE ledger_tenant; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    server.sql("GRANT ledger_tenant TO keeper")
    server.sql(f"ALTER DATABASE {name} OWNER TO keeper")
    server.sql("ALTER SCHEMA public OWNER TO keeper", name)
    async with office_of(database_url=server.url(name).replace("postgres@", "keeper@")) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def two(office: Office) -> tuple[int, int]:
    """Two organisations, each with a sale and a token."""
    return await _two(office)


async def _two(office: Office) -> tuple[int, int]:
    found = []
    for amount in (100, 999):
        keeper = await office.bookkeeper()
        sale = transaction_entry("revenue", DAY, Transaction("4000", "1000", amount, "EUR"), reference="one")
        await office.books.post(keeper.organization, [sale])
        found.append(keeper.organization)
    return found[0], found[1]


async def test_by_raw_sql_one_sees_nothing_of_another(office: Office, two: tuple[int, int]) -> None:
    ours, theirs = two
    async with office.books.reading(ours) as scope:
        for table in (*(table.name for table in OWNED), "revenue_transactions", "expense_transactions"):
            seen = await scope.sql(f"SELECT DISTINCT organization_id FROM {table}")
            assert {row[0] for row in seen} <= {ours}, table
            assert not (await scope.sql(f"SELECT 1 FROM {table} WHERE organization_id = {theirs}")).all(), table
        assert [row[0] for row in await scope.sql("SELECT id FROM ledger_organizations")] == [ours]
        assert (await scope.sql("SELECT amount FROM revenue_transactions")).scalars().all() == [100]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO ledger_accounts VALUES ({theirs}, '9999', 'Mine', 'asset', false)",
        "INSERT INTO ledger_tokens VALUES ('0123456789abcdef', {theirs}, '', 'write', '', 0, NULL)",
        "INSERT INTO revenue_transactions VALUES ({theirs}, 1, '2025-01-01', '', '', 1, 'EUR', '', '', '', NULL, 0)",
        "INSERT INTO ledger_organizations VALUES (999999, 'Mine', 'EUR', 0)",
        # What is posted is neither changed nor deleted, by nobody who works for an organisation.
        "UPDATE ledger_lines SET amount = 0",
        "DELETE FROM ledger_lines",
        "DELETE FROM ledger_entries",
        "UPDATE revenue_transactions SET amount = 1",
        "DELETE FROM expense_transactions",
        "TRUNCATE ledger_months",
        "UPDATE ledger_organizations SET name = 'Mine'",
        "DROP TABLE ledger_lines",
        "ALTER TABLE ledger_lines DISABLE ROW LEVEL SECURITY",
        "SELECT nextval('ledger_entries_numbers')",
    ],
)
async def test_by_raw_sql_one_writes_nothing_of_another_nor_what_is_posted(
    office: Office, two: tuple[int, int], statement: str
) -> None:
    ours, theirs = two
    with pytest.raises(DBAPIError, match=r"row-level security|permission denied|must be owner"):
        async with office.books.writing(ours) as scope:
            await scope.sql(statement.format(theirs=theirs))


async def test_what_one_changes_of_another_is_nothing(office: Office, two: tuple[int, int]) -> None:
    ours, theirs = two
    async with office.books.writing(ours) as scope:
        for statement in (
            "UPDATE ledger_accounts SET closed = true",
            "UPDATE ledger_months SET debit = debit",
            "UPDATE ledger_tokens SET revoked = 1",
        ):
            await scope.sql(statement)
        changed = await scope.sql(f"UPDATE ledger_accounts SET name = '' WHERE organization_id = {theirs}")
        assert changed.rowcount == 0
    async with office.books.reading(theirs) as scope:
        assert (await scope.sql("SELECT count(*) FROM ledger_accounts WHERE closed OR name = ''")).scalar() == 0
        assert (await scope.sql("SELECT count(*) FROM ledger_tokens WHERE revoked IS NULL")).scalar() == 1
    with pytest.raises(DBAPIError, match="row-level security"):
        async with office.books.writing(ours) as scope:
            await scope.sql(f"UPDATE ledger_accounts SET organization_id = {theirs} WHERE code = '5900'")


async def test_nothing_of_a_transaction_is_left_for_the_next_on_the_connection(
    office: Office, two: tuple[int, int]
) -> None:
    ours, _ = two
    settings = "SELECT current_user = 'keeper', coalesce(current_setting('ledger.organization', true), '') = ''"
    for _ in range(3):
        async with office.books.writing(ours) as scope:
            told = await scope.sql("SELECT current_user = 'ledger_tenant', current_setting('ledger.organization')")
            assert tuple(told.one()) == (True, str(ours))
        async with office.books.database.connect() as connection:
            assert tuple((await connection.exec_driver_sql(settings)).one()) == (True, True)


async def test_the_role_without_an_organisation_sees_nothing(office: Office, two: tuple[int, int]) -> None:
    async with office.books.database.connect() as connection:
        await connection.exec_driver_sql("SET LOCAL ROLE ledger_tenant")
        for table in OWNED:
            assert (await connection.exec_driver_sql(f"SELECT count(*) FROM {table.name}")).scalar() == 0, table.name


async def test_the_owner_sees_all_so_that_books_can_be_checked_and_moved(office: Office, two: tuple[int, int]) -> None:
    ours, theirs = two
    async with office.books.database.connect() as connection:
        seen = await connection.exec_driver_sql("SELECT DISTINCT organization_id FROM revenue_transactions")
        assert {ours, theirs} <= {row[0] for row in seen}
        assert await totals.differences(connection, ours, theirs) == []


async def test_the_two_tables_can_be_moved(office: Office, server: Postgres, name: str) -> None:
    """No foreign key leads to them, and everything unique in them begins with the organisation."""
    led = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND confrelid::regclass::text ~ '(revenue|expense)_'"
    assert server.sql(led, name) == "0"
    unique = (
        "SELECT count(*) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] "
        "WHERE i.indrelid::regclass::text ~ '^(revenue|expense)_' AND i.indisunique AND a.attname = 'organization_id'"
    )
    assert server.sql(unique, name) == "2"


async def test_it_holds_behind_pgbouncer_in_transaction_mode(office: Office, server: Postgres, name: str) -> None:
    """Many transactions of many organisations share two server connections."""
    pairs = [await _two(office) for _ in range(3)]
    with pgbouncer(server, "default_pool_size = 2\nmax_db_connections = 2") as bouncer:
        address = bouncer.url(name).replace("postgresql://", "postgresql+asyncpg://")
        engine = create_async_engine(
            address,
            pool_size=12,
            connect_args={
                "statement_cache_size": 0,
                "prepared_statement_cache_size": 0,
                "prepared_statement_name_func": lambda: "",
            },
        )

        async def amounts(organization: int) -> list[int]:
            async with engine.begin() as connection:
                scope = Scope(connection, organization)
                await scope.enter()
                return list((await scope.sql("SELECT amount FROM revenue_transactions")).scalars().all())

        try:
            ids = [id for pair in pairs for id in pair] * 6
            found = await asyncio.gather(*(amounts(id) for id in ids))
        finally:
            await engine.dispose()
    assert found == [[100], [999]] * 18
