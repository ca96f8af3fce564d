"""Analyses of all trades of a user: how many, how long they take, and whether there is room for them."""

from __future__ import annotations

from functools import partial
from typing import Final

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter, Gauge, Histogram
from tradesense.components.signals.boards import TRADING, WARNING, quantile, quantiles, runbook_of

__all__ = ["ACTIVE", "ALERTS", "DURATION", "LOADED", "METRICS", "PANELS", "REFUSED", "REPORTS", "RUNBOOK", "TRADES"]

REPORTS: Final = ("report", "equity", "portfolio", "live")

DURATION = Histogram(
    "tradesense_analytics_duration_seconds",
    "Time that an analysis took which was not cached, from reading the trades to its text.",
    {"report": REPORTS},
    unit="seconds",
)
LOADED = Histogram(
    "tradesense_analytics_load_duration_seconds", "Time in which the trades for an analysis were read.", unit="seconds"
)
TRADES = Histogram(
    "tradesense_analytics_trades",
    "Trades that an analysis was of.",
    buckets=(10, 100, 500, 1_000, 5_000, 10_000, 50_000, 100_000),
)
ACTIVE = Gauge("tradesense_analytics_active", "Analyses that are worked on or wait for a thread.")
REFUSED = Counter("tradesense_analytics_refused_total", "Analyses refused because enough were waiting.")
METRICS: Final = (DURATION, LOADED, TRADES, ACTIVE, REFUSED)

RUNBOOK: Final = runbook_of(__file__)


def _durations(within_a_second: float) -> tuple[Series, ...]:
    reached = {"0.1": 0.5, "1.0": within_a_second, "2.5": 1.0, "+Inf": 1.0}
    selector = DURATION(report="report").bucket.rstrip("}")
    return tuple(Series(f'{selector},le="{le}"}}', f"0+{60 * part:g}x40") for le, part in reached.items())


ALERTS: Final = (
    Alert(
        name="AnalyticsSlow",
        expr=f"{quantile(0.95, DURATION, '15m')} > 1",
        summary="One analysis in twenty takes longer than {{ $value | humanizeDuration }}; people wait.",
        for_="10m",
        group=WARNING,
        fires=_durations(0.9),
        quiet=_durations(0.97),
    ),
    Alert(
        name="AnalyticsRefused",
        expr=f"sum(increase({REFUSED}[5m])) > 5",
        summary="{{ $value | humanize }} analyses were refused in five minutes: enough was waiting.",
        for_="2m",
        group=WARNING,
        fires=(Series(str(REFUSED), "0x5 0+3x20"),),
        quiet=(Series(str(REFUSED), "0x5 0 1 1x20"),),
    ),
)

_panel = partial(Panel, dashboard=TRADING, row="How fast is it analysed?")

PANELS: Final = (
    _panel(
        title="Duration of an analysis",
        expr=quantiles(DURATION, 0.5, 0.95),
        unit="s",
        low=0,
        summary="How long does somebody wait for numbers that are not cached?",
    ),
    _panel(
        title="Reading the trades",
        expr=quantiles(LOADED, 0.5, 0.95),
        unit="s",
        low=0,
        summary="How much of that is the database?",
    ),
    _panel(
        title="Analyses a second",
        expr=(("{{report}}", f"sum by (report) (rate({DURATION.count}[5m]))"),),
        unit="ops",
        stacked=True,
        summary="Which are asked for that the cache does not have?",
    ),
    _panel(
        title="Trades of an analysis",
        expr=quantiles(TRADES, 0.5, 0.95),
        low=0,
        summary="How many trades does an active user have?",
    ),
    _panel(
        title="Analyses at once",
        expr=(("worked on or waiting", f"sum({ACTIVE})"), ("refused a second", f"sum(rate({REFUSED}[5m]))")),
        low=0,
        summary="Is there room for more?",
    ),
)
