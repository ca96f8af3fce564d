"""What analyses look like, for the API's description: they are written once, cached as text, and never parsed again."""

from __future__ import annotations

from pydantic import Field

from tradesense.api.schemas import Model
from tradesense.lots import Method

__all__ = ["EquityOut", "PortfolioOut", "ReportOut"]


class Outcomes(Model):
    """Wins and losses. A trade is an execution that closes something; fees are in its profit."""

    trades: int
    profit: str
    winners: int
    losers: int
    win_rate: float | None
    won: str
    lost: str
    expectancy: str | None
    """Profit of an average trade."""
    profit_factor: float | None
    """Won over lost; null without a loss."""
    best: str
    worst: str
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

    total: str
    realised: str
    unrealised: str
    earned: dict[str, str]
    """Dividends, interest, and fees that belong to no trade."""
    fees: str


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
    contributed: str
    average_investment: str


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
    """How well it goes, in the base currency."""

    base: str
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
    """The account day by day."""

    base: str
    funding: str
    days: list[str]
    worth: list[float]
    contributed: list[str]
    growth: list[float]
    """What 1 has become, time-weighted."""


class HoldingOut(Model):
    """A position; amounts in its currency, those of `base_` in the base currency."""

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
    base_value: str
    base_unrealised: str
    weight: float


class PortfolioOut(Model):
    """What is held."""

    base: str
    cost: str
    value: str
    unrealised: str
    holdings: list[HoldingOut]
