"""Money as people write it and as it is kept."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradesense.money import amount, digits, minor, parse, share, shown
from tradesense.trades import BadTrade, Trade, check

AT = datetime(2025, 1, 6, 15, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "point", "value"),
    [
        ("1234.5", ".", "1234.5"),
        ("$1,234.56", ".", "1234.56"),
        ("(12.30)", ".", "-12.30"),
        ("($1,855.00)", ".", "-1855.00"),
        ("-$5", ".", "-5"),
        ("\N{MINUS SIGN}7.5", ".", "-7.5"),
        ("12.30-", ".", "-12.30"),
        ("1.234,56", ",", "1234.56"),
        ("1.234,56 €", ",", "1234.56"),
        ("EUR 12,5", ",", "12.5"),
        ("12.5 USD", ".", "12.5"),
        ("1 234,56", ",", "1234.56"),
        ("1'234.56", ".", "1234.56"),
        (".5", ".", "0.5"),
        ("1e-7", ".", "1e-7"),
        ("12,34,567.8", ".", "1234567.8"),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, point: str, value: str) -> None:
    assert parse(text, point) == Decimal(value)


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("", "."),
        ("abc", "."),
        ("1.2.3", "."),
        ("1,5", "."),
        ("1.5", ","),
        ("NaN", "."),
        ("1,2345.6", "."),
        ("--1", "."),
    ],
)
def test_what_is_no_number_or_could_be_another_is_refused(text: str, point: str) -> None:
    with pytest.raises(ValueError):
        parse(text, point)


@given(st.integers(-(10**18), 10**18), st.sampled_from(["USD", "JPY", "KWD", "BTC"]))
def test_minor_units_come_back_as_they_were(units: int, currency: str) -> None:
    assert minor(amount(units, currency), currency) == units


def test_amounts_have_the_digits_of_their_currency_and_round_half_to_even() -> None:
    assert [digits(code) for code in ("USD", "JPY", "KWD", "BTC")] == [2, 0, 3, 8]
    assert [minor(Decimal(text), "USD") for text in ("0.005", "0.015", "-0.025", "1.005")] == [0, 2, -2, 100]
    assert minor(Decimal("123456789012345.67"), "USD") == 12345678901234567


@given(st.integers(-(10**12), 10**12), st.lists(st.integers(1, 10**6), min_size=1, max_size=8))
def test_shares_of_what_is_left_give_out_exactly_the_total(total: int, parts: list[int]) -> None:
    left, whole, given_out = total, sum(parts), []
    for part in parts:
        given_out.append(share(left, part, whole))
        left -= given_out[-1]
        whole -= part
    assert sum(given_out) == total
    assert left == 0


def test_decimals_are_shown_plainly() -> None:
    assert [shown(Decimal(text)) for text in ("1.50", "100", "1E+3", "0.0000001", "-0.0")] == [
        "1.5",
        "100",
        "1000",
        "0.0000001",
        "0",
    ]


def test_the_cash_of_a_trade_is_rounded_once_to_the_cent() -> None:
    buy = Trade("buy", AT, "X", Decimal("3"), Decimal("0.3333"), Decimal("0.35"))
    assert buy.cash == -100 - 35
    assert Trade("sell", AT, "X", Decimal("2"), Decimal("1.5"), Decimal("0.1"), multiplier=Decimal(100)).cash == 29990
    assert Trade("split", AT, "X", Decimal(4)).cash == 0
    assert Trade("interest", AT, price=Decimal("-1.25")).cash == -125
    assert Trade("withdrawal", AT, price=Decimal("10")).cash == -1000


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"quantity": Decimal(0)}, "quantity"),
        ({"quantity": Decimal("1e-11")}, "quantity"),
        ({"price": Decimal("NaN")}, "price"),
        ({"price": Decimal("1e15")}, "price"),
        ({"currency": "Euro"}, "currency"),
        ({"symbol": ""}, "symbol"),
        ({"at": AT.replace(tzinfo=None)}, "at"),
        ({"kind": "gift"}, "kind"),
        ({"kind": "dividend", "price": Decimal(-1)}, "price"),
    ],
)
def test_a_trade_that_cannot_be_is_refused_with_what_to_do(change: dict[str, object], field: str) -> None:
    values: dict[str, object] = {"kind": "buy", "at": AT, "symbol": "X", "price": Decimal(1), **change}
    with pytest.raises(BadTrade) as caught:
        check(Trade(**values))  # type: ignore[arg-type]
    assert caught.value.field == field
    assert caught.value.mend
