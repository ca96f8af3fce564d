"""No organisation sees or writes another's rows, even where a query forgets to ask for its own."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from sqlalchemy import select, text

from bedplate.database.migrations import drift
from ledger.entries import Transaction, transaction_entry
from ledger.scope import WrongOrganization
from ledger.tables import ACCOUNTS, ENTRIES, LINES, METADATA, ORGANIZATIONS, TRANSACTIONS

from .conftest import Office

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = date(2025, 11, 3)


async def _two(office: Office) -> tuple[int, int]:
    """Return two organisations, each with a sale."""
    ours, theirs = await office.organization(), await office.organization()
    for organization, amount in ((ours, 100), (theirs, 999)):
        sale = transaction_entry("revenue", DAY, Transaction("4000", "1000", amount, "EUR"), reference="one")
        await office.books.post(organization, [sale])
    return ours, theirs


async def test_the_tables_are_as_declared(office: Office) -> None:
    async with office.books.database.connect() as connection:
        found = await connection.run_sync(lambda sync: drift(sync, METADATA))
    if office.books.database.dialect == "sqlite":
        # There a line's entry, which closes it, must be there at the end; on a server one statement sees to it.
        (to_entries,) = found
        assert "remove_fk" in to_entries and "ledger_entries.id" in to_entries
    else:
        assert found == []


async def test_a_query_that_forgets_whose_rows_it_wants_gets_ours(office: Office) -> None:
    ours, _ = await _two(office)
    async with office.books.reading(ours) as scope:
        assert (await scope.execute(select(TRANSACTIONS["revenue"].c.amount))).scalars().all() == [100]
        assert (await scope.execute(select(ORGANIZATIONS.c.id))).scalars().all() == [ours]
        joined = select(LINES.c.amount, ENTRIES.c.organization_id).join(ENTRIES, ENTRIES.c.id == LINES.c.entry_id)
        assert {row.organization_id for row in await scope.execute(joined)} == {ours}
        both = select(LINES.c.amount).union_all(select(TRANSACTIONS["revenue"].c.amount))
        assert sorted((await scope.execute(both)).scalars()) == [-100, 100, 100]
        async with scope.stream(select(LINES.c.amount), 10) as rows:
            assert sorted([row.amount async for row in rows]) == [-100, 100]


async def test_what_would_reach_others_is_refused_in_words(office: Office) -> None:
    ours, theirs = await _two(office)
    leaves = ACCOUNTS.update().where(ACCOUNTS.c.organization_id == theirs).values(name="Ours")
    row: dict[str, Any] = {"code": "9", "name": "", "kind": "asset", "closed": False}
    within = select(ACCOUNTS.c.code).where(
        ACCOUNTS.c.code.in_(select(LINES.c.account).where(LINES.c.organization_id == theirs))
    )
    async with office.books.writing(ours) as scope:
        assert (await scope.execute(leaves)).rowcount == 0
        refused: list[tuple[Any, Any]] = [
            (ACCOUNTS.insert(), [{**row, "organization_id": theirs}]),
            (ACCOUNTS.insert().values(**row, organization_id=theirs), None),
            (text("SELECT 1"), None),
            (within, None),
            (select(LINES.c.amount).union(select(LINES.c.amount)), None),
        ]
        for statement, rows in refused:
            with pytest.raises(WrongOrganization):
                await scope.execute(statement, rows)
