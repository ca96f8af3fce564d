"""P23: ten thousand trades analysed."""

from __future__ import annotations

import asyncio
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.contestant import Contestant
from benchmarks.lab import Lab
from benchmarks.results import Goal, Measure, Row
from benchmarks.spread import Spread
from benchmarks.suites import Suite

__all__ = ["SUITE", "analysis", "deviation", "service"]

TRADES = 10_000

TEXT = """\
TradeSense, in a process of its own; wall time. **Analysed** is everything from trades in memory to the report as a
dictionary: lots, first in, first out, in exact money; outcomes by day, symbol and tag; what is held, valued by 5,600
closing prices; the account day by day; returns and ratios. **Cached** is `GET /api/v1/analytics` of a signed-in user,
straight into the service without a network: session, user, cache and answer. The note has the same request while
nothing is cached, with 10,000 trades and their prices read from SQLite, and while two threads share the interpreter.
**Ratios** are Sharpe, Sortino, Calmar, drawdown, yearly return and volatility of 1,000 random series, ours beside
empyrical-reloaded's: the greatest relative difference."""


def run(lab: Lab) -> list[Row]:
    """Measure the analysis, the service around it, and how far its ratios are from the peer's."""
    lab.say("P23: 10,000 trades analysed")
    with Contestant(f"{__name__}:analysis") as contestant:
        contestant()
        cold = [contestant() for _ in range(lab.scale(15, 7))]
    lab.say("P23: a report from the cache")
    with Contestant(f"{__name__}:service") as contestant:
        cached, uncached = contestant(requests=lab.scale(200, 50))
    with Contestant(f"{__name__}:deviation") as contestant:
        differs = contestant(series=1_000)
    asked = Spread.of([1_000 * seconds for seconds in uncached])
    return [
        Row(
            "P23a",
            "10,000 trades analysed",
            Measure("TradeSense", "ms", Spread.of([1_000 * wall for wall, _ in cold])),
            (),
            Goal("ours", "<=", 150, "≤ 150 ms"),
            None,
            (
                f"CPU: {Spread.of([1_000 * cpu for _, cpu in cold]).median:,.0f} ms.",
                f"As a request that finds nothing cached, database included: {asked.median:,.0f} ms.",
            ),
        ),
        Row(
            "P23b",
            "The report of 10,000 trades, cached, as a request",
            Measure("TradeSense", "ms", Spread.of([1_000 * seconds for seconds in cached])),
            (),
            Goal("ours", "<=", 5, "≤ 5 ms"),
        ),
        Row(
            "P23c",
            "Ratios of 1,000 random series: greatest relative difference",
            Measure("TradeSense, beside empyrical-reloaded", "", Spread.of([differs])),
            (),
            Goal("ours", "<=", 1e-9, "≤ 1e-9"),
        ),
    ]


def analysis() -> Callable[..., tuple[float, float]]:
    """Make a contestant that analyses the same trades anew; a command returns the seconds that it took, and of CPU."""
    from tradesense.analytics import analyse
    from tradesense.prices import Prices
    from tradesense.samples import closing_prices, made_up

    trades = made_up(TRADES)
    prices = Prices(closing_prices(trades))

    def carry_out() -> tuple[float, float]:
        started, worked = time.perf_counter(), time.process_time()
        said = analyse(trades, prices=prices, until=datetime(2024, 6, 1, tzinfo=UTC)).document()
        taken = time.perf_counter() - started, time.process_time() - worked
        if said["trades"] != TRADES:
            raise RuntimeError(f"{said['trades']:,} trades were analysed, not {TRADES:,}")
        return taken

    return carry_out


def service() -> Callable[..., tuple[list[float], list[float]]]:
    """Make a contestant that asks the service; a command returns the seconds of cached requests and of others."""

    def carry_out(requests: int) -> tuple[list[float], list[float]]:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            return asyncio.run(_asked(Path(folder), requests))

    return carry_out


async def _asked(folder: Path, requests: int) -> tuple[list[float], list[float]]:
    import httpx2

    from bedplate.settings import Sources
    from tradesense.money import shown
    from tradesense.samples import closing_prices, generic_csv, made_up
    from tradesense.service import build
    from tradesense.settings import TradeSenseSettings

    trades = made_up(TRADES)
    prices = [f"{one.day},{one.symbol},{shown(one.close)}" for one in closing_prices(trades)]
    values: dict[str, Any] = {
        "environment": "test", "logs": {"stream": "off"}, "alerts": {"enabled": False}, "rate_limit": "",
        "database_url": f"sqlite:///{folder / 'trades.sqlite3'}",
    }  # fmt: skip
    made = build(TradeSenseSettings(_sources=Sources.none(), **values))
    csv = {"content-type": "text/csv"}
    async with made.running():
        transport = httpx2.ASGITransport(app=made)  # type: ignore[arg-type]
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1", timeout=60) as client:
            while not made.entry.ready:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)

            async def ask(method: str, path: str, **options: Any) -> float:
                started = time.perf_counter()
                (await client.request(method, path, **options)).raise_for_status()
                return time.perf_counter() - started

            await ask("POST", "/sign-up", json={"email": "ada@example.org", "password": "four words in a row"})
            await ask("POST", "/imports", content=generic_csv(trades), headers=csv)
            await ask("PUT", "/prices", content="\n".join(("date,symbol,close", *prices)), headers=csv)
            uncached = []
            for number in range(5):
                await ask("PATCH", "/me", json={"name": f"Ada {number}"})
                uncached.append(await ask("GET", "/analytics"))
            return [await ask("GET", "/analytics") for _ in range(requests)], uncached


def deviation() -> Callable[..., float]:
    """Make a contestant that compares ratios; a command returns the greatest relative difference."""
    import numpy as np

    from tradesense.analytics import ratios

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import empyrical

    pairs = (
        (ratios.sharpe, empyrical.sharpe_ratio), (ratios.sortino, empyrical.sortino_ratio),
        (ratios.calmar, empyrical.calmar_ratio), (ratios.max_drawdown, empyrical.max_drawdown),
        (ratios.annual_return, empyrical.annual_return), (ratios.volatility, empyrical.annual_volatility),
    )  # fmt: skip

    def carry_out(series: int) -> float:
        worst = 0.0
        for seed in range(series):
            dice = np.random.default_rng(seed)
            returns = np.clip(dice.standard_t(4, int(dice.integers(20, 600))) * 10.0 ** dice.uniform(-4, -1.3), -0.9, 3)
            for ours, theirs in pairs:
                mine, other = ours(returns), float(theirs(returns))
                if mine is None or not np.isfinite(other):
                    raise RuntimeError(f"series {seed} has no {theirs.__name__}: {mine} and {other}")
                worst = max(worst, abs(mine - other) / max(abs(other), 1e-12))
        return worst

    return carry_out


SUITE = Suite("Trades", ("P23a", "P23b", "P23c"), TEXT, run)
