"""Lots: which goes first, and that no cent is lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradesense.lots import METHODS, Book, Method, build_book
from tradesense.rates import Rate, Rates
from tradesense.trades import Trade

AT = datetime(2025, 1, 6, 15, 0, tzinfo=UTC)


def trade(kind: Any, quantity: object, price: object, fee: object = "0", *, day: int = 0, **more: Any) -> Trade:
    values = {"symbol": "X", **more}
    return Trade(
        kind, AT + timedelta(days=day), quantity=Decimal(str(quantity)), price=Decimal(str(price)),
        fee=Decimal(str(fee)), **values,
    )  # fmt: skip


def profits(book: Book) -> list[int]:
    return [closing.pnl for closing in book.closings]


@pytest.mark.parametrize(("method", "profit"), [("fifo", 5000), ("lifo", 3000), ("average", 4000)])
def test_the_method_says_which_purchase_a_sale_ends(method: Method, profit: int) -> None:
    book = build_book([trade("buy", 10, 10), trade("buy", 10, 12, day=1), trade("sell", 10, 15, day=2)], method)
    assert sum(profits(book)) == profit
    (position,) = book.positions.values()
    assert position.quantity == 10
    assert position.cash == -22000 + 15000 - profit


def test_a_short_is_a_trade_with_the_signs_turned() -> None:
    book = build_book([trade("sell", 10, 20, 1), trade("buy", 4, 15, "0.5", day=1), trade("buy", 6, 25, "0.5", day=2)])
    assert [closing.quantity for closing in book.closings] == [-4, -6]
    assert profits(book) == [2000 - 40 - 50, -3000 - 60 - 50]
    assert sum(profits(book)) == sum(book.cash.values())


def test_a_sale_of_more_than_is_held_ends_it_and_opens_a_short() -> None:
    book = build_book([trade("buy", 10, 10, 1), trade("sell", 15, 11, "1.50", day=1)])
    assert profits(book) == [1000 - 100 - 100]
    (position,) = book.positions.values()
    assert position.quantity == -5
    assert position.cash == 5 * 1100 - 50


def test_a_fee_that_cannot_be_divided_is_given_out_whole() -> None:
    sales = [trade("sell", 1, 10, day=day) for day in (1, 2, 3)]
    book = build_book([trade("buy", 3, 10, 1), *sales])
    assert sum(profits(book)) == -100
    assert sorted(profits(book)) == [-34, -33, -33]


def test_splits_change_how_many_and_not_what_was_paid() -> None:
    book = build_book([trade("buy", 10, 100), trade("split", 4, 0, day=1), trade("sell", 40, 26, day=2)])
    assert profits(book) == [4000]
    reverse = build_book([trade("buy", 5, 10), trade("buy", 5, 10), trade("split", "0.3", 0, day=1)])
    (position,) = reverse.positions.values()
    assert (position.quantity, [lot.quantity for lot in position.lots]) == (3, [Decimal("1.5")] * 2)


def test_a_split_touches_the_accounts_that_it_is_of() -> None:
    held = [trade("buy", 1, 10, account="a"), trade("buy", 1, 10, account="b")]
    everywhere = build_book([*held, trade("split", 2, 0, day=1)])
    assert [position.quantity for position in everywhere.positions.values()] == [2, 2]
    one = build_book([*held, trade("split", 2, 0, day=1, account="b")])
    assert [position.quantity for position in one.positions.values()] == [1, 2]


def test_accounts_and_currencies_are_kept_apart() -> None:
    book = build_book([trade("buy", 1, 10, account="a"), trade("sell", 1, 12, account="b", day=1)])
    assert book.closings == []
    assert [position.quantity for position in book.positions.values()] == [1, -1]


def test_each_side_is_worth_what_its_currency_was_on_its_day() -> None:
    rates = Rates([Rate(date(2025, 1, 6), "EUR", "USD", Decimal("1.00")),
                   Rate(date(2025, 1, 8), "EUR", "USD", Decimal("1.20"))])  # fmt: skip
    book = build_book([trade("buy", 1, 100, currency="EUR"), trade("sell", 1, 100, currency="EUR", day=2)], rates=rates)
    assert profits(book) == [0]
    assert book.closings[0].base_pnl == 2000
    assert book.missing == set()


def test_a_currency_without_a_rate_is_named() -> None:
    book = build_book([trade("buy", 1, 100, currency="CHF")])
    assert book.missing == {("CHF", date(2025, 1, 6))}


def test_a_day_ends_at_the_midnight_of_the_zone() -> None:
    late = [Trade("buy", datetime(2025, 1, 7, 1, 0, tzinfo=UTC), "X", price=Decimal(1))]
    assert build_book(late).days == {date(2025, 1, 7).toordinal()}
    assert build_book(late, zone=ZoneInfo("America/New_York")).days == {date(2025, 1, 6).toordinal()}


def test_dividends_and_fees_are_earned_and_transfers_are_not() -> None:
    moves = [
        trade("deposit", 1, 1000, 5), trade("dividend", 1, "12.5", day=1), trade("fee", 1, 3, day=2, symbol=""),
        trade("withdrawal", 1, 100, day=3),
    ]  # fmt: skip
    book = build_book(moves)
    assert [(one.kind, one.base) for one in book.earnings] == [("fee", -500), ("dividend", 1250), ("fee", -300)]
    assert list(book.transferred.values()) == [100000, -10000]
    assert sum(book.transferred.values()) + sum(book.paid.values()) == book.cash["USD"] == 90450


QUANTITIES = st.decimals("0.0001", "10000", places=4)
PRICES = st.decimals("0.01", "5000", places=4)
EXECUTIONS = st.builds(
    lambda *parts: parts,
    st.sampled_from(["buy", "sell", "sell", "buy", "split"]), QUANTITIES, PRICES, st.decimals("-1", "20", places=3),
    st.sampled_from(["USD", "EUR", "JPY"]), st.sampled_from(["X", "Y"]), st.sampled_from(["", "a"]),
)  # fmt: skip
RATES = Rates([Rate(date(2025, 1, 6), "EUR", "USD", Decimal("1.0834")),
               Rate(date(2025, 1, 9), "EUR", "USD", Decimal("1.1")),
               Rate(date(2025, 1, 6), "JPY", "EUR", Decimal("0.0061"))])  # fmt: skip


@given(st.lists(EXECUTIONS, max_size=25), st.sampled_from(METHODS))
def test_cash_is_profit_and_what_open_lots_hold_to_the_last_cent(rows: Sequence[Any], method: Method) -> None:
    trades = [
        Trade(kind, AT + timedelta(days=day), symbol, Decimal(2) if kind == "split" else quantity, price,
              Decimal(0) if kind == "split" else fee, currency, account=account)
        for day, (kind, quantity, price, fee, currency, symbol, account) in enumerate(rows)
    ]  # fmt: skip
    book = build_book(trades, method, base="USD", rates=RATES)
    assert book.missing == set()
    for currency in {one.currency for one in trades}:
        cash = sum(one.cash for one in trades if one.currency == currency)
        made = sum(closing.pnl for closing in book.closings if closing.currency == currency)
        held = sum(lot.cash for p in book.positions.values() if p.currency == currency for lot in p.lots)
        assert cash == made + held
    assert sum(book.paid.values()) == sum(closing.base_pnl for closing in book.closings) + sum(
        lot.base for position in book.positions.values() for lot in position.lots
    )
    for position in book.positions.values():
        assert position.units == sum(lot.units for lot in position.lots)
        assert position.cash == sum(lot.cash for lot in position.lots)
        assert len({lot.units > 0 for lot in position.lots}) <= 1


@given(st.lists(EXECUTIONS.filter(lambda row: row[0] != "split"), max_size=20))
def test_once_all_is_closed_every_method_made_the_same(rows: Sequence[Any]) -> None:
    trades = [
        Trade(kind, AT + timedelta(days=day), "X", quantity, price, fee, "USD")
        for day, (kind, quantity, price, fee, *_) in enumerate(rows)
    ]
    left = sum((one.quantity if one.kind == "buy" else -one.quantity for one in trades), Decimal(0))
    if left:
        trades.append(trade("sell" if left > 0 else "buy", abs(left), 7, day=99))
    made = {sum(profits(build_book(trades, method))) for method in METHODS}
    assert made == {sum(one.cash for one in trades)}
