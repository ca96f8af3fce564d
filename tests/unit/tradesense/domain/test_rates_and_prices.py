"""Exchange rates and closing prices from CSV."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from tradesense.prices import BadPrices, Prices, read_prices
from tradesense.rates import BadRates, Rates, read_rates


def test_rates_are_found_direct_turned_round_and_across() -> None:
    rates = Rates(read_rates("date,currency,rate\n2025-01-02,USD,0.96\n2025-01-02,GBP,1.2\n2025-01-06,USD,0.98\n"))
    assert rates.rate("USD", "EUR", date(2025, 1, 2)) == Decimal("0.96")
    assert rates.rate("EUR", "USD", date(2025, 1, 6)) == pytest.approx(Decimal(1) / Decimal("0.98"))
    assert rates.rate("GBP", "USD", date(2025, 1, 3)) == pytest.approx(Decimal("1.25"))
    assert rates.rate("EUR", "EUR", date(2025, 1, 3)) == 1
    assert rates.rate("CHF", "EUR", date(2025, 1, 3)) is None


def test_a_day_without_a_rate_has_the_one_before_and_the_first_days_have_the_first() -> None:
    rates = Rates(read_rates("date,currency,rate\n2025-01-02,USD,0.96\n2025-01-06,USD,0.98\n"))
    days = [rates.rate("USD", "EUR", date(2025, 1, day)) for day in (1, 4, 9)]
    assert days == [Decimal("0.96"), Decimal("0.96"), Decimal("0.98")]


def test_the_central_banks_wide_form_is_read() -> None:
    rates = Rates(read_rates("Date,USD,JPY,CYP,\n2025-01-03,1.0299,162.2,N/A,\n2025-01-02,1.0321,162.5,N/A,\n"))
    assert rates.rate("EUR", "USD", date(2025, 1, 3)) == Decimal("1.0299")
    assert rates.rate("USD", "JPY", date(2025, 1, 2)) == pytest.approx(Decimal("162.5") / Decimal("1.0321"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n1,2\n", "a, b"),
        ("date,currency,rate\n2025-13-01,USD,1\n", "Line 2"),
        ("date,currency,rate\n2025-01-01,USD,1\n2025-01-02,USD,-1\n", "Line 3"),
        ("date,currency,rate\n2025-01-01,dollar,1\n", "dollar"),
    ],
)
def test_rates_that_cannot_be_used_are_named(text: str, told: str) -> None:
    with pytest.raises(BadRates, match=told):
        read_rates(text)


def test_prices_are_read_for_many_symbols_or_for_one() -> None:
    many = Prices(read_prices("Date,Symbol,Close,Currency\n2025-01-02,X,10.5,EUR\n2025-01-03,X,11,EUR\n"))
    assert many.close("X", "EUR", date(2025, 1, 5).toordinal()) == (date(2025, 1, 3).toordinal(), Decimal(11))
    assert many.close("X", "USD", date(2025, 1, 5).toordinal()) is None
    assert many.close("X", "EUR", date(2025, 1, 1).toordinal()) is None
    one = read_prices("Date,Open,High,Low,Close,Volume\n2025-01-02,1,2,1,1.5,100\n", symbol="Y")
    assert [(price.symbol, price.close, price.currency) for price in one] == [("Y", Decimal("1.5"), "USD")]


@pytest.mark.parametrize(
    ("text", "told"),
    [("Date,Close\n2025-01-02,1\n", "symbol"), ("date,symbol,close\n2025-01-02,X,abc\n", "Line 2"),
     ("date,symbol,close\n2025-01-02,X,0\n", "Line 2")],
)  # fmt: skip
def test_prices_that_cannot_be_used_are_named(text: str, told: str) -> None:
    with pytest.raises(BadPrices, match=told):
        read_prices(text)
