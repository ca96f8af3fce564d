"""Made-up trades, for demonstrations, benchmarks and tests: seeded, plausible, of nobody."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

from tradesense.money import shown
from tradesense.prices import Price
from tradesense.trades import Trade

__all__ = ["SYMBOLS", "closing_prices", "generic_csv", "made_up"]

SYMBOLS: Final = "ACME BOLT CRUX DELT ECHO FLUX GRIT HALO IRIS JADE KITE LYNX MINT NOVA ONYX PLUM".split()
_TAGS: Final = ("breakout", "pullback", "earnings", "news", "swing")
_CENT: Final = Decimal("0.01")


def made_up(
    count: int, *, seed: int = 1, start: date = date(2023, 1, 2), symbols: Sequence[str] = SYMBOLS, days: int = 350
) -> list[Trade]:
    """Return so many executions, in order: purchases, sales, now and then a short, of prices that wander.

    :param start: a Monday. :param days: over how many weekdays they are spread.
    """
    dice = random.Random(seed)
    price = {symbol: Decimal(dice.randint(2_000, 30_000)) / 100 for symbol in symbols}
    held: dict[str, int] = dict.fromkeys(symbols, 0)
    trades = []
    for number in range(count):
        past = number * days // count
        day = start + timedelta(days=past // 5 * 7 + past % 5)
        symbol = dice.choice(symbols)
        moved = price[symbol] * Decimal(str(round(dice.gauss(1.0005, 0.012), 4)))
        price[symbol] = max(Decimal(1), moved.quantize(_CENT))
        quantity = dice.choice((5, 10, 20, 25, 50, 100))
        selling = dice.random() < (0.62 if held[symbol] > 150 else 0.47 if held[symbol] > 0 else 0.08)
        held[symbol] += -quantity if selling else quantity
        moment = datetime(day.year, day.month, day.day, 14, 30, tzinfo=UTC)
        seconds = 23_000 * (number * days % count) // count
        trades.append(
            Trade(
                "sell" if selling else "buy",
                moment + timedelta(seconds=seconds),
                symbol,
                Decimal(quantity),
                price[symbol],
                Decimal(quantity * 1) / 200 + Decimal("0.35"),
                "USD",
                tags=(dice.choice(_TAGS),) if dice.random() < 0.5 else (),
                broker_id=f"T{seed:03d}{number:07d}",
            )
        )
    return trades


def closing_prices(trades: Sequence[Trade], *, seed: int = 1) -> list[Price]:
    """Return a close for each weekday and symbol, near what was paid."""
    dice = random.Random(seed)
    last: dict[str, Decimal] = {}
    traded: dict[date, dict[str, Decimal]] = {}
    for trade in trades:
        traded.setdefault(trade.at.date(), {})[trade.symbol] = trade.price
    prices = []
    day, end = min(traded), max(traded)
    while day <= end:
        last |= traded.get(day, {})
        if day.weekday() < 5:
            for symbol, price in last.items():
                last[symbol] = max(_CENT, (price * Decimal(str(round(dice.gauss(1.0, 0.008), 4)))).quantize(_CENT))
                prices.append(Price(symbol, day, last[symbol], "USD"))
        day += timedelta(days=1)
    return prices


def generic_csv(trades: Sequence[Trade]) -> str:
    """Return trades as the CSV that every spreadsheet can write."""
    lines = ["Date,Side,Symbol,Quantity,Price,Fee,Currency,ID,Tags"]
    lines += [
        f"{one.at:%Y-%m-%d %H:%M:%S},{one.kind},{one.symbol},{shown(one.quantity)},{shown(one.price)},"
        f"{shown(one.fee)},{one.currency},{one.broker_id},{' '.join(one.tags)}"
        for one in trades
    ]
    return "\n".join(lines) + "\n"
