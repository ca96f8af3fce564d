"""The report: what it says of trades, and that series and money agree."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradesense.analytics import analyse
from tradesense.lots import METHODS, Method
from tradesense.portfolio import from_text, portfolio, quoted, to_text
from tradesense.prices import Price, Prices
from tradesense.rates import Rate, Rates
from tradesense.samples import closing_prices, made_up
from tradesense.trades import Trade

MONDAY = datetime(2025, 1, 6, 15, 0, tzinfo=UTC)


def trade(kind: Any, quantity: object, price: object, day: int = 0, fee: object = 0, **more: Any) -> Trade:
    values = {"symbol": "X", **more}
    return Trade(kind, MONDAY + timedelta(days=day), quantity=Decimal(str(quantity)), price=Decimal(str(price)),
                 fee=Decimal(str(fee)), **values)  # fmt: skip


def test_wins_losses_and_what_a_trade_is_worth() -> None:
    trades = [
        trade("buy", 10, 10), trade("sell", 5, 12, 1, tags=("news",)), trade("sell", 5, 9, 2),
        trade("buy", 1, 5, 3, symbol="Y", tags=("swing",)), trade("sell", 1, 5, 4, symbol="Y", tags=("news",)),
    ]  # fmt: skip
    said = analyse(trades, until=MONDAY + timedelta(days=4)).document()
    outcomes = said["outcomes"]
    assert (outcomes["trades"], outcomes["winners"], outcomes["losers"]) == (3, 1, 1)
    assert outcomes["win_rate"] == pytest.approx(1 / 3)
    assert (outcomes["won"], outcomes["lost"], outcomes["expectancy"]) == ("10", "5", "1.67")
    assert outcomes["profit_factor"] == 2
    assert [(one["symbol"], one["profit"]) for one in said["by_symbol"]] == [("X", "5"), ("Y", "0")]
    assert [(one["tag"], one["trades"], one["profit"]) for one in said["by_tag"]] == [
        ("news", 2, "10"),
        ("swing", 1, "0"),
    ]
    assert [one["day"] for one in said["by_day"]] == ["2025-01-07", "2025-01-08", "2025-01-10"]


def test_recorded_deposits_decide_what_returns_are_shares_of() -> None:
    trades = [
        trade("deposit", 1, 1000),
        trade("buy", 10, 50, 1),
        trade("sell", 10, 60, 2),
        trade("deposit", 1, 8900, 3),
    ]
    analysis = analyse(trades, until=MONDAY + timedelta(days=4))
    assert analysis.equity.funding == "recorded"
    assert analysis.profit == 10_000
    assert analysis.returns.twr == pytest.approx(0.10)
    assert analysis.returns.average_investment == 50_000
    assert analysis.returns.roai == pytest.approx(0.2)
    assert list(analysis.equity.worth) == [100_000, 100_000, 110_000, 1_000_000, 1_000_000]


def test_without_deposits_the_money_is_implied_or_stated() -> None:
    trades = [trade("buy", 10, 50), trade("sell", 10, 60, 1), trade("buy", 10, 55, 2), trade("sell", 10, 55, 3)]
    implied = analyse(trades, until=MONDAY + timedelta(days=3))
    assert implied.equity.funding == "implied"
    assert list(implied.equity.flows) == [50_000, 0, 0, 0]
    assert implied.returns.twr == pytest.approx(0.2)
    stated = analyse(trades, until=MONDAY + timedelta(days=3), capital=100_000)
    assert stated.equity.funding == "stated"
    assert stated.returns.twr == pytest.approx(0.1)


def test_a_short_needs_as_much_margin_as_it_brought() -> None:
    analysis = analyse([trade("sell", 10, 50), trade("buy", 10, 40, 1)], until=MONDAY + timedelta(days=1))
    assert list(analysis.equity.flows) == [50_000, 0]
    assert list(analysis.equity.worth) == [50_000, 60_000]


def test_closing_prices_value_what_is_open_and_splits_turn_old_prices() -> None:
    prices = Prices([Price("X", date(2025, 1, 7), Decimal(12), "USD")])
    trades = [trade("buy", 10, 10), trade("split", 2, 0, 2)]
    before = analyse(trades[:1], prices=prices, until=MONDAY + timedelta(days=1))
    assert before.portfolio.unrealised == 2_000
    after = analyse(trades, prices=prices, until=MONDAY + timedelta(days=3))
    assert after.portfolio.unrealised == 2_000
    assert after.portfolio.holdings[0].price == 6
    assert list(after.equity.worth) == [10_000, 12_000, 12_000, 12_000]
    assert after.portfolio.holdings[0].average_price == 5


def test_a_quote_goes_before_every_price() -> None:
    book = analyse([trade("buy", 10, 10)], until=MONDAY).book
    held = portfolio(book, day=MONDAY.date(), quotes={("X", "USD"): Decimal("11.5")})
    assert (held.unrealised, held.holdings[0].priced_by) == (1_500, "quote")


@pytest.mark.parametrize("rate", [Rate(date(2025, 1, 6), "EUR", "USD", Decimal("1.0834")), None])
def test_a_portfolio_is_valued_alike_wherever_it_was_kept(rate: Rate | None) -> None:
    trades = [
        trade("buy", 3, 10, fee="0.11", currency="EUR"), trade("sell", 2, "20.5", symbol="Y", multiplier=Decimal(100)),
        trade("buy", 1, 10**14, symbol="Z", currency="JPY"), trade("buy", "0.5", 7, symbol="W"),
    ]  # fmt: skip
    made = analyse(trades, rates=Rates([rate] if rate else []), until=MONDAY)
    held = from_text(to_text(made.portfolio))
    assert held == made.portfolio
    quotes = {("X", "EUR"): Decimal("11.33"), ("Y", "USD"): Decimal("19.25")}
    now = quoted(held, quotes, MONDAY.date())
    assert now == portfolio(made.book, day=MONDAY.date(), quotes=quotes)
    assert [one.priced_by for one in now.holdings] == ["quote", "quote", "trade", "trade"]
    assert (now.holdings[1].value, now.holdings[1].base_unrealised) == (-385_000, 25_000)
    in_euro = now.holdings[0]
    assert (in_euro.value, in_euro.unrealised) == (3_399, 388)
    assert (in_euro.base_value, in_euro.base_unrealised) == ((3_682, 420) if rate else (None, None))


def test_what_has_no_price_or_no_rate_is_said() -> None:
    analysis = analyse([trade("buy", 1, 10, currency="CHF")], until=MONDAY)
    notes = " ".join(analysis.document()["notes"])
    assert "CHF" in notes and "last trade" in notes


def test_only_what_needs_a_missing_rate_is_not_known() -> None:
    trades = [
        trade("buy", 2, 10), trade("sell", 1, 12, 1, tags=("known",)),
        trade("buy", 2, 10, 2, symbol="Y", currency="CHF"), trade("sell", 1, 15, 3, symbol="Y", currency="CHF"),
        trade("dividend", 1, 3, 4, currency="CHF"), trade("interest", 1, 2, 4),
    ]  # fmt: skip
    analysis = analyse(trades, until=MONDAY + timedelta(days=7))
    said = analysis.document()
    assert not said["complete"] and analysis.profit is None
    assert [(one["symbol"], one["profit"], one["win_rate"]) for one in said["by_symbol"]] == [
        ("X", "2", 1.0),
        ("Y", None, None),
    ]
    assert said["outcomes"]["trades"] == 2 and said["outcomes"]["winners"] is None
    assert said["by_tag"][0]["profit"] == "2"
    assert said["profit"]["earned"] == {"dividend": None, "interest": "2"}
    known, unknown = analysis.portfolio.holdings
    assert (known.base_value, unknown.base_value, unknown.value, unknown.unrealised) == (1_200, None, 1_500, 500)
    series = analysis.equity_document()
    assert series["worth"] == [20.0, 24.0, None, None, None, None]
    assert series["contributed"][:3] == ["20", "20", None]
    assert sum("2025-01-08 to 2025-01-13" in note and "CHF" in note for note in said["notes"]) == 1


def test_a_position_that_was_closed_needs_no_rate_of_later_days() -> None:
    class Lately:
        def rate(self, currency: str, base: str, day: date) -> Decimal | None:
            return Decimal(2) if day <= date(2025, 1, 7) else None

    trades = [trade("buy", 1, 10, currency="CHF"), trade("sell", 1, 12, 1, currency="CHF")]
    analysis = analyse(trades, rates=Lately(), until=MONDAY + timedelta(days=7))
    assert analysis.complete and analysis.profit == 400
    assert analysis.equity.worth[-1] == 2_400


def test_weekends_count_where_they_are_traded() -> None:
    assert analyse([trade("buy", 1, 10)], until=MONDAY + timedelta(days=7)).equity.periods == 252
    weekend = analyse([trade("buy", 1, 10, 5)], until=MONDAY + timedelta(days=7))
    assert (weekend.equity.periods, weekend.equity.days.size) == (365, 3)


def test_no_trades_have_no_outcome() -> None:
    said = analyse([], until=MONDAY).document()
    assert said["profit"]["total"] == "0"
    assert said["returns"]["twr"] is None
    assert said["risk"]["sharpe"] is None
    assert said["by_day"] == []


ROWS = st.lists(
    st.tuples(st.sampled_from(["buy", "sell"]), st.integers(1, 500), st.integers(1, 90_000), st.integers(0, 300),
              st.sampled_from(["X", "Y"]), st.sampled_from(["USD", "EUR"])),
    min_size=1, max_size=25,
)  # fmt: skip
RATES = Rates(
    [Rate(date(2025, 1, 6), "EUR", "USD", Decimal("1.0834")), Rate(date(2025, 1, 14), "EUR", "USD", Decimal("1.1"))]
)


@given(ROWS, st.sampled_from(METHODS), st.integers(0, 10**7))
def test_the_series_ends_where_the_money_does(rows: Any, method: Method, capital: int) -> None:
    trades = [
        trade(kind, quantity, Decimal(cents) / 100, day, Decimal(fee) / 100, symbol=symbol, currency=currency)
        for day, (kind, quantity, cents, fee, symbol, currency) in enumerate(rows)
    ]
    prices = Prices([Price("X", date(2025, 1, 9), Decimal("77.70"), "USD")])
    analysis = analyse(
        trades, method=method, rates=RATES, prices=prices, capital=capital, until=MONDAY + timedelta(days=30)
    )
    end = float(analysis.equity.flows.sum() + analysis.profit)
    # The series keeps fractions of cents where money is rounded, one for each position.
    assert analysis.equity.worth[-1] == pytest.approx(end, abs=4, rel=1e-9)
    assert sum(one.pnl for one in analysis.closed) == sum(closing.base_pnl for closing in analysis.book.closings)
    by_symbol = analysis.document()["by_symbol"]
    assert sum(Decimal(one["profit"]) for one in by_symbol) == Decimal(analysis.document()["profit"]["realised"])


def test_the_profit_does_not_depend_on_the_method_only_what_is_realised_does() -> None:
    trades = made_up(400, days=60)
    prices = Prices(closing_prices(trades))
    analyses = [analyse(trades, method=one, prices=prices, until=datetime(2023, 6, 1, tzinfo=UTC)) for one in METHODS]
    assert len({one.profit for one in analyses}) == 1
    assert len({one.realised for one in analyses}) == 3
