"""What analyses look like, for the API's description: they are written once, cached as text, and never parsed again."""

from __future__ import annotations

from pydantic import Field

from tradesense.api.schemas import Model
from tradesense.lots import Method

__all__ = ["EquityOut", "PortfolioOut", "ReportOut"]


class Outcomes(Model):
    """Wins and losses. A trade is an execution that closes something; fees are in its profit."""

    trades: int
    profit: str | None
    winners: int | None
    losers: int | None
    win_rate: float | None
    won: str | None
    lost: str | None
    expectancy: str | None
    """Profit of an average trade."""
    profit_factor: float | None
    """Won over lost; null without a loss."""
    best: str | None
    worst: str | None
    days_held: float | None


class DayOutcomes(Outcomes):
    """Of one day."""

    day: str


class SymbolOutcomes(Outcomes):
    """Of one symbol."""

    symbol: str


class TagOutcomes(Outcomes):
    """Of one tag; a trade with two tags counts for both."""

    tag: str


class Profit(Model):
    """What was made, fees taken off."""

    total: str | None
    realised: str | None
    unrealised: str | None
    earned: dict[str, str | None]
    """Dividends, interest, and fees that belong to no trade."""
    fees: str | None


class ReturnsOut(Model):
    """Three returns that answer three questions, as shares."""

    twr: float | None
    """Time-weighted: how well was it traded, whenever money came or went?"""
    twr_annual: float | None
    xirr: float | None
    """Money-weighted: at which yearly rate did the money that was put in grow?"""
    roai: float | None
    """Profit over what was on average put into open positions."""
    funding: str
    """Whose money they are shares of: recorded deposits, a stated capital, or what the trades imply."""
    contributed: str | None
    average_investment: str | None


class Drawdown(Model):
    """The deepest fall of the time-weighted growth."""

    depth: float
    start: str = Field(alias="from")
    end: str = Field(alias="to")
    recovered: str | None


class Risk(Model):
    """Ratios of daily returns, a year."""

    volatility: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    max_drawdown: Drawdown | None
    days: int
    days_a_year: float
    """252, or 365 where something was traded at weekends."""


class ReportOut(Model):
    """How well it goes, in the base currency. What would need an exchange rate that is not known is null."""

    base: str
    complete: bool
    """Whether all could be converted to the base currency; `notes` says what could not be."""
    method: Method
    until: str
    trades: int
    profit: Profit
    outcomes: Outcomes
    returns: ReturnsOut
    risk: Risk
    by_day: list[DayOutcomes]
    by_symbol: list[SymbolOutcomes]
    by_tag: list[TagOutcomes]
    notes: list[str]
    """What is missing: a rate, a price."""


class EquityOut(Model):
    """The account day by day; null from the first day on that an exchange rate is missing of."""

    base: str
    complete: bool
    """Whether all could be converted to the base currency; `notes` says what could not be."""
    funding: str
    days: list[str]
    worth: list[float | None]
    contributed: list[str | None]
    growth: list[float | None]
    """What 1 has become, time-weighted."""
    notes: list[str]


class HoldingOut(Model):
    """A position; amounts in its currency, those of `base_` in the base currency, null without an exchange rate."""

    account: str
    symbol: str
    currency: str
    quantity: str
    average_price: str
    cost: str
    price: str
    priced_by: str
    """A quote, a close, or for want of both the last trade."""
    priced_on: str
    value: str
    unrealised: str
    base_value: str | None
    base_unrealised: str | None
    weight: float | None
    """Its share of all that is held; null when one of the values is not known."""


class PortfolioOut(Model):
    """What is held."""

    base: str
    complete: bool
    """Whether all could be converted to the base currency; `notes` says what could not be."""
    cost: str | None
    value: str | None
    unrealised: str | None
    holdings: list[HoldingOut]
    notes: list[str]
