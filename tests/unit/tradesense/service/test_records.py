"""The tables on SQLite and PostgreSQL: as declared, exact, and of one user at a time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from bedplate.database import Database
from bedplate.database.migrations import drift
from bedplate.testing import running
from tests.postgres import Postgres
from tradesense.components import Records
from tradesense.importing import Known
from tradesense.prices import Price
from tradesense.rates import Rate
from tradesense.records import imports, journal, market, trades, users
from tradesense.records.imports import Import
from tradesense.records.journal import Entry
from tradesense.records.users import User
from tradesense.samples import made_up
from tradesense.tables import METADATA, micros, moment
from tradesense.trades import Trade

AT = datetime(2025, 1, 6, 15, 0, 0, 123456, tzinfo=UTC)
ADA = User("ada", "ada@example.org", "Ada", "EUR", "lifo", "Europe/Berlin", Decimal("1000.10"), 1.0)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'records.sqlite3'}"
    server: Postgres = request.getfixturevalue("server")
    return server.database()


async def test_everything_comes_back_as_it_was_put_in(url: str) -> None:
    database = Database(url)
    records = Records(database=database)
    async with running([records]):
        async with database.connect() as connection:
            assert await connection.run_sync(lambda sync: drift(sync, METADATA)) == []
        await _users(records)
        await _trades(records)
        await _pages(records)
        await _market(records)
        await _journal(records)
        async with records.writing() as connection:
            await users.delete(connection, "ada")
            assert await trades.count(connection, "ada") == 0
            assert await trades.count(connection, "bob") == 1
            assert await users.by_id(connection, "ada") is None


async def _users(records: Records) -> None:
    async with records.writing() as connection:
        assert await users.create(connection, ADA, "hash")
        assert not await users.create(connection, User(**{**_members(ADA), "id": "other"}), "hash")
        assert await users.by_email(connection, "ada@example.org") == (ADA, "hash")
        await users.change(connection, "ada", {"capital": Decimal("0.000000001")})
        changed = await users.by_id(connection, "ada")
        assert changed is not None and changed.capital == Decimal("0.000000001")


def _members(user: User) -> dict[str, object]:
    return {name: getattr(user, name) for name in User.__slots__}


async def _trades(records: Records) -> None:
    exact = Trade(
        "buy", AT, "X", Decimal("0.1234567891"), Decimal("98765.432109876543"), Decimal("-0.005"), "BTC", Decimal(100),
        "main", "b-1", ("one", "two"), "note",
    )  # fmt: skip
    async with records.writing() as connection:
        (id,) = await trades.add(connection, trades.rows_of("ada", [exact], 5.0, "file"))
        await trades.add(connection, trades.rows_of("bob", [exact], 5.0))
        found = await trades.by_id(connection, "ada", id)
        assert found is not None
        assert {name: getattr(found, name) for name in Trade._fields if name != "id"} == {
            name: getattr(exact, name) for name in Trade._fields if name != "id"
        }
        assert await trades.by_id(connection, "bob", id) is None
        assert await trades.fingerprints(connection, "ada", AT - timedelta(1), AT) == [
            Known("main", "b-1", exact.fingerprint())
        ]
        assert await trades.entered_since(connection, 4.0) == (2, 2, 1)
        assert await trades.entered_since(connection, 6.0) == (0, 0, 0)
        assert not await trades.delete(connection, "bob", id)
        assert await trades.delete_all(connection, "ada", "another file") == 0
        assert await trades.delete_all(connection, "ada", "file") == 1


async def _pages(records: Records) -> None:
    given = made_up(900)
    async with records.writing() as connection:
        ids = await trades.add(connection, trades.rows_of("ada", given, 1.0))
    rows = []
    async with records.reading() as connection:
        async for portion in trades.everything(connection, "ada"):
            assert len(portion) <= 400
            rows += [trades.trade_of(row) for row in portion]
        page = await trades.page(connection, "ada", limit=500)
        rest = await trades.page(connection, "ada", limit=500, cursor=page.cursor)
        acme = await trades.page(connection, "ada", symbol="ACME", limit=1000, since=given[100].at, until=given[200].at)
    assert [row.id for row in rows] == ids
    assert [one.id for one in (*page.items, *rest.items)] == ids[::-1]
    assert rest.cursor == ""
    assert {one.id for one in acme.items} == {
        id for id, one in zip(ids, given, strict=True)
        if one.symbol == "ACME" and given[100].at <= one.at < given[200].at
    }  # fmt: skip


async def _market(records: Records) -> None:
    day = date(2025, 1, 6)
    async with records.writing() as connection:
        assert (
            await market.put_prices(connection, market.price_rows("ada", [Price("X", day, Decimal(1), "USD")] * 2)) == 1
        )
        await market.put_prices(connection, market.price_rows("ada", [Price("X", day, Decimal("2.5"), "USD")]))
        await market.put_rates(connection, market.rate_rows("ada", [Rate(day, "EUR", "USD", Decimal("1.0834"))]))
        prices = [
            (symbol, day, Decimal(close), money) for symbol, day, close, money in await market.prices(connection, "ada")
        ]
        assert prices == [("X", day.toordinal(), Decimal("2.5"), "USD")]
        assert [(*row[:3], Decimal(row[3])) for row in await market.rates(connection, "ada")] == [
            (day.toordinal(), "EUR", "USD", Decimal("1.0834"))
        ]
        assert await market.prices(connection, "bob") == []
        assert (await market.symbols(connection, "ada"))[0]["first"] == "2025-01-06"


async def _journal(records: Records) -> None:
    note = Entry("n1", micros(AT), "t1", "text", ("a", "b"))
    done = Import("i1", micros(AT), "schwab", "file", 1, 2, 3, 4, [{"line": 1}])
    async with records.writing() as connection:
        await journal.add(connection, "ada", note)
        await imports.add(connection, "ada", done)
        assert await journal.by_id(connection, "ada", "n1") == note
        assert await journal.by_id(connection, "bob", "n1") is None
        assert await journal.tags_by_trade(connection, "ada") == {"t1": ["a", "b"]}
        assert await journal.tags_by_trade(connection, "bob") == {}
        assert (await imports.page(connection, "ada")).items == [done]
        assert await imports.by_id(connection, "bob", "i1") is None
    assert moment(note.at) == AT


async def test_the_records_of_the_day_are_counted_once_a_minute(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'records.sqlite3'}")
    records = Records(database=database)
    async with running([records]) as harness:
        now = harness.clock.time()
        async with records.writing() as connection:
            await users.create(connection, ADA, "hash")
            await trades.add(connection, trades.rows_of("ada", made_up(30), now))
            await trades.add(
                connection, trades.rows_of("ada", [Trade("buy", AT, "OLD", price=Decimal(1))], now - 86_400)
            )

        async def counted() -> bool:
            await harness.clock.advance(60)
            return await harness.value("tradesense_trades_tracked") == 31

        await harness.eventually(counted)
        assert await harness.value("tradesense_traders") == 1
        assert await harness.value("tradesense_trades_entered_today") == 30
        assert await harness.value("tradesense_traders_active_today") == 1
